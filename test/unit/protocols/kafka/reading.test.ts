import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import type { Cluster } from '../../../../protocols/kafka/client/connection.ts'
import { keyOf } from '../../../../protocols/kafka/client/topic-partition.ts'
import { type KafkaDelivery, partitions, redeliverMs } from '../../../../protocols/kafka/delivery.ts'
import { OwnedPartition } from '../../../../protocols/kafka/partition.ts'
import { envelopeOf, Reading } from '../../../../protocols/kafka/reading.ts'
import type { Delivery } from '../../../../src/adapter/contract.ts'
import { SourceSession } from '../../../../src/adapter/source-session.ts'
import { RetryableError } from '../../../../src/errors.ts'
import { testContext } from '../../../support/contexts/context.ts'
import { eventually } from '../../../support/poll.ts'
import { WatchedBudget } from '../../adapter/watched-budget.ts'
import { batchOf } from './batches.ts'

const notLeader = 6
const lost = () => new RetryableError('PEER_LOST', 'the node is away')

/** Topic `t`; each partition has a record at every offset below its end. */
class FakeCluster {
  readonly leaders = new Map<number, number>()
  readonly ends = new Map<number, number>()
  readonly owned = new Map<string, OwnedPartition>()
  /** Fetches each node was asked for. */
  readonly fetches = new Map<number, number>()
  readonly positions: string[] = []
  readonly requestTimeoutMs = 1_000
  /** Instead of an answer about a partition: an error code, or records that cannot be read. */
  oddities = new Map<number, { errorCode?: number; records?: Buffer }>()
  isAway = (_node: number) => false

  leaderOf(_topic: string, partition: number): number | undefined {
    return this.leaders.get(partition)
  }

