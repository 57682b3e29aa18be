import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, it, jest } from '@jest/globals'
import { Cluster } from '../../protocols/kafka/client/connection.ts'
import type { ProduceResult } from '../../protocols/kafka/client/requests.ts'
import { Consumer } from '../../protocols/kafka/consumer.ts'
import {
  connection,
  makeContext,
  makeTopic,
  openSink,
  outbound,
  produce,
  read,
  withAdmin,
} from '../support/contexts/kafka.ts'
import { never } from '../support/contexts/messages.ts'
import { acceptAll } from '../support/contexts/running-source.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'

afterEach(() => {
  jest.restoreAllMocks()
})

function numbered(topic: string, from: number, count: number) {
  return Array.from({ length: count }, (_, i) => outbound({ topic, key: 'k' }, { payload: Buffer.from(`${from + i}`) }))
}

function unavailable(topic: string) {
  const error = { code: 'DESTINATION_UNAVAILABLE', isOutage: false, message: expect.stringContaining(topic) }
  return { kind: 'retryable', error }
}

/**
 * One broker has always enough replicas in sync, and leads all it has: what a cluster says when it has not is put in its
 * mouth. The batches themselves come to the broker, or not, as they would.
 */
function withoutLeader(topic: string): { end: () => void } {
  const real = Cluster.prototype.leaderOf
  const spy = jest.spyOn(Cluster.prototype, 'leaderOf').mockImplementation(function (this: Cluster, ...asked) {
    return asked[0] === topic ? undefined : real.apply(this, asked)
  })
  return { end: () => spy.mockRestore() }
}

const notEnoughReplicasAfterAppend = 20

function doubtful(topic: string, answers: number): void {
  const real = Cluster.prototype.send
  let left = answers
  const spy = jest.spyOn(Cluster.prototype, 'send').mockImplementation(async function (this: Cluster, ...asked) {
    const results = (await real.apply(this, asked)) as ProduceResult[]
    if (--left === 0) spy.mockRestore()
    return results.map((result) =>
      result.topic === topic ? { ...result, errorCode: notEnoughReplicasAfterAppend } : result,
    )
  })
}

