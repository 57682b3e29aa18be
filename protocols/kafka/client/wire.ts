/** Kafka's primitive types: big-endian integers, strings and arrays with a length before them, zig-zag variable integers. */
import { isUtf8 } from 'node:buffer'

export class Reader {
  readonly buffer: Buffer
  offset: number
  /** Where what is to be read ends: bytes and texts reach no further. */
  end: number

  constructor(buffer: Buffer, offset = 0, end = buffer.length) {
    this.buffer = buffer
    this.offset = offset
    this.end = end
  }

  int8(): number {
    this.offset += 1
    return this.buffer.readInt8(this.offset - 1)
  }

  int16(): number {
    this.offset += 2
    return this.buffer.readInt16BE(this.offset - 2)
  }

  int32(): number {
    this.offset += 4
    return this.buffer.readInt32BE(this.offset - 4)
  }

  /** Exact up to 2^53, which no offset or time will reach. */
  int64(): number {
    const high = this.int32()
    this.offset += 4
    return high * 0x1_0000_0000 + this.buffer.readUInt32BE(this.offset - 4)
  }

  bigint64(): bigint {
    this.offset += 8
    return this.buffer.readBigInt64BE(this.offset - 8)
  }

  boolean(): boolean {
    return this.int8() !== 0
  }

  string(): string | null {
    const length = this.int16()
    return length < 0 ? null : this.text(length)
  }

  /** A view, not a copy. */
  bytes(length: number): Buffer {
    this.#skip(length)
    return this.buffer.subarray(this.offset - length, this.offset)
  }

  /** UTF-8 of that many bytes. */
  text(length: number): string {
    this.#skip(length)
    return this.buffer.toString('utf8', this.offset - length, this.offset)
  }

  /** Text where that many bytes are UTF-8, else a view of them. */
  textOrBytes(length: number): string | Buffer {
    const text = this.text(length)
    if (!text.includes('\ufffd')) return text
    const bytes = this.buffer.subarray(this.offset - length, this.offset)
    return isUtf8(bytes) ? text : bytes
  }

  #skip(length: number): void {
    if (length < 0 || this.offset + length > this.end) throw new RangeError('the record ends too early')
    this.offset += length
  }

  array<T>(read: (reader: Reader) => T): T[] {
    const length = this.int32()
    const items: T[] = []
    for (let i = 0; i < length; i++) items.push(read(this))
    return items
  }

  varint(): number {
    let value = 0
    let shift = 0
    let byte: number
    do {
      byte = this.#byte()
      value |= (byte & 0x7f) << shift
      shift += 7
    } while (byte >= 0x80 && shift < 35)
    return (value >>> 1) ^ -(value & 1)
  }

  /** By arithmetic, not bits: deltas of time may pass 2^31 ms. */
  varlong(): number {
    let value = 0
    let scale = 1
    let byte: number
    do {
      byte = this.#byte()
      value += (byte & 0x7f) * scale
      scale *= 128
    } while (byte >= 0x80 && scale < 2 ** 63)
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  #byte(): number {
    const byte = this.buffer[this.offset++]
    if (byte === undefined) throw new RangeError('the record ends too early')
    return byte
  }
}

export class Writer {
  buffer: Buffer
  offset = 0

  constructor(size: number) {
    this.buffer = Buffer.allocUnsafe(size)
  }

  /** What has been written. */
  get written(): Buffer {
    return this.buffer.subarray(0, this.offset)
  }

  reserve(length: number): void {
    if (this.offset + length <= this.buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.offset + length))
    this.buffer.copy(larger, 0, 0, this.offset)
    this.buffer = larger
  }

  int8(value: number): this {
    this.reserve(1)
    this.offset = this.buffer.writeInt8(value, this.offset)
    return this
  }

  int16(value: number): this {
    this.reserve(2)
    this.offset = this.buffer.writeInt16BE(value, this.offset)
    return this
  }

  int32(value: number): this {
    this.reserve(4)
    this.offset = this.buffer.writeInt32BE(value, this.offset)
    return this
  }

  int64(value: number | bigint): this {
    this.reserve(8)
    this.offset = this.buffer.writeBigInt64BE(BigInt(value), this.offset)
    return this
  }

  string(value: string | null): this {
    if (value === null) return this.int16(-1)
    const length = Buffer.byteLength(value)
    this.int16(length).reserve(length)
    this.offset += this.buffer.write(value, this.offset, length, 'utf8')
    return this
  }

  bytes(value: Uint8Array): this {
    this.reserve(value.length)
    this.buffer.set(value, this.offset)
    this.offset += value.length
    return this
  }

  array<T>(items: readonly T[], write: (writer: this, item: T) => void): this {
    this.int32(items.length)
    for (const item of items) write(this, item)
    return this
  }

  varint(value: number): this {
    this.reserve(5)
    this.#putVarint(value)
    return this
  }

  /** Where there is room already. */
  #putVarint(value: number): void {
    let rest = ((value << 1) ^ (value >> 31)) >>> 0
    while (rest >= 0x80) {
      this.buffer[this.offset++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.buffer[this.offset++] = rest
  }

  varlong(value: number): this {
    this.reserve(10)
    let rest = value >= 0 ? value * 2 : -value * 2 - 1
    while (rest >= 0x80) {
      this.buffer[this.offset++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    this.buffer[this.offset++] = rest
    return this
  }

  /** UTF-8 behind its length as a variable integer. */
  text(value: string): this {
    const start = this.begin(value.length, value.length * 3)
    this.offset += this.buffer.write(value, this.offset)
    return this.endWithLength(start)
  }

  /**
   * Begins what has its length in front, of about so many bytes and so many at most where that is known: leaves room for the
   * length; gives where that is.
   */
  begin(expected: number, most = expected): number {
    const start = this.offset
    const room = sizeOfVarint(expected)
    this.reserve(room + most)
    this.buffer[start] = room // until the length is known
    this.offset += room
    return start
  }

  /** Ends what began there, and writes its length, for which all is moved where the room is not that of the length. */
  endWithLength(start: number): this {
    const content = start + (this.buffer[start] as number)
    const length = this.offset - content
    const moved = start + sizeOfVarint(length)
    if (moved !== content) {
      this.reserve(moved - content)
      this.buffer.copyWithin(moved, content, this.offset)
    }
    this.offset = start
    this.#putVarint(length) // no more room: whatever is made now is a copy of what lies before
    this.offset = moved + length
    return this
  }
}

export function sizeOfVarint(value: number): number {
  const zigzag = ((value << 1) ^ (value >> 31)) >>> 0
  if (zigzag < 0x80) return 1
  if (zigzag < 0x4000) return 2
  if (zigzag < 0x20_0000) return 3
  return zigzag < 0x1000_0000 ? 4 : 5
}
