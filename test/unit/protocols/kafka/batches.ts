import type { Compression } from '../../../../protocols/kafka/client/compression.ts'
import {
  BatchBuilder,
  type HeaderBytes,
  type OutRecord,
  type Sequence,
} from '../../../../protocols/kafka/client/record-batch.ts'
import { type InBatch, type InRecord, RecordReader } from '../../../../protocols/kafka/client/record-set.ts'

export const noSequence: Sequence = { producerId: -1n, epoch: 0, first: 0 }

export function encodeBatch(
  records: readonly OutRecord[],
  sequence = noSequence,
  compression: Compression = 'none',
): Promise<Buffer> {
  const batch = new BatchBuilder(64)
  for (const record of records) batch.add(record, Number.POSITIVE_INFINITY)
  return batch.finish(sequence, compression)
}

/** Name and value of each header. */
export function pairsOf(headers: OutRecord['headers']): [name: string, value: HeaderBytes][] {
  const pairs: [string, HeaderBytes][] = []
  for (let i = 0; i < headers.length; i += 2) pairs.push([headers[i] as string, headers[i + 1] as HeaderBytes])
  return pairs
}

/** A batch as a broker keeps it: that many records, the first at this offset. */
export async function batchOf(firstOffset: number, count: number): Promise<Buffer> {
  const record = { key: null, value: Buffer.from('x'), headers: [], timestampMs: 0 }
  const batch = await encodeBatch(new Array(count).fill(record))
  batch.writeBigInt64BE(BigInt(firstOffset))
  return batch
}

/** All of a batch from an offset on; `records`: unfolded, where they were compressed. */
export function recordsOf(batch: InBatch, fromOffset = 0, records?: Buffer): InRecord[] {
  const reader = new RecordReader(batch, fromOffset, records)
  const all: InRecord[] = []
  for (let next = reader.next(); next !== undefined; next = reader.next()) all.push(next)
  return all
}
