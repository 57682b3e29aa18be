import { describe, expect, it } from '@jest/globals'
import { Kafka, logLevel } from 'kafkajs'
import { kafka } from '../../protocols/kafka/index.ts'
import { brokerAddresses } from '../support/brokers/addresses.ts'
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
import { unique } from '../support/names.ts'
import { freePorts } from '../support/ports.ts'

describe('Kafka sink', () => {
  it('gives a message that is too large its own outcome and delivers the others in order', async () => {
    const topic = await makeTopic({ config: { 'max.message.bytes': '20000' } })
    const sink = await openSink()
    const batch = Array.from({ length: 30 }, (_, n) =>
      outbound({ topic, key: 'k' }, { payload: n === 13 ? Buffer.alloc(30_000) : Buffer.from(String(n)) }),
    )
    const outcomes = await sink.send(batch, never)
    expect(outcomes.map(({ kind }) => kind)).toEqual(batch.map((_, n) => (n === 13 ? 'rejected' : 'delivered')))
    expect(outcomes[13]).toMatchObject({
      error: { code: 'MESSAGE_TOO_LARGE', message: expect.stringContaining(topic) },
    })
    const reading = await read({ topic, group: unique('group') })
    await reading.has(29)
    expect(reading.texts).toEqual(batch.map((_, n) => String(n)).filter((n) => n !== '13'))
  })

  it('splits a flood of large messages by what a broker takes at once', async () => {
    const topic = await makeTopic()
    const sink = await openSink()
    await produce(
      sink,
      Array.from({ length: 40 }, (_, n) => outbound({ topic }, { payload: Buffer.alloc(300_000, n) })),
    )
    const offsets = await withAdmin((a) => a.fetchTopicOffsets(topic))
    expect(offsets[0]?.high).toBe('40')
  })

  it('leaves an unknown topic retryable and names it, unless the broker creates it, and delivers the rest', async () => {
    const topic = await makeTopic()
    const absent = unique('absent')
    const sink = await openSink()
    const outcomes = await sink.send([outbound({ topic }), outbound({ topic: absent }), outbound({ topic })], never)
    const isCreated = (await withAdmin((a) => a.listTopics())).includes(absent) // auto.create.topics.enable
    expect(outcomes.map(({ kind }) => kind)).toEqual(['delivered', isCreated ? 'delivered' : 'retryable', 'delivered'])
    if (isCreated) return
    expect(outcomes[1]).toMatchObject({ error: { code: 'NOT_FOUND', message: expect.stringContaining(absent) } })
  })

  it('rejects only the record that a compacted topic refuses for want of a key', async () => {
    const topic = await makeTopic({ config: { 'cleanup.policy': 'compact' } })
    const sink = await openSink()
    const outcomes = await sink.send(
      [
        outbound({ topic, key: 'a', partition: 0 }),
        outbound({ topic, partition: 0 }),
        outbound({ topic, key: 'b', partition: 0 }),
      ],
      never,
    )
    expect(outcomes.map(({ kind }) => kind)).toEqual(['delivered', 'rejected', 'delivered'])
    expect(outcomes[1]).toMatchObject({ error: { code: 'MESSAGE_REFUSED' } })
  })

  it('keeps order within a key over many batches', async () => {
    const topic = await makeTopic({ partitions: 3 })
    const sink = await openSink()
    for (let round = 0; round < 5; round++) {
      const batch = Array.from({ length: 400 }, (_, n) =>
        outbound({ topic, key: `key-${n % 9}` }, { payload: Buffer.from(String(round * 400 + n)) }),
      )
      await produce(sink, batch)
    }
    const reading = await read({ topic, group: unique('group'), maxInFlight: 5000 })
    await reading.has(2000)
    const lastOf = new Map<unknown, number>()
    for (const { envelope } of reading.received) {
      const n = Number(Buffer.from(envelope.payload ?? []).toString())
      expect(n).toBeGreaterThan(lastOf.get(envelope.key) ?? -1)
      lastOf.set(envelope.key, n)
    }
    expect(lastOf.size).toBe(9)
  })

  it.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'])(
    'is taken by the broker and read again when compressed with %s',
    async (compression) => {
      const topic = await makeTopic()
      const sink = await openSink({ compression })
      await produce(
        sink,
        Array.from({ length: 50 }, (_, n) => outbound({ topic, key: `k${n}` }, { payload: Buffer.from(`value ${n}`) })),
      )
      if (!['none', 'gzip'].includes(compression)) {
        const reading = await read({ topic, group: unique('group') })
        await reading.has(50)
        expect(reading.texts[49]).toBe('value 49')
        return
      }
      const consumer = new Kafka({ brokers: brokerAddresses().kafka, logLevel: logLevel.NOTHING }).consumer({
        groupId: unique('group'),
      })
      await consumer.connect()
      await consumer.subscribe({ topic, fromBeginning: true })
      const seen: string[] = []
      const all = Promise.withResolvers<void>()
      await consumer.run({
        eachMessage: async ({ message }) => {
          seen.push(`${message.key}=${message.value}`)
          if (seen.length === 50) all.resolve()
        },
      })
      await all.promise
      await consumer.disconnect()
      expect(seen).toEqual(Array.from({ length: 50 }, (_, n) => `k${n}=value ${n}`))
    },
  )

  it('goes on with a new producer id after the broker has forgotten the old one', async () => {
    const topic = await makeTopic()
    const sink = await openSink()
    await produce(sink, [outbound({ topic }), outbound({ topic })])
    await withAdmin((a) => a.deleteTopics({ topics: [topic] }))
    await makeTopic({ name: topic })
    const outcomes = await sink.send([outbound({ topic })], never)
    expect(['delivered', 'retryable']).toContain(outcomes[0]?.kind)
    await produce(sink, [outbound({ topic }), outbound({ topic })])
    const offsets = await withAdmin((a) => a.fetchTopicOffsets(topic))
    expect(Number(offsets[0]?.high)).toBe(outcomes[0]?.kind === 'delivered' ? 3 : 2)
  })

  it('calls an unreachable broker an outage', async () => {
    const [port] = await freePorts(1)
    const sink = kafka.sink?.create(connection({ brokers: [`127.0.0.1:${port}`] }), makeContext())
    const failure = await sink?.open(never).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'PEER_UNREACHABLE', isOutage: true })
    await sink?.close()
  })

  it('opens again after a close and closes twice', async () => {
    const topic = await makeTopic()
    const sink = await openSink()
    await sink.close()
    await sink.close()
    const outcomes = await sink.send([outbound({ topic })], never)
    expect(outcomes[0]).toMatchObject({ kind: 'retryable', error: { code: 'PEER_LOST' } })
    await sink.open(never)
    await produce(sink, [outbound({ topic })])
  })
})
