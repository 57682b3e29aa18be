import { describe, expect, it } from '@jest/globals'
import { crc32c } from '../../../../protocols/kafka/client/crc32c.ts'
import { head } from '../../../../protocols/kafka/client/record-batch.ts'
import type { FetchedPartition } from '../../../../protocols/kafka/client/requests.ts'
import { OwnedPartition } from '../../../../protocols/kafka/partition.ts'
import { isUnreadable } from '../../../../protocols/kafka/unreadable.ts'
import { batchOf, encodeBatch, noSequence } from './batches.ts'

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
    partition.confirm(second!.place)
    expect(partition.committable).toBe(10)
    partition.confirm(first!.place)
    expect(partition.committable).toBe(12)
  })

  it('commits its new place, though lower, after the log was made anew', async () => {
    const partition = partitionAt(1000)
    partition.moveTo(0)
    await partition.receive(await fetched(0, 2), 0)
    partition.confirm(partition.shift()!.place)
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
    partition.confirm(late!.place)
    expect(partition.committable).toBe(0)
  })
})

describe('what cannot be read', () => {
  /** A change of a batch whose checksum is right again afterwards. */
  async function spoiled(firstOffset: number, count: number, change: (batch: Buffer) => void): Promise<Buffer> {
    const batch = await batchOf(firstOffset, count)
    change(batch)
    batch.writeUInt32BE(crc32c(batch.subarray(head.attributes)), head.crc)
    return batch
  }
  const compressedAs = (codec: number) => (batch: Buffer) => void batch.writeInt16BE(codec, head.attributes)

  /** Everything a partition gives: offsets of records, and ranges of what cannot be read with the reason. */
  async function allOf(partition: OwnedPartition): Promise<(number | string)[]> {
    const all: (number | string)[] = []
    while (partition.hasWaiting) {
      await partition.unfold()
      for (let next = partition.shift(); next !== undefined; next = partition.shift()) {
        const { item, place } = next
        all.push(isUnreadable(item) ? `${item.firstOffset}-${item.offset} ${item.reason}` : item.offset)
        partition.confirm(place)
      }
    }
    return all
  }

  it.each<[string, (batch: Buffer) => void, RegExp]>([
    ['compressed in an unknown way', compressedAs(5), /^2-4 .*unknown way \(5\)/],
    ['that is no gzip', compressedAs(1), /^2-4 .*header/],
    ['that is no snappy', compressedAs(2), /^2-4 .*snappy/],
    ['that is no LZ4', compressedAs(3), /^2-4 .*LZ4/],
    ['that is no zstd', compressedAs(4), /^2-4 /],
    [
      'whose first record claims too much',
      (batch) => void batch.writeUInt8(0x7e, head.bytes),
      /^2-4 .*behind its batch/,
    ],
    ['of an older format', (batch) => void batch.writeInt8(1, head.magic), /^2-2 message format 1/],
  ])('a batch %s is one thing, with its offsets, and what is beside it is read', async (_, change, reason) => {
    const partition = partitionAt(0)
    const set = [await batchOf(0, 2), await spoiled(2, 3, change), await batchOf(5, 2)]
    partition.receive(answer(Buffer.concat(set), 7), 0)
    const all = await allOf(partition)
    expect(all).toEqual([0, 1, expect.stringMatching(reason), 5, 6])
    expect(partition.committable).toBe(7)
  })

  it.each([
    ['its batch', 63],
    ['itself', 4],
  ])(
    'a record in the middle of a batch whose value reaches beyond %s takes those behind it along, not those before',
    async (_what, valueBytes) => {
      const partition = partitionAt(0)
      const batch = await spoiled(0, 4, (bytes) => {
        const recordBytes = (bytes.length - head.bytes) / 4
        bytes.writeUInt8(valueBytes * 2, head.bytes + 2 * recordBytes + 5)
      })
      partition.receive(answer(batch, 4), 0)
      expect(await allOf(partition)).toEqual([0, 1, expect.stringMatching(/^2-3 .*too early/)])
      expect(partition.committable).toBe(4)
    },
  )

  it('nothing behind it is committed before it is confirmed', async () => {
    const partition = partitionAt(0)
    partition.receive(answer(Buffer.concat([await spoiled(0, 3, compressedAs(5)), await batchOf(3, 1)]), 4), 0)
    expect(partition.committable).toBe(0)
    await partition.unfold()
    const [unreadable, behind] = [partition.shift(), partition.shift()]
    partition.confirm(behind!.place)
    expect(partition.committable).toBe(0)
    partition.confirm(unreadable!.place)
    expect(partition.committable).toBe(4)
  })

  it('a damaged batch is fetched once more, and then set aside; what precedes it is read at once', async () => {
    const partition = partitionAt(0)
    const damaged = await batchOf(2, 3)
    damaged[damaged.length - 1]! ^= 1
    const set = Buffer.concat([await batchOf(0, 2), damaged, await batchOf(5, 1)])
    partition.receive(answer(set, 6), 0)
    expect(await allOf(partition)).toEqual([0, 1])
    expect([partition.fetchOffset, partition.committable]).toEqual([2, 2])
    partition.receive(answer(set.subarray((await batchOf(0, 2)).length), 6), 2)
    expect(await allOf(partition)).toEqual(['2-4 the checksum is wrong', 5])
    expect(partition.committable).toBe(6)
  })

  it('a damaged batch whose end is not known is passed offset by offset', async () => {
    const partition = partitionAt(2)
    const damaged = await batchOf(2, 2)
    damaged.writeInt32BE(-5, head.attributes + 2)
    partition.receive(answer(damaged, 4), 2)
    const seen: (number | string)[] = []
    for (const requested of [2, 3]) {
      partition.receive(answer(damaged, 4), requested)
      seen.push(...(await allOf(partition)))
    }
    expect(seen).toEqual(['2-2 the checksum is wrong', '3-3 the checksum is wrong'])
  })

  it('a batch is unfolded when its turn comes, not with the others of its answer', async () => {
    const partition = partitionAt(0)
    const zeros = { key: null, value: Buffer.alloc(100_000), headers: [], timestampMs: 0 }
    const [first, second] = [
      await encodeBatch([zeros], noSequence, 'gzip'),
      await encodeBatch([zeros], noSequence, 'zstd'),
    ]
    second.writeBigInt64BE(1n)
    partition.receive(answer(Buffer.concat([first, second]), 2), 0)
    expect([partition.hasWaiting, partition.isReady, partition.committable]).toEqual([true, false, 0])
    await partition.unfold()
    expect(partition.shift()?.item.offset).toBe(0)
    expect([partition.hasWaiting, partition.isReady]).toEqual([true, false])
    expect(await allOf(partition)).toEqual([1])
  })

  it('a batch that two ask for at once, as its leader has moved, is unfolded once, and none is passed over', async () => {
    const partition = partitionAt(0)
    const record = { key: null, value: Buffer.from('x'), headers: [], timestampMs: 0 }
    const set = await Promise.all([0, 1].map(() => encodeBatch([record], noSequence, 'gzip')))
    set[1]!.writeBigInt64BE(1n)
    partition.receive(answer(Buffer.concat(set), 2), 0)
    await Promise.all([partition.unfold(), partition.unfold()])
    expect(await allOf(partition)).toEqual([0, 1])
  })
})
