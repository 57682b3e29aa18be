import { afterEach, describe, expect, it } from '@jest/globals'
import { mqtt } from '../../protocols/mqtt/index.ts'
import { FakeBroker, types } from '../support/brokers/fake-mqtt-broker.ts'
import { never } from '../support/contexts/messages.ts'
import { Bench, connectionOf, contextOf, fromOf } from '../support/contexts/mqtt-client.ts'
import { RunningSource } from '../support/contexts/running-source.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'

const bench = new Bench()
afterEach(() => bench.end())

async function fake(): Promise<FakeBroker> {
  const broker = await FakeBroker.start()
  bench.later(() => broker.stop())
  return broker
}

describe.each([5, 4])('the MQTT source, version %i, on Mosquitto', (protocolVersion) => {
  const connection = () => connectionOf({ protocolVersion })

  it('hands over what is published, with bytes and topic', async () => {
    const topic = unique('plain')
    const reading = await bench.run([{ topic: `${topic}/{id}` }], connection())
    const client = await bench.client()
    await client.publishAsync(`${topic}/7`, Buffer.from([0, 255, 1]), { qos: 1 })
    await reading.has(1)
    expect(reading.received[0]?.address).toBe(`${topic}/7`)
    expect([...(reading.received[0]?.envelope.payload ?? [])]).toEqual([0, 255, 1])
  })

  it.each([1, 2] as const)('delivers again what was unsettled at a loss, QoS %i', async (qos) => {
    const topic = unique('again')
    const context = contextOf()
    const first = await bench.run([{ topic, qos }], connection(), context)
    const client = await bench.client()
    for (const text of ['a', 'b', 'c']) await client.publishAsync(topic, text, { qos: 1 })
    await first.has(3)
    first.received[0]?.settle('accept')
    await client.publishAsync(topic, 'd', { qos })
    await first.has(4)
    await first.source.close()
    const second = await bench.run([{ topic, qos }], connection(), context)
    await second.has(3)
    expect(second.texts).toEqual(['b', 'c', 'd'])
    for (const delivery of second.received) delivery.settle('accept')
    await second.stop()
    await second.source.close()
    const third = await bench.run([{ topic, qos }], connection(), context)
    await client.publishAsync(topic, 'e', { qos })
    await third.has(1)
    expect(third.texts).toEqual(['e'])
  })

  it('receives what was published while it was away', async () => {
    const topic = unique('away')
    const context = contextOf()
    const first = await bench.run([{ topic }], connection(), context)
    await first.source.close()
    const client = await bench.client()
    await client.publishAsync(topic, 'missed', { qos: 1 })
    const second = await bench.run([{ topic }], connection(), context)
    await second.has(1)
    expect(second.texts).toEqual(['missed'])
  })

  it('gets one copy where filters of several routes overlap', async () => {
    const topic = unique('overlap')
    const froms = [
      { topic: `${topic}/#`, qos: 0 },
      { topic: `${topic}/+/x`, qos: 1 },
      { topic: `${topic}/{a}/{rest#}` },
    ]
    const reading = await bench.run(froms, connection())
    const client = await bench.client()
    await client.publishAsync(`${topic}/1/x`, 'one', { qos: 1 })
    await client.publishAsync(`${topic}/end`, 'last', { qos: 1 })
    await reading.has(2)
    expect(reading.texts).toEqual(['one', 'last'])
  })

  it('divides the messages of a share group', async () => {
    const topic = unique('share')
    const froms = [{ topic: `${topic}/+`, share: 'crew' }]
    const [one, two] = [await bench.run(froms, connection()), await bench.run(froms, connection())]
    for (const reading of [one, two])
      reading.onBatch = (batch) => batch.forEach((delivery) => void delivery.settle('accept'))
    const client = await bench.client()
    for (let i = 0; i < 20; i += 1) await client.publishAsync(`${topic}/${i}`, `${i}`, { qos: 1 })
    await eventually(() => one.received.length + two.received.length === 20, { what: '20 in all' })
    expect(new Set([...one.texts, ...two.texts]).size).toBe(20)
    expect(Math.min(one.received.length, two.received.length)).toBeGreaterThan(0)
  })

  it('receives a retained message once, also after a reconnection', async () => {
    const topic = unique('retained')
    const client = await bench.client()
    await client.publishAsync(topic, 'kept', { qos: 1, retain: true })
    bench.later(() => client.publishAsync(topic, '', { retain: true }))
    const source = bench.source([{ topic }], connection())
    await source.open(never)
    const first = new RunningSource(source)
    await first.has(1)
    first.received[0]?.settle('accept')
    await first.stop()
    await source.close()
    await source.open(never)
    const second = new RunningSource(source)
    await client.publishAsync(topic, 'new', { qos: 1 })
    await second.has(1)
    expect(second.texts).toEqual(['new'])
  })

  it('never has more than maxInFlight unsettled, and goes on after', async () => {
    const topic = unique('window')
    const reading = await bench.run([{ topic }], connectionOf({ protocolVersion, maxInFlight: 5 }))
    const client = await bench.client()
    await Promise.all(Array.from({ length: 40 }, (_, i) => client.publishAsync(topic, `${i}`, { qos: 1 })))
    await reading.has(5)
    await client.publishAsync(unique('fence'), 'x', { qos: 1 })
    expect(reading.received).toHaveLength(5)
    reading.onBatch = (batch) => batch.forEach((delivery) => void setImmediate(() => delivery.settle('accept')))
    for (const delivery of reading.received) delivery.settle('accept')
    await reading.has(40)
    expect(reading.texts).toEqual(Array.from({ length: 40 }, (_, i) => `${i}`))
    await reading.stop()
  })
})

