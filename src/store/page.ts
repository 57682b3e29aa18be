/**
 * A page: messages of one route and rank that were added in one transaction, as two blobs. Bytes in, bytes out.
 *
 * `heads` says where each message is, little-endian, 32 bytes each: received (a double); how far its id is above the page's
 * first; its wanted bits; what it takes up; where it ends in the body; the checksum of its part of the body; how often it came
 * back from the dead letters (32 bits each).
 *
 * `body` has the messages themselves, each the lengths of key, params, fields and payload (32 bits each) and then these. A
 * length of -1 stands for null, that of a key of bytes is told as -2 less it.
 */
import { crc32 } from 'node:zlib'

/** A message as a page holds it. */
export interface PageMessage {
  readonly id: number
  /** One bit for each target that it goes to. */
  readonly wanted: number
  /** What it takes up, as limits count it. */
  readonly bytes: number
  /** Milliseconds since the epoch. */
  readonly received: number
  readonly requeues: number
  readonly key: string | Uint8Array | null
  readonly params: string | null
  readonly fields: string
  readonly payload: Uint8Array | null
}

/** What the heads say of it. */
export type Head = Pick<PageMessage, 'id' | 'wanted' | 'bytes' | 'received' | 'requeues'>

const headBytes = 32
const lengthsBytes = 16
const nullLength = -1
const noBytes = -2
const startBytes = 16 * 1024
/** Memory of the writer beyond that is given back. */
const mostKeptBytes = 1024 ** 2
/** A page takes no more messages then: what is read of it is read as a whole. */
const fullBytes = 256 * 1024
const fullCount = 512

/** Writes one page after the other into the same memory: nothing is left to be collected. */
export class PageWriter {
  first = 0
  last = 0
  count = 0
  /** Sum of what its messages take up. */
  bytes = 0
  /** All bits that any of its messages has. */
  wanted = 0
  /** Of the oldest. */
  received = 0
  #heads: Buffer = Buffer.allocUnsafeSlow(headBytes * 64)
  #body: Buffer = Buffer.allocUnsafeSlow(startBytes)
  #length = 0

