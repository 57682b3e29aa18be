/**
 * Record batches, format 2, which every broker since 0.11 stores. Written and read here and not by kafkajs, which spends
 * several microseconds a record on small buffers, 64-bit integers as objects and copied header tables.
 */
import { type Compression, compress, compressionCodes, decompress } from './compression.ts'
import { crc32c } from './crc32c.ts'
import { Reader, sizeOfVarint, sizeOfVarlong, Writer } from './wire.ts'

export type HeaderBytes = Uint8Array | string | null
/** A record on its way out. A string is written as UTF-8. */
export interface OutRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  /** Repeated names are repeated entries. */
  readonly headers: readonly (readonly [name: string, value: HeaderBytes])[]
  readonly timestampMs: number
}

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

export interface Sequence {
  readonly producerId: bigint
  readonly epoch: number
  readonly first: number
}

const headerBytes = 61
/** Characters of which even three bytes each make a length of one byte. */
const shortText = 21
const lengthAt = 8
const crcAt = 17
const attributesAt = 21
const magic = 2

/** Most that position, time and length add to the size of a record. */
const positionBytes = 20

export async function encodeBatch(
  records: readonly OutRecord[],
  sequence: Sequence,
  compression: Compression,
  sizes: readonly number[] = records.map(sizeOfRecord),
): Promise<Buffer> {
  const times = timesOf(records)
  const writer = new Writer(sizes.reduce((sum, size) => sum + size + positionBytes, headerBytes))
  writer.offset = headerBytes
  for (let i = 0; i < records.length; i++) {
    const record = records[i] as OutRecord
    const timeDelta = record.timestampMs - times.first
    writer.varint((sizes[i] as number) + sizeOfVarlong(timeDelta) + sizeOfVarint(i))
    writer.int8(0).varlong(timeDelta).varint(i)
    writeContent(writer, record)
  }
  const batch = compression === 'none' ? writer : await compressed(writer, compression)
  const end = batch.offset
  batch.offset = 0
  batch.int64(0).int32(end - lengthAt - 4)
  batch.int32(-1).int8(magic).int32(0).int16(compressionCodes[compression])
  batch
    .int32(records.length - 1)
    .int64(times.first)
    .int64(times.last)
  batch.int64(sequence.producerId).int16(sequence.epoch).int32(sequence.first).int32(records.length)
  batch.buffer.writeUInt32BE(crc32c(batch.buffer.subarray(attributesAt, end)), crcAt)
  return batch.buffer.subarray(0, end)
}

async function compressed(writer: Writer, compression: Compression): Promise<Writer> {
  const body = await compress(compression, writer.written.subarray(headerBytes))
  const batch = new Writer(headerBytes + body.length)
  batch.offset = headerBytes
  return batch.bytes(body)
}

/** A batch names the time of its first record and the latest of all. */
function timesOf(records: readonly OutRecord[]): { first: number; last: number } {
  const first = records[0]?.timestampMs ?? 0
  let last = first
  for (const { timestampMs } of records) if (timestampMs > last) last = timestampMs
  return { first, last }
}

function sizeOfBytes(value: Uint8Array | null): number {
  return value === null ? 1 : sizeOfVarint(value.length) + value.length
}

function lengthOf(value: HeaderBytes): number {
  if (value === null) return -1
  return typeof value === 'string' ? Buffer.byteLength(value) : value.length
}

/** Size of a record inside a batch without its position and time. */
export function sizeOfRecord(record: OutRecord): number {
  let size = 1 + sizeOfVarint(record.headers.length) + sizeOfBytes(record.key) + sizeOfBytes(record.value)
  for (const [name, value] of record.headers) {
    const nameLength = Buffer.byteLength(name)
    const valueLength = lengthOf(value)
    size += sizeOfVarint(nameLength) + nameLength + sizeOfVarint(valueLength) + Math.max(0, valueLength)
  }
  return size
}

function writeContent(writer: Writer, record: OutRecord): void {
  writeBytes(writer, record.key)
  writeBytes(writer, record.value)
  writer.varint(record.headers.length)
  for (const [name, value] of record.headers) {
    writeText(writer, name)
    if (typeof value === 'string') writeText(writer, value)
    else writeBytes(writer, value)
  }
}

function writeBytes(writer: Writer, value: Uint8Array | null): void {
  if (value === null) writer.varint(-1)
  else writer.varint(value.length).bytes(value)
}

function writeText(writer: Writer, text: string): void {
  if (text.length <= shortText) {
    writer.reserve(1 + shortText * 3)
    const written = writer.buffer.write(text, writer.offset + 1)
    writer.buffer[writer.offset] = written * 2 // zig-zag in one byte: at most 63
    writer.offset += 1 + written
    return
  }
  const length = Buffer.byteLength(text)
  writer.varint(length).reserve(length)
  writer.offset += writer.buffer.write(text, writer.offset, length, 'utf8')
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
  readonly records: Buffer
}

/** The whole batches of a record set; a last one that the response cut off is left out. */
export async function decodeBatches(set: Buffer): Promise<InBatch[]> {
  const batches: InBatch[] = []
  for (let at = 0; at + headerBytes <= set.length; ) {
    const end = at + lengthAt + 4 + set.readInt32BE(at + lengthAt)
    if (end > set.length) break
    batches.push(await decodeBatch(new Reader(set.subarray(at, end))))
    at = end
  }
  return batches
}

async function decodeBatch(reader: Reader): Promise<InBatch> {
  const firstOffset = reader.int64()
  const format = reader.buffer.readInt8(crcAt - 1)
  if (format !== magic) throw new RangeError(`message format ${format} is older than Kafka 0.11`)
  if (crc32c(reader.buffer.subarray(attributesAt)) !== reader.buffer.readUInt32BE(crcAt)) {
    throw new RangeError(`the checksum of the batch at offset ${firstOffset} is wrong`)
  }
  reader.offset = attributesAt
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
    records: await decompress(attributes & 0x07, reader.buffer.subarray(headerBytes)),
  }
}

/** The records of a batch from an offset on: what lies before was asked for only because batches are sent whole. */
export function* readRecords(batch: InBatch, fromOffset: number): Generator<{ offset: number; record: InRecord }> {
  const reader = new Reader(batch.records)
  for (let i = 0; i < batch.count; i++) {
    const length = reader.varint()
    const end = reader.offset + length
    reader.offset += 1
    const timestamp = batch.firstTimestamp + reader.varlong()
    const offset = batch.firstOffset + reader.varint()
    if (offset >= fromOffset) {
      // one copy a record: a message that waits long must not hold a whole response in memory
      const own = new Reader(Buffer.from(batch.records.subarray(reader.offset, end)))
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