  async send(node: number) {
    this.fetches.set(node, (this.fetches.get(node) ?? 0) + 1)
    await new Promise((resolve) => setTimeout(resolve, 1))
    if (this.isAway(node)) throw lost()
    const mine = [...this.owned.values()].filter(({ partition }) => this.leaders.get(partition) === node)
    return { errorCode: 0, partitions: await Promise.all(mine.map((partition) => this.#fetched(partition))) }
  }

  async broker(node: number) {
    return {
      listOffsets: async ({
        topics,
      }: {
        topics: { topic: string; partitions: { partition: number; timestamp: number }[] }[]
      }) => {
        for (const { partition, timestamp } of topics[0]!.partitions)
          this.positions.push(`${node}: ${partition} ${timestamp}`)
        return {
          responses: topics.map(({ topic, partitions }) => ({
            topic,
            partitions: partitions.map(({ partition }) => ({ partition, offset: '7' })),
          })),
        }
      },
    }
  }

  ask<T>(_broker: unknown, _what: string, request: Promise<T>): Promise<T> {
    return request
  }

  async #fetched({ topic, partition, fetchOffset }: OwnedPartition) {
    const end = this.ends.get(partition) ?? 0
    const odd = this.oddities.get(partition)
    const records =
      odd?.records ?? (fetchOffset < end ? await batchOf(fetchOffset, end - fetchOffset) : Buffer.alloc(0))
    const answer = { topic, partition, errorCode: odd?.errorCode ?? 0, lastStableOffset: end, logStartOffset: 0 }
    return { ...answer, aborted: [], records: answer.errorCode === 0 ? records : Buffer.alloc(0) }
  }
}

let cluster: FakeCluster
let stopping: AbortController
beforeEach(() => {
  cluster = new FakeCluster()
  stopping = new AbortController()
})
afterEach(() => {
  stopping.abort()
  jest.restoreAllMocks()
})

/** Partitions that are ours, from these offsets; -1: not placed yet. */
function own(...offsets: number[]): void {
  for (const [partition, offset] of offsets.entries()) {
    const owned = new OwnedPartition({ topic: 't', partition, offset }, { committed: -1, begin: 'latest' })
    cluster.owned.set(keyOf(owned), owned)
  }
}

/** Reads; what was delivered, by the number of the partition, how often leaders were looked up, and what was said. */
function read({ maxCount = 1_000 } = {}) {
  const delivered = new Map<number, number>()
  const seen = { looks: 0 }
  const lines: string[] = []
  const say = (level: string) => (message: string) => void lines.push(`${level} ${message}`)
  const log = { debug() {}, info: say('info'), warn: say('warn'), error: say('error') }
  const context = testContext('events', { log })
  const budget = new WatchedBudget(maxCount)
  const deliver = (batch: Iterable<Delivery>) => {
    for (const { envelope } of batch) {
      const partition = Number(envelope.messageId.split('/')[1])
      delivered.set(partition, (delivered.get(partition) ?? 0) + 1)
    }
  }
  const settings = { group: 'g', startFrom: () => 'earliest' as const, maxFetchBytes: 1_024 }
  const session = new SourceSession<KafkaDelivery>(partitions, { budget, gather: 'turn', redeliverMs })
  session.start(deliver)
  const parts = {
    cluster: cluster as unknown as Cluster,
    context,
    settings,
    session,
    failingSince: new Map(),
    envelopeOf,
  }
  const lookUp = async () => {
    seen.looks += 1
  }
  const ended = new Reading(parts, cluster.owned, { lookUp, stopped: stopping.signal }).run()
  ended.catch(() => {})
  return { delivered, budget, ended, seen, lines }
}

test('a partition without a leader is looked up again, and told of once; the others are read meanwhile', async () => {
  own(0, 0)
  cluster.leaders.set(1, 1)
  cluster.ends.set(0, 3).set(1, 5)
  const { delivered, seen, lines } = read()
  await eventually(() => delivered.get(1) === 5, { what: 'the other one' })
  await eventually(() => seen.looks > 1, { what: 'two looks' })
  cluster.ends.set(1, 9)
  await eventually(() => delivered.get(1) === 9, { what: 'and what came later' })
  expect(delivered.get(0)).toBeUndefined()
  cluster.leaders.set(0, 2)
  await eventually(() => delivered.get(0) === 3, { what: 'the one that has a leader again' })
  await eventually(() => lines.length === 2, { what: 'word of both' })
  expect(lines).toEqual([
    'warn partitions without a leader are not read; the others are',
    'info all partitions have a leader again and are read',
  ])
})

test('a node that does not answer holds up nothing of the others, and is not asked all the time', async () => {
  own(0, 0)
  cluster.leaders.set(0, 1).set(1, 2)
  cluster.ends.set(0, 3).set(1, 5)
  cluster.isAway = (node) => node === 1
  const { delivered, seen } = read()
  await eventually(() => seen.looks > 1, { what: 'two looks' })
  expect(delivered.get(1)).toBe(5)
  expect(cluster.fetches.get(2)).toBeGreaterThan(20) // its answers come at once
  expect(cluster.fetches.get(1)).toBeLessThanOrEqual(seen.looks + 1)
  cluster.leaders.set(0, 2)
  await eventually(() => delivered.get(0) === 3, { what: 'read from its successor' })
})

test('a node that denies leading a partition is asked for it again after the next look only', async () => {
  own(0, 0)
  cluster.leaders.set(0, 1).set(1, 2)
  cluster.ends.set(0, 3).set(1, 5)
  cluster.oddities.set(0, { errorCode: notLeader })
  const { delivered, seen } = read()
  await eventually(() => seen.looks > 1, { what: 'two looks' })
  expect(delivered.get(1)).toBe(5)
  expect(cluster.fetches.get(1)).toBeLessThanOrEqual(seen.looks + 1)
  cluster.oddities.clear()
  await eventually(() => delivered.get(0) === 3, { what: 'read where it was denied' })
})

test('a partition that had no leader when it became ours begins where it should, once it has one', async () => {
  own(-1)
  cluster.ends.set(0, 9)
  const { delivered, seen } = read()
  await eventually(() => seen.looks > 0, { what: 'a look' })
  expect([cluster.positions, cluster.fetches.size]).toEqual([[], 0])
  cluster.leaders.set(0, 1)
  await eventually(() => delivered.get(0) === 2, { what: 'its two records behind 7' })
  expect(cluster.positions).toEqual(['1: 0 -1']) // the latest, as it was told
})

test('what was taken before a record that cannot be read is given back', async () => {
  own(0)
  cluster.leaders.set(0, 1)
  cluster.ends.set(0, 3)
  const real = OwnedPartition.prototype.shift
  let shifted = 0
  jest.spyOn(OwnedPartition.prototype, 'shift').mockImplementation(function (this: OwnedPartition) {
    shifted += 1
    if (shifted === 3) throw new RetryableError('PEER_FAILED', 'unreadable')
    return real.call(this)
  })
  const { budget, ended, delivered } = read()
  await expect(ended).rejects.toThrow('unreadable')
  expect([budget.count, delivered.size]).toEqual([0, 0])
})

test('nobody waits for room any more once the reading is stopped', async () => {
  own(0)
  cluster.leaders.set(0, 1)
  cluster.ends.set(0, 9)
  const { budget, delivered } = read({ maxCount: 4 })
  await eventually(() => delivered.get(0) === 4, { what: 'a full budget' })
  await eventually(() => budget.waiting === 1, { what: 'somebody who waits' })
  stopping.abort()
  await eventually(() => budget.waiting === 0, { what: 'nobody who waits' })
})

test('a partition for which an answer had no room is not taken for stalled', async () => {
  own(0, 0)
  cluster.leaders.set(0, 1).set(1, 1)
  cluster.ends.set(0, 1).set(1, 5)
  cluster.oddities.set(1, { records: Buffer.alloc(0) })
  let nowMs = Date.now()
  jest.spyOn(Date, 'now').mockImplementation(() => nowMs)
  const { delivered, ended } = read()
  let hasEnded = false
  ended.catch(() => {
    hasEnded = true
  })
  for (let end = 2; end < 8; end += 1) {
    nowMs += 20_000
    cluster.ends.set(0, end)
    await eventually(() => delivered.get(0) === end, { what: 'the other one goes on' })
  }
  expect(hasEnded).toBe(false)
  nowMs += 31_000 // nothing of any now
  await expect(ended).rejects.toThrow('nothing arrives from t/1')
})
