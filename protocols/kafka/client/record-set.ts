/** Record sets as brokers send them: batches of format 2, one behind the other, the last perhaps cut off. */
import { HeaderBag } from '../../../src/envelope/envelope.ts'
import { decompress } from './compression.ts'
import { crc32c } from './crc32c.ts'
import { head, magic } from './record-batch.ts'
import { Reader } from './wire.ts'

/** Text where the bytes are UTF-8. */
export type TextOrBytes = string | Buffer

/** A record as received. Its bytes are a copy, which it shares with its neighbours in 32 KiB at most. */
export interface InRecord {
  readonly offset: number
  /** Milliseconds since 1970; negative: it has no time. */
  readonly timestampMs: number
  readonly key: TextOrBytes | null
  readonly value: Buffer | null
  readonly headers: InHeaders | undefined
}

/** Repeated names have an array. */
export type InHeaders = Readonly<Record<string, TextOrBytes | null | readonly (TextOrBytes | null)[]>>

/** One batch of a fetch response, its records still bytes. */
export interface InBatch {
  readonly firstOffset: number
  readonly lastOffset: number
  readonly count: number
  readonly isControl: boolean
  readonly isTransactional: boolean
  readonly producerId: bigint
  readonly firstTimestamp: number
  /** The broker's own time, for all records, where the topic is set to that. */
  readonly appendTimestamp: number | undefined
  /** As Kafka numbers it; 0: the records are as they are. */
  readonly compression: number
  readonly records: Buffer
  /** All of it as received. */
  readonly bytes: Buffer
  /** Why nothing of it can be read. */
  readonly fault: BatchFault | undefined
}

interface BatchFault {
  readonly reason: string
  /** Perhaps on the way only, so that it is worth another look. */
  readonly mayPass: boolean
}

/** Offset, length, an older format's checksum or an epoch, and the format. */
const leastBytes = head.magic + 1
/** More than producers put into one batch. */
const mostRecords = 2 ** 24

/** The whole batches of a record set; a last one that the response cut off is left out. */
export function decodeBatches(set: Buffer): InBatch[] {
  const batches: InBatch[] = []
  for (let at = 0; at + leastBytes <= set.length; ) {
    const length = set.readInt32BE(at + head.length)
    if (length < leastBytes - head.length - 4) throw new RangeError(`a record batch claims ${length} bytes`)
    const end = at + head.length + 4 + length
    if (end > set.length) break
    batches.push(decodeBatch(set.subarray(at, end)))
    at = end
  }
  return batches
}

function decodeBatch(bytes: Buffer): InBatch {
  const fault = faultOf(bytes)
  if (fault !== undefined) return unreadable(bytes, fault)
  const reader = new Reader(bytes)
  const firstOffset = reader.int64()
  reader.offset = head.attributes
  const attributes = reader.int16()
  const lastOffset = firstOffset + reader.int32()
  const firstTimestamp = reader.int64()
  const lastTimestamp = reader.int64()
  const producerId = reader.bigint64()
  reader.offset += 6
  const count = reader.int32()
  return {
    firstOffset,
    lastOffset,
    count,
    producerId,
    firstTimestamp,
    appendTimestamp: (attributes & 0x08) === 0 ? undefined : lastTimestamp,
    isTransactional: (attributes & 0x10) !== 0,
    isControl: (attributes & 0x20) !== 0,
    compression: attributes & 0x07,
    records: bytes.subarray(head.bytes),
    bytes,
    fault: undefined,
  }
}

function faultOf(bytes: Buffer): BatchFault | undefined {
  const format = bytes.readInt8(head.magic)
  if (format !== magic)
    return { reason: `message format ${format} is not that of Kafka 0.11 and later`, mayPass: false }
  const isWhole = bytes.length >= head.bytes
  if (isWhole && crc32c(bytes.subarray(head.attributes)) === bytes.readUInt32BE(head.crc)) return undefined
  return { reason: 'the checksum is wrong', mayPass: true }
}

/** Its head is believed where it is likely; else it is one record, and the broker sends it again for the next. */
function unreadable(bytes: Buffer, fault: BatchFault): InBatch {
  const firstOffset = new Reader(bytes).int64()
  const delta = fault.mayPass && bytes.length >= head.bytes ? bytes.readInt32BE(head.attributes + 2) : 0
  const isLikely = delta >= 0 && delta < mostRecords
  return {
    firstOffset,
    lastOffset: firstOffset + (isLikely ? delta : 0),
    count: 0,
    producerId: -1n,
    firstTimestamp: Date.now(),
    appendTimestamp: undefined,
    isTransactional: false,
    isControl: false,
    compression: 0,
    records: bytes.subarray(bytes.length),
    bytes,
    fault,
  }
}