describe('the MQTT source on a scripted broker', () => {
  async function run(broker: FakeBroker, settings: Record<string, unknown> = {}, context = contextOf()) {
    return await bench.run([{ topic: 'a', qos: 2 }], connectionOf({ url: broker.url, ...settings }), context)
  }

  it('holds PUBACK until the settlement and sends them in the order of receipt', async () => {
    const broker = await fake()
    const reading = await run(broker)
    for (const id of [11, 12, 13]) broker.publish('a', `${id}`, { id })
    await reading.has(3)
    reading.received[2]?.settle('accept')
    reading.received[1]?.settle('reject')
    expect(broker.count(types.puback)).toBe(0)
    reading.received[0]?.settle('accept')
    await broker.has(types.puback, 3)
    expect(broker.ids(types.puback)).toEqual([11, 12, 13])
  })

  it('holds PUBREC until the settlement, answers PUBREL at once', async () => {
    const broker = await fake()
    const reading = await run(broker)
    broker.publish('a', 'x', { qos: 2, id: 5 })
    broker.publish('a', 'fence', { qos: 1, id: 6 })
    await reading.has(2)
    expect(broker.count(types.pubrec)).toBe(0)
    reading.received[0]?.settle('accept')
    await broker.has(types.pubrec, 1)
    broker.socket.write(Buffer.from([0x62, 2, 0, 5]))
    await broker.has(types.pubcomp, 1)
    expect(broker.ids(types.pubcomp)).toEqual([5])
  })

  it('does not hand over a QoS 2 message again whose PUBREC was lost', async () => {
    const broker = await fake()
    broker.connackFor = () => Buffer.from([0x20, 3, 1, 0, 0]) // session present
    const source = bench.source([{ topic: 'a', qos: 2 }], connectionOf({ url: broker.url }))
    await source.open(never)
    const first = new RunningSource(source)
    broker.publish('a', 'x', { qos: 2, id: 5 })
    await first.has(1)
    first.received[0]?.settle('accept')
    await broker.has(types.pubrec, 1)
    broker.socket.destroy()
    await expect(first.done).rejects.toMatchObject({ code: 'PEER_LOST' })
    await source.open(never)
    const second = new RunningSource(source)
    broker.publish('a', 'x', { qos: 2, id: 5, dup: true })
    await broker.has(types.pubrec, 2)
    broker.publish('a', 'next', { qos: 2, id: 6 })
    await second.has(1)
    expect(second.texts).toEqual(['next'])
  })

  it('writes no acknowledgement of an older connection', async () => {
    const broker = await fake()
    const source = bench.source([{ topic: 'a' }], connectionOf({ url: broker.url }))
    await source.open(never)
    const first = new RunningSource(source)
    broker.publish('a', 'old', { id: 1 })
    await first.has(1)
    broker.socket.destroy()
    await expect(first.done).rejects.toMatchObject({ code: 'PEER_LOST', retryable: true })
    await source.open(never)
    const second = new RunningSource(source)
    broker.publish('a', 'new', { id: 1 })
    await second.has(1)
    first.received[0]?.settle('accept')
    broker.publish('a', 'newer', { id: 2 })
    await second.has(2)
    expect(broker.count(types.puback)).toBe(0)
    for (const delivery of second.received) delivery.settle('accept')
    await broker.has(types.puback, 2)
    expect(broker.ids(types.puback)).toEqual([1, 2])
  })

  it('hands a released message over again and acknowledges after it', async () => {
    const broker = await fake()
    const reading = await run(broker)
    broker.publish('a', 'x', { id: 1 })
    await reading.has(1)
    reading.received[0]?.settle('release')
    await reading.has(2)
    expect(broker.count(types.puback)).toBe(0)
    reading.received[1]?.settle('accept')
    await broker.has(types.puback, 1)
  })

  it('drains: reads no more, leaves what is released unacknowledged, resolves when all is settled', async () => {
    const broker = await fake()
    const reading = await run(broker)
    for (const id of [1, 2]) broker.publish('a', `${id}`, { id })
    await reading.has(2)
    const stopped = reading.stop()
    broker.publish('a', 'late', { id: 3 })
    reading.received[0]?.settle('release')
    reading.received[1]?.settle('accept')
    await stopped
    await broker.has(types.puback, 1)
    expect(broker.ids(types.puback)).toEqual([2])
    expect(reading.received).toHaveLength(2)
  })

  it('pings and keeps the connection while nothing is settled and reading is paused', async () => {
    const broker = await fake()
    const reading = await run(broker, { keepalive: '1s' }, contextOf(3))
    for (let i = 0; i < 10; i += 1) broker.publish('a', `${i}`, { qos: 0 })
    await reading.has(3)
    await Promise.race([broker.has(types.ping, 5), reading.done]) // rejects at a loss; unread, the answers are no sign of life
    expect(reading.received).toHaveLength(3)
    reading.onBatch = (batch) => batch.forEach((delivery) => void setImmediate(() => delivery.settle('accept')))
    for (const delivery of reading.received) delivery.settle('accept')
    await reading.has(10)
  })

  it('gives a silent broker up', async () => {
    const broker = await fake()
    broker.answersPings = false
    const reading = await run(broker, { keepalive: '1s' })
    await expect(reading.done).rejects.toMatchObject({ code: 'PEER_TIMEOUT', retryable: true })
    expect(broker.count(types.ping)).toBeGreaterThan(0)
  })

  it('speaks 3.1.1 where the broker refuses 5', async () => {
    const broker = await fake()
    broker.suback = (body) => Buffer.from([0x90, 3, body[0]!, body[1]!, 1])
    broker.connackFor = (version) => Buffer.from([0x20, 2, 0, version === 4 ? 0 : 1])
    await bench.source([{ topic: 'a' }], connectionOf({ url: broker.url })).open(never)
    expect(broker.heard.filter(({ type }) => type === types.connect).map(({ body }) => body[6])).toEqual([5, 4])
  })

  it('asks for a persistent session with a stable name and a receive maximum', async () => {
    const broker = await fake()
    const context = { ...contextOf(), connection: 'plant' }
    await run(broker, { maxInFlight: 77, sessionExpiry: '1d' }, context)
    const connect = broker.heard[0]?.body as Buffer
    expect(connect[7]! & 2).toBe(0) // clean start
    expect(connect.includes(Buffer.from('test-plant-in'))).toBe(true)
    expect(connect.includes(Buffer.from([33, 0, 77]))).toBe(true)
    expect(connect.includes(Buffer.from([17, 0, 1, 0x51, 0x80]))).toBe(true)
  })
})

it('the MQTT source groups its froms by share', () => {
  const connection = connectionOf()
  const group = (from: Record<string, unknown>) => mqtt.source!.group(fromOf(from), connection)
  expect(group({ topic: 'a' })).toBe(group({ topic: 'b/#' }))
  expect(group({ topic: 'a', share: 'x' })).not.toBe(group({ topic: 'a' }))
})
