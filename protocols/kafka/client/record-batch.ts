/**
 * Record batches, format 2, which every broker since 0.11 stores. Written here, and read in `record-set.ts`, and not by
 * kafkajs, which spends several microseconds a record on small buffers, 64-bit integers as objects and copied header tables.
 */
import { type Compression, codeOf, compress } from './compression.ts'
import { crc32c } from './crc32c.ts'
import { Writer } from './wire.ts'

export type HeaderBytes = Uint8Array | string | null
/** A record on its way out. A string is written as UTF-8. */
export interface OutRecord {
  readonly key: Uint8Array | string | null
  readonly value: Uint8Array | null
  /** Name and value in turn; repeated names are repeated. */
  readonly headers: readonly HeaderBytes[]
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

/** About what a record is beside its value. */
const besideValueBytes = 256

/** How large the batch of a record alone is, about. */
export function expectedBytes({ value }: OutRecord): number {
  return besideValueBytes + (value === null ? 0 : value.length)
}

/** One batch, record by record. */
export class BatchBuilder {
  readonly #writer: Writer
  #count = 0
  #firstMs = 0
  /** A batch names the latest time of all. */
  #lastMs = 0

  /** Written beyond `expected` bytes, it is copied. */
  constructor(expected: number) {
    this.#writer = new Writer(head.bytes + expected)
    this.#writer.offset = head.bytes
  }

  get count(): number {
    return this.#count
  }

  /**
   * False where the batch would be larger than `maxBytes`, and then the record is not in it; the first is in any case.
   * Throws where it cannot be written; then nothing more may be added.
   */
  add(record: OutRecord, maxBytes: number): boolean {
    const writer = this.#writer
    const { timestampMs } = record
    if (this.#count === 0) this.#firstMs = this.#lastMs = timestampMs
    const start = writer.begin(expectedBytes(record))
    writer
      .int8(0)
      .varlong(timestampMs - this.#firstMs)
      .varint(this.#count)
    writeContent(writer, record)
    writer.endWithLength(start)
    if (writer.offset > maxBytes && this.#count > 0) {
      writer.offset = start
      return false
    }
    this.#count += 1
    if (timestampMs > this.#lastMs) this.#lastMs = timestampMs
    return true
  }

  /** The batch as a request has it. Nothing may be added afterwards. */
  async finish(sequence: Sequence, compression: Compression): Promise<Buffer> {
    const batch = compression === 'none' ? this.#writer : await compressed(this.#writer, compression)
    const end = batch.offset
    batch.offset = 0
    batch.int64(0).int32(end - head.length - 4)
    batch.int32(-1).int8(magic).int32(0).int16(codeOf(compression))
    batch
      .int32(this.#count - 1)
      .int64(this.#firstMs)
      .int64(this.#lastMs)
    batch.int64(sequence.producerId).int16(sequence.epoch).int32(sequence.first).int32(this.#count)
    batch.buffer.writeUInt32BE(crc32c(batch.buffer.subarray(head.attributes, end)), head.crc)
    return batch.buffer.subarray(0, end)
  }
}

async function compressed(writer: Writer, compression: Compression): Promise<Writer> {
  const body = await compress(compression, writer.written.subarray(head.bytes))
  const batch = new Writer(head.bytes + body.length)
  batch.offset = head.bytes
  return batch.bytes(body)
}

function writeContent(writer: Writer, { key, value, headers }: OutRecord): void {
  writePart(writer, key)
  writePart(writer, value)
  writer.varint(headers.length / 2)
  for (let i = 0; i < headers.length; i += 2) {
    writer.text(headers[i] as string)
    writePart(writer, headers[i + 1] as HeaderBytes)
  }
}

function writePart(writer: Writer, part: HeaderBytes): void {
  if (typeof part === 'string') writer.text(part)
  else if (part === null) writer.varint(-1)
  else writer.varint(part.length).bytes(part)
}
