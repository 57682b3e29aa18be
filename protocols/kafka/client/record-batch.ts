/**
 * Record batches, format 2, which every broker since 0.11 stores. Written here, and read in `record-set.ts`, and not by
 * kafkajs, which spends several microseconds a record on small buffers, 64-bit integers as objects and copied header tables.
 */
import { type Compression, compress, compressionCodes } from './compression.ts'
import { crc32c } from './crc32c.ts'
import { sizeOfVarint, sizeOfVarlong, Writer } from './wire.ts'

export type HeaderBytes = Uint8Array | string | null
/** A record on its way out. A string is written as UTF-8. */
export interface OutRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  /** Repeated names are repeated entries. */
  readonly headers: readonly (readonly [name: string, value: HeaderBytes])[]
  readonly timestampMs: number
}

export interface Sequence {
  readonly producerId: bigint
  readonly epoch: number
  readonly first: number
}

/** Where the parts of a batch's head are, and how long it is. */
export const head = { length: 8, magic: 16, crc: 17, attributes: 21, bytes: 61 } as const
/** The format of batches: the others are older than Kafka 0.11. */
export const magic = 2
/** Characters of which even three bytes each make a length of one byte. */
const shortText = 21

/** Most that position, time and length add to the size of a record. */
const positionBytes = 20

export async function encodeBatch(
  records: readonly OutRecord[],
  sequence: Sequence,
  compression: Compression,
  sizes: readonly number[] = records.map(sizeOfRecord),
): Promise<Buffer> {
  const times = timesOf(records)
  const writer = new Writer(sizes.reduce((sum, size) => sum + size + positionBytes, head.bytes))
  writer.offset = head.bytes
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
  batch.int64(0).int32(end - head.length - 4)
  batch.int32(-1).int8(magic).int32(0).int16(compressionCodes[compression])
  batch
    .int32(records.length - 1)
    .int64(times.first)
    .int64(times.last)
  batch.int64(sequence.producerId).int16(sequence.epoch).int32(sequence.first).int32(records.length)
  batch.buffer.writeUInt32BE(crc32c(batch.buffer.subarray(head.attributes, end)), head.crc)
  return batch.buffer.subarray(0, end)
}

async function compressed(writer: Writer, compression: Compression): Promise<Writer> {
  const body = await compress(compression, writer.written.subarray(head.bytes))
  const batch = new Writer(head.bytes + body.length)
  batch.offset = head.bytes
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