/** The records of a batch as they were before they were compressed. */
export async function unfold({ compression, records }: InBatch): Promise<Buffer> {
  return decompress(compression, records)
}

/** Bytes that records share a copy of, so that one message that waits long holds no whole response in memory. */
const copyBytes = 32 * 1024

/** The records of one batch, in order. */
export class RecordReader {
  readonly #batch: InBatch
  readonly #fromOffset: number
  readonly #reader: Reader
  #left: number
  #last: number
  /** A copy of a part of the records, and where in them it begins and ends. */
  #copy = new Reader(Buffer.alloc(0))
  #copyFrom = 0
  #copyTo = 0

  /**
   * From an offset on: what lies before was asked for only because batches are sent whole. `records`: unfolded, where they
   * were compressed.
   */
  constructor(batch: InBatch, fromOffset: number, records = batch.records) {
    this.#batch = batch
    this.#fromOffset = fromOffset
    this.#reader = new Reader(records)
    this.#left = batch.count
    this.#last = batch.firstOffset
  }

  /** undefined: that was the last. Throws where it cannot be read, and so cannot what is behind it. */
  next(): InRecord | undefined {
    while (this.#left > 0) {
      this.#left -= 1
      const record = this.#read()
      if (record !== undefined) return record
    }
    return undefined
  }

  /** undefined for one before the offset asked for. */
  #read(): InRecord | undefined {
    const reader = this.#reader
    const batch = this.#batch
    const length = reader.varint()
    const end = reader.offset + length
    if (length < 0 || end > reader.end) throw new RangeError('a record ends behind its batch')
    reader.offset += 1
    const timestampMs = batch.firstTimestamp + reader.varlong()
    const offset = batch.firstOffset + reader.varint()
    if (offset < this.#last || offset > batch.lastOffset) throw new RangeError('a record lies outside its batch')
    this.#last = offset
    const start = reader.offset
    reader.offset = end
    if (offset < this.#fromOffset) return undefined
    return readContent(this.#copied(start, end), offset, batch.appendTimestamp ?? timestampMs)
  }

  #copied(start: number, end: number): Reader {
    if (end > this.#copyTo) {
      this.#copyFrom = start
      this.#copyTo = Math.max(end, Math.min(start + copyBytes, this.#reader.end))
      this.#copy = new Reader(Buffer.from(this.#reader.buffer.subarray(start, this.#copyTo)))
    }
    this.#copy.offset = start - this.#copyFrom
    this.#copy.end = end - this.#copyFrom
    return this.#copy
  }
}

function readContent(reader: Reader, offset: number, timestampMs: number): InRecord {
  const key = readTextOrBytes(reader)
  const value = readBytes(reader)
  const headers = readHeaders(reader)
  if (reader.offset > reader.end) throw new RangeError('the record ends too early')
  return { offset, timestampMs, key, value, headers }
}

function readBytes(reader: Reader): Buffer | null {
  const length = reader.varint()
  return length < 0 ? null : reader.bytes(length)
}

function readTextOrBytes(reader: Reader): TextOrBytes | null {
  const length = reader.varint()
  return length < 0 ? null : reader.textOrBytes(length)
}

function readHeaders(reader: Reader): InHeaders | undefined {
  const count = reader.varint()
  if (count <= 0) return undefined
  const headers = new HeaderBag() as Record<string, TextOrBytes | null | (TextOrBytes | null)[]>
  for (let i = 0; i < count; i++) {
    const name = reader.text(reader.varint())
    const value = readTextOrBytes(reader)
    const earlier = headers[name]
    if (earlier === undefined) headers[name] = value
    else if (Array.isArray(earlier)) earlier.push(value)
    else headers[name] = [earlier, value]
  }
  return headers
}

const abortMarker = 0

/** Only what was committed: leaves out control batches and the batches of aborted transactions. */
export function committedBatches(
  batches: readonly InBatch[],
  aborted: readonly { readonly producerId: bigint; readonly firstOffset: number }[],
): InBatch[] {
  const waiting = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset)
  const active = new Set<bigint>()
  return batches.filter((batch) => {
    while (waiting[0] !== undefined && waiting[0].firstOffset <= batch.lastOffset) {
      active.add((waiting.shift() as { producerId: bigint }).producerId)
    }
    if (batch.isControl) {
      if (isAbort(batch)) active.delete(batch.producerId)
      return false
    }
    return !(batch.isTransactional && active.has(batch.producerId))
  })
}

/** The key of a control record is a version and a kind, of two bytes each. */
function isAbort({ records }: InBatch): boolean {
  const reader = new Reader(records)
  reader.varint() // length
  reader.int8()
  reader.varlong() // time
  reader.varint() // offset
  return reader.varint() >= 4 && reader.bytes(4).readInt16BE(2) === abortMarker
}
