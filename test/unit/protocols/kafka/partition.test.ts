import { describe, expect, it } from '@jest/globals'
import { OwnedPartition } from '../../../../protocols/kafka/partition.ts'
import type { FetchedPartition } from '../../../../protocols/kafka/requests.ts'
import { batchOf } from './batches.ts'

/** What a broker answers: one batch of `count` records from `firstOffset` on. */
async function fetched(firstOffset: number, count: number): Promise<FetchedPartition> {
  return answer(await batchOf(firstOffset, count), firstOffset + count)
}

function answer(records: Buffer, lastStableOffset: number): FetchedPartition {
  return { topic: 't', partition: 0, errorCode: 0, lastStableOffset, logStartOffset: 0, aborted: [], records }
}

function partitionAt(offset: number, committed = offset): OwnedPartition {
  return new OwnedPartition({ topic: 't', partition: 0, offset }, { committed, begin: 'earliest' })
}

describe('owned partition', () => {
  it('commits the unbroken confirmed prefix only', async () => {
    const partition = partitionAt(10)
    await partition.receive(await fetched(10, 3), 10)
    const [first, second] = [partition.shift(), partition.shift()]
    second?.confirm()
    expect(partition.committable).toBe(10)
    first?.confirm()
    expect(partition.committable).toBe(12)
  })

  it('commits its new place, though lower, after the log was made anew', async () => {
    const partition = partitionAt(1000)
    partition.moveTo(0)
    await partition.receive(await fetched(0, 2), 0)
    partition.shift()?.confirm()
    expect(partition.committable).toBe(1)
    expect(partition.committable).toBeGreaterThan(partition.committed)
  })

  it('takes no position from what was in flight when the log was made anew', async () => {
    const partition = partitionAt(1000)
    await partition.receive(await fetched(1000, 1), 1000)
    const late = partition.shift()
    partition.moveTo(0)
    await partition.receive(await fetched(0, 1), 0)
    partition.shift()
    late?.confirm()
    expect(partition.committable).toBe(0)
  })

  it('is ours no more when a record cannot be read, so that nothing behind it is committed', async () => {
    const partition = partitionAt(0)
    const { records } = await fetched(0, 2)
    records.writeInt32BE(3, 57) // claims a record that is not there
    const { crc32c } = await import('../../../../protocols/kafka/crc32c.ts')
    records.writeUInt32BE(crc32c(records.subarray(21)), 17)
    await partition.receive(answer(records, 3), 0)
    partition.shift()
    expect(() => partition.shift()).toThrow()
    expect(partition.isOurs).toBe(false)
  })
})
