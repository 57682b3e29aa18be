import { encodeBatch } from '../../../../protocols/kafka/client/record-batch.ts'
import { type InBatch, type InRecord, RecordReader } from '../../../../protocols/kafka/client/record-set.ts'

/** A batch as a broker keeps it: that many records, the first at this offset. */
export async function batchOf(firstOffset: number, count: number): Promise<Buffer> {
  const record = { key: null, value: Buffer.from('x'), headers: [], timestampMs: 0 }
  const batch = await encodeBatch(new Array(count).fill(record), { producerId: -1n, epoch: 0, first: 0 }, 'none')
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
