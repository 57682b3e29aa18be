/** Record sets as brokers send them: batches of format 2, one behind the other, the last perhaps cut off. */
import { decompress } from './compression.ts'
import { crc32c } from './crc32c.ts'
import { head, magic } from './record-batch.ts'
import { Reader } from './wire.ts'

/** A record as received, in the form that kafkajs gives its consumers. Its bytes are its own, not the whole response's. */
export interface InRecord {
  readonly offset: string
  /** Milliseconds since 1970. */
  readonly timestamp: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** Repeated names have an array. */
  readonly headers: Record<string, Buffer | null | (Buffer | null)[]>
}

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

/**
 * The records of a batch from an offset on: what lies before was asked for only because batches are sent whole.
 * `records`: unfolded, where they were compressed. Throws at the first that cannot be read.
 */
export function* readRecords(
  batch: InBatch,
  fromOffset: number,
  records = batch.records,
): Generator<{ offset: number; record: InRecord }> {
  const reader = new Reader(records)
  let last = batch.firstOffset
  for (let i = 0; i < batch.count; i++) {
    const length = reader.varint()
    const end = reader.offset + length
    if (length < 0 || end > records.length) throw new RangeError('a record ends behind its batch')
    reader.offset += 1
    const timestamp = batch.firstTimestamp + reader.varlong()
    const offset = batch.firstOffset + reader.varint()
    if (offset < last || offset > batch.lastOffset) throw new RangeError('a record lies outside its batch')
    last = offset
    if (offset >= fromOffset) {
      // one copy a record: a message that waits long must not hold a whole response in memory
      const own = new Reader(Buffer.from(records.subarray(reader.offset, end)))
      yield { offset, record: readRecord(own, offset, batch.appendTimestamp ?? timestamp) }
    }
    reader.offset = end
  }
}

function readRecord(reader: Reader, offset: number, timestamp: number): InRecord {
  const key = readBytes(reader)
  const value = readBytes(reader)
  return { offset: String(offset), timestamp: String(timestamp), key, value, headers: readHeaders(reader) }
}

function readBytes(reader: Reader): Buffer | null {
  const length = reader.varint()
  return length < 0 ? null : reader.bytes(length)
}

function readHeaders(reader: Reader): InRecord['headers'] {
  const headers: InRecord['headers'] = Object.create(null)
  const count = reader.varint()
  for (let i = 0; i < count; i++) {
    const name = reader.text(reader.varint())
    const value = readBytes(reader)
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

function isAbort(batch: InBatch): boolean {
  const [first] = readRecords(batch, batch.firstOffset)
  return first?.record.key?.readInt16BE(2) === abortMarker
}
