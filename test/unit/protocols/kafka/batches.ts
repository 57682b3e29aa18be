import { encodeBatch } from '../../../../protocols/kafka/client/record-batch.ts'

/** A batch as a broker keeps it: that many records, the first at this offset. */
export async function batchOf(firstOffset: number, count: number): Promise<Buffer> {
  const record = { key: null, value: Buffer.from('x'), headers: [], timestampMs: 0 }
  const batch = await encodeBatch(new Array(count).fill(record), { producerId: -1n, epoch: 0, first: 0 }, 'none')
  batch.writeBigInt64BE(BigInt(firstOffset))
  return batch
}