  /** A new page; its messages' ids are `first` and above. */
  begin(first: number): void {
    Object.assign(this, { first, last: first, count: 0, bytes: 0, wanted: 0, received: Number.POSITIVE_INFINITY })
    this.#length = 0
    if (this.#body.length > mostKeptBytes) this.#body = Buffer.allocUnsafeSlow(startBytes)
  }

  get isFull(): boolean {
    return this.#length >= fullBytes || this.count >= fullCount
  }

  /** Valid until the next `begin`, like `body`. */
  get heads(): Buffer {
    return this.#heads.subarray(0, this.count * headBytes)
  }

  get body(): Buffer {
    return this.#body.subarray(0, this.#length)
  }

  /** In the order of their ids. */
  add(message: PageMessage): void {
    const start = this.#length
    this.#write(message)
    this.#addHead(message, crc32(this.#body.subarray(start, this.#length)))
  }

  /** One of another page as it is there, sound or not; with what is told of it in place of what its head says. */
  copy(heads: Heads, place: number, body: Uint8Array, changes?: Pick<Head, 'id' | 'wanted'>): void {
    const part = heads.rawPartOf(place, body)
    this.#makeRoom(part.length)
    this.#writeBytes(part)
    this.#addHead({ ...heads.headOf(place), ...changes }, heads.checksumOf(place))
  }

  #addHead({ id, wanted, bytes, received, requeues }: Head, checksum: number): void {
    const at = this.count * headBytes
    if (at === this.#heads.length) this.#heads = grown(this.#heads, at, at + headBytes)
    const heads = this.#heads
    heads.writeDoubleLE(received, at)
    heads.writeUInt32LE(id - this.first, at + 8)
    heads.writeInt32LE(wanted, at + 12)
    heads.writeUInt32LE(bytes, at + 16)
    heads.writeUInt32LE(this.#length, at + 20)
    heads.writeUInt32LE(checksum, at + 24)
    heads.writeUInt32LE(requeues, at + 28)
    this.last = id
    this.bytes += bytes
    this.wanted |= wanted
    this.received = Math.min(this.received, received)
    this.count += 1
  }

  #makeRoom(bytes: number): void {
    const least = this.#length + bytes
    if (least > this.#body.length) this.#body = grown(this.#body, this.#length, least)
  }

  #write({ key, params, fields, payload }: PageMessage): void {
    const texts = (key?.length ?? 0) + (params?.length ?? 0) + fields.length
    this.#makeRoom(lengthsBytes + 3 * texts + (payload?.byteLength ?? 0))
    const at = this.#length
    const body = this.#body
    this.#length += lengthsBytes
    body.writeInt32LE(this.#writeKey(key), at)
    body.writeInt32LE(params === null ? nullLength : this.#writeText(params), at + 4)
    body.writeInt32LE(this.#writeText(fields), at + 8)
    body.writeInt32LE(payload === null ? nullLength : this.#writeBytes(payload), at + 12)
  }

  #writeKey(key: string | Uint8Array | null): number {
    if (key === null) return nullLength
    return typeof key === 'string' ? this.#writeText(key) : noBytes - this.#writeBytes(key)
  }

  #writeText(text: string): number {
    const written = this.#body.write(text, this.#length)
    this.#length += written
    return written
  }

  #writeBytes(bytes: Uint8Array): number {
    this.#body.set(bytes, this.#length)
    this.#length += bytes.byteLength
    return bytes.byteLength
  }
}

function grown(buffer: Buffer, used: number, least: number): Buffer {
  const larger = Buffer.allocUnsafeSlow(Math.max(buffer.length * 2, least))
  larger.set(buffer.subarray(0, used))
  return larger
}

/** What a page's heads say; messages by their place, from 0. */
export class Heads {
  readonly first: number
  readonly count: number
  readonly #bytes: Buffer

  constructor(first: number, bytes: Uint8Array) {
    this.first = first
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.count = Math.floor(bytes.byteLength / headBytes)
  }

  /** Of the whole. */
  get checksum(): number {
    return crc32(this.#bytes)
  }

  get last(): number {
    return this.idOf(this.count - 1)
  }

  idOf(place: number): number {
    return this.first + this.#bytes.readUInt32LE(place * headBytes + 8)
  }

  wantedOf(place: number): number {
    return this.#bytes.readInt32LE(place * headBytes + 12)
  }

  bytesOf(place: number): number {
    return this.#bytes.readUInt32LE(place * headBytes + 16)
  }

  receivedOf(place: number): number {
    return this.#bytes.readDoubleLE(place * headBytes)
  }

  headOf(place: number): Head {
    return {
      id: this.idOf(place),
      wanted: this.wantedOf(place),
      bytes: this.bytesOf(place),
      received: this.receivedOf(place),
      requeues: this.#bytes.readUInt32LE(place * headBytes + 28),
    }
  }

  /** Of its part of the body, as it was written. */
  checksumOf(place: number): number {
    return this.#bytes.readUInt32LE(place * headBytes + 24)
  }

  /** What it takes in the body; bytes. */
  lengthOf(place: number): number {
    return this.#endOf(place) - this.#startOf(place)
  }

  /** Where a message is; -1: it is not in here. Most pages have no gaps between their ids: then the first look finds it. */
  placeOf(id: number): number {
    let low = 0
    let high = Math.min(this.count - 1, id - this.first)
    let place = high
    while (low <= high) {
      const found = this.idOf(place)
      if (found === id) return place
      if (found < id) low = place + 1
      else high = place - 1
      place = (low + high) >>> 1
    }
    return -1
  }

  /** Its part of the body, undefined where its checksum says that it is not what was written. */
  partOf(place: number, body: Uint8Array): Buffer | undefined {
    const part = this.rawPartOf(place, body)
    return crc32(part) === this.checksumOf(place) ? part : undefined
  }

  /** Its part of the body, sound or not. */
  rawPartOf(place: number, body: Uint8Array): Buffer {
    return Buffer.from(body.buffer, body.byteOffset, body.byteLength).subarray(this.#startOf(place), this.#endOf(place))
  }

  #startOf(place: number): number {
    return place === 0 ? 0 : this.#endOf(place - 1)
  }

  #endOf(place: number): number {
    return this.#bytes.readUInt32LE(place * headBytes + 20)
  }
}

/** What a sound part of a body says. The payload is a view of it. */
export function contentOf(part: Buffer): Pick<PageMessage, 'key' | 'params' | 'fields' | 'payload'> {
  let at = lengthsBytes
  const take = (length: number) => {
    at += length
    return part.subarray(at - length, at)
  }
  const payload = part.readInt32LE(12)
  return {
    key: keyOf(part.readInt32LE(0), take),
    params: part.readInt32LE(4) === nullLength ? null : take(part.readInt32LE(4)).toString(),
    fields: take(part.readInt32LE(8)).toString(),
    payload: payload === nullLength ? null : take(payload),
  }
}

function keyOf(length: number, take: (length: number) => Buffer): string | Uint8Array | null {
  if (length === nullLength) return null
  return length >= 0 ? take(length).toString() : take(noBytes - length)
}
