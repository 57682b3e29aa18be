import { describe, expect, it } from '@jest/globals'
import { Kafka, logLevel } from 'kafkajs'
import type { Delivery } from '../../src/adapter/contract.ts'
import { RetryableError } from '../../src/errors.ts'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import {
  committedOffsets,
  makeContext,
  makeTopic,
  openSink,
  outbound,
  produce,
  read,
  withAdmin,
} from '../support/contexts/kafka.ts'
import { acceptAll } from '../support/contexts/running-source.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'

async function filled(count: number, options: Parameters<typeof makeTopic>[0] = {}): Promise<string> {
  const topic = await makeTopic(options)
  await fill(topic, 0, count)
  return topic
}

async function fill(topic: string, from: number, count: number): Promise<void> {
  const sink = await openSink()
  const numbers = Array.from({ length: count }, (_, i) => from + i)
  await produce(
    sink,
    numbers.map((n) => outbound({ topic, key: `key-${n % 7}` }, { payload: Buffer.from(String(n)) })),
  )
  await sink.close()
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => String(i))

describe('Kafka source', () => {
  it('commits no further than the unbroken confirmed prefix, and a new reader goes on from there', async () => {
    const topic = await filled(10)
    const group = unique('group')
    const first = await read({ topic, group })
    await first.has(10)
    for (const n of [0, 1, 2, 4, 5, 9]) first.received[n]?.settle('accept')
    await eventually(async () => (await committedOffsets(group, topic))[0] === 3, { what: 'offset 3 committed' })
    await first.kill()
    expect((await committedOffsets(group, topic))[0]).toBe(3)
    const second = await read({ topic, group })
    await second.has(7, 45_000)
    expect(second.texts).toEqual(['3', '4', '5', '6', '7', '8', '9'])
  })

  it('never exceeds maxInFlight and goes on when there is room', async () => {
    const topic = await filled(60, { partitions: 3 })
    let inFlight = 0
    let most = 0
    const waiting: Delivery[] = []
    const reading = await read(
      { topic, group: unique('group'), maxInFlight: 8 },
      {
        onBatch: (batch) => {
          inFlight += batch.length
          most = Math.max(most, inFlight)
          waiting.push(...batch)
        },
      },
    )
    await eventually(() => waiting.length === 8, { what: 'a full budget' })
    while (reading.received.length < 60 || waiting.length > 0) {
      const delivery = await eventually(() => waiting.shift(), { what: 'the next message' })
      inFlight -= 1
      delivery.settle('accept')
    }
    expect(most).toBe(8)
    expect(reading.texts.toSorted()).toEqual(numbers(60).toSorted())
    await reading.stop()
  })

  it('drains on stop: waits for what is in flight, commits it and leaves', async () => {
    const topic = await filled(5)
    const group = unique('group')
    const reading = await read({ topic, group })
    await reading.has(5)
    let hasEnded = false
    const stopping = reading.stop().then(() => {
      hasEnded = true
    })
    reading.received.slice(0, 4).forEach((delivery) => {
      delivery.settle('accept')
    })
    await eventually(async () => (await committedOffsets(group, topic))[0] === 4, { what: 'offset 4 committed' })
    expect(hasEnded).toBe(false)
    reading.received[4]?.settle('reject')
    await stopping
    expect((await committedOffsets(group, topic))[0]).toBe(5)
    const { groups } = await withAdmin((a) => a.describeGroups([group]))
    expect(groups[0]?.members).toEqual([])
  })

  it('delivers a released message again, and leaves it uncommitted when released while stopping', async () => {
    const topic = await filled(2)
    const group = unique('group')
    const reading = await read({ topic, group })
    await reading.has(2)
    reading.received[0]?.settle('release')
    reading.received[1]?.settle('accept')
    await reading.has(3)
    expect(reading.texts).toEqual(['0', '1', '0'])
    const stopping = reading.stop()
    reading.received[2]?.settle('release')
    await stopping
    expect((await committedOffsets(group, topic))[0]).toBe(0)
  })

  it('shares partitions between two members, loses nothing, and repeats nothing that was confirmed', async () => {
    const topic = await filled(300, { partitions: 4 })
    const group = unique('group')
    const seen: string[] = []
    const note = (batch: readonly Delivery[]) => {
      for (const { envelope } of batch) seen.push(Buffer.from(envelope.payload ?? []).toString())
      acceptAll(batch)
    }
    const first = await read({ topic, group }, { onBatch: note })
    await first.has(300)
    const second = await read({ topic, group }, { onBatch: note })
    await eventually(
      async () => {
        const { groups } = await withAdmin((a) => a.describeGroups([group]))
        return groups[0]?.state === 'Stable' && groups[0].members.length === 2
      },
      { withinMs: 30_000, what: 'two members' },
    )
    await fill(topic, 300, 300)
    await eventually(() => new Set(seen).size === 600, { withinMs: 30_000, what: 'all messages' })
    expect(first.received.length).toBeGreaterThan(300)
    expect(second.received.length).toBeGreaterThan(0)
    await second.stop()
    await fill(topic, 600, 100)
    await eventually(() => new Set(seen).size === 700, { withinMs: 30_000, what: 'all messages by one member' })
    expect(seen).toHaveLength(700)
    await first.stop()
  })

  it('ignores what is settled after the partition has gone to another member', async () => {
    const topic = await filled(4, { partitions: 2 })
    const group = unique('group')
    const first = await read({ topic, group })
    await first.has(4)
    const second = await read({ topic, group }, { onBatch: acceptAll })
    await eventually(() => second.received.length > 0, { withinMs: 30_000, what: 'messages at the second member' })
    const taken = new Set(second.texts)
    await eventually(async () => Object.values(await committedOffsets(group, topic)).some((offset) => offset > 0), {
      what: 'a commit of the second member',
    })
    const before = await committedOffsets(group, topic)
    for (const delivery of first.received) {
      if (taken.has(Buffer.from(delivery.envelope.payload ?? []).toString())) delivery.settle('accept')
    }
    await fill(topic, 4, 20)
    await second.has(taken.size + 1)
    const after = await committedOffsets(group, topic)
    const untouched = Object.keys(before).filter((partition) => (before[Number(partition)] ?? -1) <= 0)
    for (const partition of untouched) expect(after[Number(partition)]).toBe(before[Number(partition)])
  })

  it('names the topic that does not exist', async () => {
    const topic = unique('absent')
    const failure = await read({ topic }).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(RetryableError)
    expect(failure).toMatchObject({ code: 'NOT_FOUND', message: expect.stringContaining(topic) })
    const existing = await withAdmin((a) => a.listTopics())
    expect(existing).not.toContain(topic)
  })

  it('keeps null values, null keys and repeated headers', async () => {
    const topic = await makeTopic()
    const sink = await openSink()
    await produce(sink, [
      outbound({ topic, key: 'gone' }, { payload: null }),
      outbound({ topic }, { headers: { colour: ['red', 'blue'] }, payload: Buffer.from([0, 255, 1]) }),
    ])
    const reading = await read({ topic, group: unique('group') })
    await reading.has(2)
    const [gone, bytes] = reading.received.map(({ envelope }) => envelope)
    expect(gone?.payload).toBeNull()
    expect(gone?.key).toBe('gone')
    expect(bytes?.key).toBeUndefined()
    expect(Buffer.from(bytes?.payload ?? [])).toEqual(Buffer.from([0, 255, 1]))
    expect(bytes?.headers.colour).toEqual(['red', 'blue'])
    expect(reading.received[0]?.address).toBe(topic)
  })

  it('begins at latest when told so, and remembers that place', async () => {
    const topic = await filled(3)
    const group = unique('group')
    const first = await read({ topic, group, startFrom: 'latest' })
    await eventually(async () => (await committedOffsets(group, topic))[0] === 3, { what: 'the place committed' })
    await first.stop()
    await fill(topic, 3, 2)
    const second = await read({ topic, group, startFrom: 'latest' })
    await second.has(2)
    expect(second.texts).toEqual(['3', '4'])
  })

  it('says loudly when its position has been deleted, and goes on', async () => {
    const topic = await filled(10)
    const group = unique('group')
    await withAdmin((a) => a.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: '2' }] }))
    await withAdmin(async (a) => {
      await a.fetchTopicOffsets(topic) // makes kafkajs learn who leads the topic
      await a.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '6' }] })
    })
    const context = makeContext()
    const reading = await read({ topic, group }, { context })
    await reading.has(4)
    expect(reading.texts).toEqual(['6', '7', '8', '9'])
    const errors = context.lines.filter(({ level }) => level === 'error')
    expect(errors).toHaveLength(1)
    expect(errors[0]?.fields).toMatchObject({ topic, position: 2, earliest: 6, latest: 10, goesOnAt: 6 })
  })

  it('leaves out what a transaction has aborted, and commits past it', async () => {
    const topic = await makeTopic()
    const group = unique('group')
    const client = new Kafka({ brokers: brokerAddresses().kafka, logLevel: logLevel.NOTHING })
    const producer = client.producer({ transactionalId: unique('tx'), maxInFlightRequests: 1, idempotent: true })
    await producer.connect()
    for (const fate of ['abort', 'commit', 'abort'] as const) {
      const transaction = await producer.transaction()
      await transaction.send({ topic, messages: [{ value: fate }, { value: fate }] })
      await transaction[fate]()
    }
    await producer.disconnect()
    const reading = await read({ topic, group }, { onBatch: acceptAll })
    await reading.has(2)
    await eventually(async () => (await committedOffsets(group, topic))[0] === 9, { what: 'the end committed' })
    expect(reading.texts).toEqual(['commit', 'commit'])
  })

  it('reads every topic that a pattern matches', async () => {
    const prefix = unique('sites')
    for (const site of ['berlin', 'oslo']) await filled(2, { name: `${prefix}.${site}` })
    await filled(2, { name: `${prefix}.oslo.old` })
    const reading = await read({ topic: `${prefix}.{site}`, group: unique('group') })
    await reading.has(4)
    expect(new Set(reading.received.map(({ address }) => address))).toEqual(
      new Set([`${prefix}.berlin`, `${prefix}.oslo`]),
    )
  })
})
