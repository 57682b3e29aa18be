/**
 * Fields of AMQP 0-9-1, section 4.2, written one behind the other into few large buffers: amqplib makes a buffer of each
 * frame and closures for each header, which costs several times as much (docs/decisions/0019-own-amqp-frames.md).
 */
import { markedBytes } from '../../../src/envelope/binary-text.ts'
import { PermanentError } from '../../../src/errors.ts'

const chunkBytes = 65_536
/** Up to here a loop is faster than the call into the runtime. */
const shortTextLength = 64
/** Up to here three bytes a character are reserved without counting. */
const countedTextLength = 1024
const twoTo32 = 2 ** 32

/** What is written counts once it is kept; until then it can be dropped. */
export class Writer {
  #chunks: Buffer[] = []
  #buffer = Buffer.alloc(0)
  /** Start of what is kept and not yet cut off, end of what is kept, end of what is written. */
  #start = 0
  #kept = 0
  #at = 0

  /** Where the next byte goes, counted from what is kept: stays true when the buffer changes. */
  get offset(): number {
    return this.#at - this.#kept
  }

  keep(): void {
    this.#kept = this.#at
  }

  drop(): void {
    this.#at = this.#kept
  }

  /** What has been kept since the last time, in as few buffers as it fills. */
  take(): readonly Buffer[] {
    this.#cut()
    const chunks = this.#chunks
    this.#chunks = []
    return chunks
  }

  byte(value: number): void {
    this.reserve(1)
    this.#buffer[this.#at] = value
    this.#at += 1
  }

  int16(value: number): void {
    this.reserve(2)
    this.#put16(this.#at, value)
    this.#at += 2
  }

  int32(value: number): void {
    this.reserve(4)
    this.#put32(this.#at, value)
    this.#at += 4
  }

  /** Whole numbers that a double holds, negative ones as two's complement. */
  int64(value: number | bigint): void {
    if (typeof value === 'bigint') {
      this.reserve(8)
      this.#at = this.#buffer.writeBigUInt64BE(BigInt.asUintN(64, value), this.#at)
      return
    }
    this.int32(Math.floor(value / twoTo32))
    this.int32(value)
  }

  float(value: number): void {
    this.reserve(4)
    this.#at = this.#buffer.writeFloatBE(value, this.#at)
  }

  double(value: number): void {
    this.reserve(8)
    this.#at = this.#buffer.writeDoubleBE(value, this.#at)
  }

  bytes(bytes: Uint8Array): void {
    this.reserve(bytes.byteLength)
    this.#buffer.set(bytes, this.#at)
    this.#at += bytes.byteLength
  }

  /** Throws a PermanentError beyond 255 bytes. */
  shortText(text: string): void {
    const sizeAt = this.offset
    this.byte(0)
    const bytes = this.#utf8(text)
    if (bytes > 255) throw tooLong(bytes)
    this.#buffer[this.#kept + sizeAt] = bytes
  }

  /** A short text that may stand for bytes. */
  markedText(text: string): void {
    const bytes = markedBytes(text)
    if (bytes === undefined) return this.shortText(text)
    if (bytes.byteLength > 255) throw tooLong(bytes.byteLength)
    this.byte(bytes.byteLength)
    this.bytes(bytes)
  }

  longText(text: string): void {
    const sizeAt = this.skipSize()
    this.#utf8(text)
    this.fillSize(sizeAt)
  }

  /** Leaves room for the 32 bits that `fillSize` fills in. */
  skipSize(): number {
    this.reserve(4)
    this.#at += 4
    return this.offset
  }

  /** The size of all that was written since `skipSize` gave this place. */
  fillSize(sizeAt: number): void {
    this.setInt32(sizeAt - 4, this.offset - sizeAt)
  }

  setInt16(offset: number, value: number): void {
    this.#put16(this.#kept + offset, value)
  }

  setInt32(offset: number, value: number): void {
    this.#put32(this.#kept + offset, value)
  }

  /** Makes room in a new buffer, to which what is not kept moves. */
  reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return
    const unfinished = this.#buffer.subarray(this.#kept, this.#at)
    this.#cut()
    this.#buffer = Buffer.allocUnsafe(Math.max(chunkBytes, 2 * unfinished.length + bytes))
    this.#buffer.set(unfinished)
    this.#start = 0
    this.#kept = 0
    this.#at = unfinished.length
  }

  // not by Buffer's own methods: their checks are compiled into each caller
  #put16(at: number, value: number): void {
    this.#buffer[at] = value >> 8
    this.#buffer[at + 1] = value
  }

  #put32(at: number, value: number): void {
    this.#put16(at, value >> 16)
    this.#put16(at + 2, value)
  }

  #cut(): void {
    if (this.#kept > this.#start) this.#chunks.push(this.#buffer.subarray(this.#start, this.#kept))
    this.#start = this.#kept
  }

  /** Gives the bytes written. */
  #utf8(text: string): number {
    const { length } = text
    this.reserve(length <= countedTextLength ? length * 3 : Buffer.byteLength(text))
    const bytes = length <= shortTextLength ? this.#ascii(text) : -1
    const written = bytes === -1 ? this.#buffer.write(text, this.#at) : bytes
    this.#at += written
    return written
  }

  /** -1: it is no ASCII. */
  #ascii(text: string): number {
    const buffer = this.#buffer
    const at = this.#at
    const { length } = text
    for (let i = 0; i < length; i += 1) {
      const code = text.charCodeAt(i)
      if (code > 0x7f) return -1
      buffer[at + i] = code
    }
    return length
  }
}

function tooLong(bytes: number): PermanentError {
  return new PermanentError('MESSAGE_REFUSED', `a name or property has ${bytes} bytes; AMQP carries 255`)
}