describe('Kafka, partition by partition', () => {
  it('delivers to others while one topic has no leader, and to that one, in order, once it has one', async () => {
    const good = await makeTopic()
    const bad = await makeTopic()
    const sink = await openSink()
    const waiting = numbered(bad, 0, 3)
    await produce(sink, [...waiting.slice(0, 1), ...numbered(good, 0, 1)])
    const outage = withoutLeader(bad)
    const outcomes = await sink.send([...waiting.slice(1), ...numbered(good, 1, 2)], never)
    expect(outcomes).toMatchObject([unavailable(bad), unavailable(bad), { kind: 'delivered' }, { kind: 'delivered' }])

    const looks = jest.spyOn(Cluster.prototype, 'refresh')
    const known = await sink.send([...waiting.slice(1, 2), ...numbered(good, 3, 1)], never)
    expect(known).toMatchObject([unavailable(bad), { kind: 'delivered' }])
    expect(looks).toHaveBeenCalledTimes(1) // it is known, so that nobody waits for it
    looks.mockRestore()

    outage.end()
    await produce(sink, [...waiting.slice(1), ...numbered(bad, 3, 2)])
    for (const [topic, count] of [
      [bad, 5],
      [good, 4],
    ] as const) {
      const reading = await read({ topic, group: unique('group') })
      await reading.has(count)
      expect(reading.texts).toEqual(Array.from({ length: count }, (_, n) => `${n}`))
    }
  })

  it('writes once what it sends again after an answer that leaves it in doubt, while others go on', async () => {
    const [topic, good] = [await makeTopic(), await makeTopic()]
    const sink = await openSink()
    doubtful(topic, 2)
    await produce(sink, [...numbered(topic, 0, 3), ...numbered(good, 0, 3)])
    await produce(sink, numbered(topic, 3, 2))
    const reading = await read({ topic, group: unique('group') })
    await reading.has(5)
    expect(reading.texts).toEqual(['0', '1', '2', '3', '4'])
  })

  it.each(['from its start', 'while it reads'])(
    'reads one topic while another has no leader %s, and that one from its beginning once it has',
    async (when) => {
      const [good, bad] = [await makeTopic(), await makeTopic()]
      const sink = await openSink()
      await produce(sink, [...numbered(bad, 0, 3), ...numbered(good, 0, 3)])
      const group = unique('group')
      const of = (topic: string) => reading.received.filter(({ address }) => address === topic).length
      const early = when === 'from its start' ? withoutLeader(bad) : undefined
      const reading = await read({ topics: [good, bad], group, startFrom: 'earliest' }, { onBatch: acceptAll })
      if (early === undefined) await reading.has(6)
      const outage = early ?? withoutLeader(bad)
      await eventually(() => of(good) === 3, { what: 'the topic with a leader' })
      await produce(await openSink(), numbered(good, 3, 2))
      await eventually(() => of(good) === 5, { what: 'and what comes later' })
      await produce(await openSink(), numbered(good, 5, 2)) // the fetch before was under way when the leader went
      await eventually(() => of(good) === 7, { what: 'and after that' })
      expect(of(bad)).toBe(early === undefined ? 3 : 0)
      outage.end()
      await produce(sink, numbered(bad, 3, 2))
      await eventually(() => of(bad) === 5, { what: 'the topic that has a leader again' })
      await reading.stop()
    },
  )

  it('reads partitions that a topic is given later, although its metadata was looked up in between', async () => {
    const real = setInterval
    const hastened = (run: () => void, ms?: number) => real(run, ms === 30_000 ? 500 : ms) // the look for news
    jest.spyOn(globalThis, 'setInterval').mockImplementation(hastened as typeof setInterval)
    const topic = await makeTopic({ partitions: 3 })
    const context = makeContext()
    const cluster = new Cluster(connection(), context)
    await cluster.open(never)
    const stopping = new AbortController()
    const seen: string[] = []
    const consumer = new Consumer({
      cluster,
      context,
      budget: context.budget,
      settings: { group: unique('group'), patterns: [topic], startFrom: () => 'latest', maxFetchBytes: 1024 ** 2 },
      deliver: (batch) => {
        seen.push(...[...batch].map(({ envelope }) => String(envelope.payload)))
        acceptAll([...batch])
      },
      signal: stopping.signal,
      formerLife: { staleMemberId: '' },
    })
    const ended = consumer.run()
    const isReading = () => context.lines.some(({ message }) => message === 'reading from Kafka')
    await eventually(isReading, { withinMs: 20_000, what: 'a member that reads' })

    await withAdmin((a) => a.createPartitions({ topicPartitions: [{ topic, count: 4 }] }))
    await eventually(
      async () => {
        await cluster.refresh([topic]) // as a moved leader would have it done
        return cluster.leaderOf(topic, 3) !== undefined
      },
      { what: 'the fourth partition' },
    )
    await produce(await openSink(), [outbound({ topic, partition: 3 }, { payload: Buffer.from('new') })])
    await eventually(() => seen.includes('new'), { withinMs: 10_000, what: 'the message in the fourth partition' })
    stopping.abort()
    await ended
    cluster.close()
  })

  it('forgets topics once it knows very many, and looks up again those that it needs', async () => {
    const topic = await makeTopic()
    const cluster = new Cluster(connection(), makeContext())
    await cluster.open(never)
    await cluster.refresh([topic])
    cluster.limitTopics()
    expect(cluster.leaderOf(topic, 0)).toBeDefined()
    await cluster.refresh(Array.from({ length: 10_000 }, () => `made-${randomUUID()}`))
    cluster.limitTopics()
    expect(cluster.topic(topic)).toBeUndefined()
    cluster.close()
  })
})
