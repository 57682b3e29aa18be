import { afterEach, describe, expect, it } from '@jest/globals'
import { mqtt } from '../../protocols/mqtt/index.ts'
import { FakeBroker, types } from '../support/brokers/fake-mqtt-broker.ts'
import { codes, never } from '../support/contexts/messages.ts'
import { Bench, connectionOf, contextOf, listen, outbound } from '../support/contexts/mqtt-client.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'

const bench = new Bench()
afterEach(() => bench.end())

describe.each([5, 4])('the MQTT sink, version %i, on Mosquitto', (protocolVersion) => {
  it.each([0, 1, 2] as const)('confirms QoS %i and keeps bytes and order', async (qos) => {
    const topic = unique('sink')
    const { packets } = await listen(await bench.client(), `${topic}/#`)
    const sink = await bench.sink(connectionOf({ protocolVersion }))
    const batch = Array.from({ length: 300 }, (_, i) => outbound(`${topic}/${i % 3}`, `${i}`, { qos }))
    const [first, second] = await Promise.all([
      sink.send(batch.slice(0, 200), never),
      sink.send(batch.slice(200), never),
    ])
    expect(new Set(codes([...first, ...second]))).toEqual(new Set(['delivered']))
    await eventually(() => packets.length === 300, { what: 'all received' })
    expect(packets.map(({ payload }) => `${payload}`)).toEqual(batch.map((_, i) => `${i}`))
    expect(packets.every((packet) => packet.qos === qos)).toBe(true)
  })

  it('retains, and carries payloads of every size', async () => {
    const topic = unique('sizes')
    const sink = await bench.sink(connectionOf({ protocolVersion }))
    const sizes = [0, 1, 100, 127, 128, 16_383, 16_384, 100_000, 2_200_000]
    const batch = sizes.map((size) => outbound(`${topic}/${size}`, Buffer.alloc(size, size % 251), { retain: true }))
    expect(codes(await sink.send(batch, never))).toEqual(sizes.map(() => 'delivered'))
    const { packets } = await listen(await bench.client(), `${topic}/+`)
    await eventually(() => packets.length === sizes.length - 1, { what: 'the retained' }) // an empty one clears
    const bySize = packets.map(({ payload }) => payload.length).sort((a, b) => a - b)
    expect(bySize).toEqual(sizes.slice(1))
    expect(
      packets.every(({ payload, retain }) => retain && Buffer.from(payload).every((b) => b === payload.length % 251)),
    ).toBe(true)
    await sink.send(
      batch.map(({ target }) => outbound(target.topic, '', { retain: true })),
      never,
    )
  })
})

it('carries the canonical fields as MQTT 5 properties', async () => {
  const topic = unique('fields')
  const { packets } = await listen(await bench.client(), topic)
  const sink = await bench.sink()
  const plain = outbound(topic, 'x')
  const envelope = plain.envelope.with({
    contentType: 'text/plain',
    correlationId: 'c-1',
    headers: { many: ['a', 'b'], ü: 'ß' },
  })
  expect(codes(await sink.send([{ ...plain, envelope, format: 'binary' }], never))).toEqual(['delivered'])
  await eventually(() => packets.length === 1, { what: 'received' })
  const properties = packets[0]?.properties
  expect(properties?.contentType).toBe('text/plain')
  expect(`${properties?.correlationData}`).toBe('c-1')
  expect(properties?.userProperties).toMatchObject({ id: envelope.messageId, ü: 'ß' })
  expect(properties?.userProperties?.many).toEqual(['a', 'b'])
})

it('rejects what would make a broker hang up, and delivers the rest', async () => {
  const topic = unique('bad')
  const sink = await bench.sink()
  const outcomes = await sink.send(
    [
      outbound(topic, 'a'),
      outbound(`${topic}/#`, 'b'),
      outbound(`${topic}/\0`, 'c'),
      outbound('', 'd'),
      outbound(topic, 'e'),
    ],
    never,
  )
  expect(codes(outcomes)).toEqual([
    'delivered',
    'DESTINATION_INVALID',
    'DESTINATION_INVALID',
    'DESTINATION_INVALID',
    'delivered',
  ])
})

describe('the MQTT sink on a scripted broker', () => {
  async function open(connack: readonly number[] = [0, 0, 0]) {
    const broker = await FakeBroker.start()
    bench.later(() => broker.stop())
    broker.connackFor = () => Buffer.from([0x20, connack.length, ...connack])
    return { broker, sink: await bench.sink(connectionOf({ url: broker.url })) }
  }
  const idOf = (body: Buffer) => body.subarray(2 + body.readUInt16BE(0), 4 + body.readUInt16BE(0))
  const puback = (body: Buffer, code: number) =>
    Buffer.concat([Buffer.from([0x40, 3]), idOf(body), Buffer.from([code])])

  it('does not say delivered before PUBACK', async () => {
    const { broker, sink } = await open()
    let isSettled = false
    const sent = sink.send([outbound('t', 'x')], never)
    void sent.then(() => {
      isSettled = true
    })
    await broker.has(types.publish, 1)
    expect(isSettled).toBe(false)
    broker.socket.write(puback(broker.heard.at(-1)!.body, 0x10)) // nobody listens: a success
    expect(codes(await sent)).toEqual(['delivered'])
  })

  it.each([
    [0x97, 'TARGET_BUSY', 'retryable'],
    [0x80, 'PEER_FAILED', 'retryable'],
    [0x87, 'MESSAGE_REFUSED', 'rejected'],
    [0x90, 'MESSAGE_REFUSED', 'rejected'],
    [0x99, 'MESSAGE_REFUSED', 'rejected'],
  ])('tells reason code 0x%s as %s', async (code, name, kind) => {
    const { broker, sink } = await open()
    broker.onPublish = (body, socket) => socket.write(puback(body, code))
    const [outcome] = await sink.send([outbound('t', 'x')], never)
    expect(outcome).toMatchObject({ kind, error: { code: name } })
  })

  it('is given little at first, full batches once it has confirmed quickly, and as much after a reconnection', async () => {
    const { broker, sink } = await open()
    broker.onPublish = (body, socket) => socket.write(puback(body, 0))
    const sizes: number[] = []
    for (let sends = 0; sends < 5; sends += 1) {
      sizes.push(sink.maxBatch)
      const batch = Array.from({ length: sink.maxBatch }, () => outbound('t', 'x'))
      expect(new Set(codes(await sink.send(batch, never)))).toEqual(new Set(['delivered']))
    }
    await sink.open(never)
    expect([...sizes, sink.maxBatch]).toEqual([16, 32, 64, 128, 250, 250])
  })

  it('never has more unconfirmed than the broker takes', async () => {
    const { broker, sink } = await open([0, 0, 3, 33, 0, 4])
    const sent = sink.send(
      Array.from({ length: 10 }, () => outbound('t', 'x')),
      never,
    )
    await broker.has(types.publish, 4)
    await broker.has(types.publish, 4)
    expect(broker.count(types.publish)).toBe(4)
    broker.onPublish = (body, socket) => socket.write(puback(body, 0))
    for (const { body } of broker.heard.filter(({ type }) => type === types.publish))
      broker.socket.write(puback(body, 0))
    expect(new Set(codes(await sent))).toEqual(new Set(['delivered']))
    expect(
      new Set(broker.heard.filter(({ type }) => type === types.publish).map(({ body }) => idOf(body).readUInt16BE()))
        .size,
    ).toBe(10)
  })

  it('rejects a message larger than the broker takes', async () => {
    const { broker, sink } = await open([0, 0, 5, 39, 0, 0, 0, 100])
    broker.onPublish = (body, socket) => socket.write(puback(body, 0))
    // 1 + 1 + 2 + 1 (topic) + 2 (id) + 1 (properties) + payload
    const outcomes = await sink.send([outbound('t', 'x'.repeat(92)), outbound('t', 'x'.repeat(93))], never)
    expect(codes(outcomes)).toEqual(['delivered', 'MESSAGE_TOO_LARGE'])
  })

  it('calls what is unconfirmed at a loss retryable, and tells the loss', async () => {
    const { broker, sink } = await open()
    const sent = sink.send([outbound('t', 'x'), outbound('t', 'y')], never)
    const lost = sink.lost()
    await broker.has(types.publish, 2)
    broker.socket.destroy()
    expect(await sent).toMatchObject([{ kind: 'retryable', error: { code: 'PEER_LOST', isOutage: true } }, {}])
    expect(await lost).toMatchObject({ code: 'PEER_LOST' })
    expect(codes(await sink.send([outbound('t', 'z')], never))).toEqual(['PEER_LOST'])
    await sink.open(never)
    broker.onPublish = (body, socket) => socket.write(puback(body, 0))
    expect(codes(await sink.send([outbound('t', 'z')], never))).toEqual(['delivered'])
  })

  it('asks the broker for the end of QoS 2 and confirms at PUBCOMP', async () => {
    const { broker, sink } = await open()
    const sent = sink.send([outbound('t', 'x', { qos: 2 })], never)
    await broker.has(types.publish, 1)
    const id = idOf(broker.heard.at(-1)!.body)
    broker.socket.write(Buffer.concat([Buffer.from([0x50, 2]), id]))
    await broker.has(types.pubrel, 1)
    broker.socket.write(Buffer.concat([Buffer.from([0x70, 2]), id]))
    expect(codes(await sent)).toEqual(['delivered'])
  })

  it('resolves at the abort of a send', async () => {
    const { broker, sink } = await open()
    const stop = new AbortController()
    const sent = sink.send([outbound('t', 'x')], stop.signal)
    await broker.has(types.publish, 1)
    stop.abort()
    expect(codes(await sent)).toEqual(['PEER_TIMEOUT'])
  })
})

it('the MQTT sink is not open before open', async () => {
  const sink = mqtt.sink!.create(connectionOf(), contextOf())
  expect(codes(await sink.send([outbound('t', 'x')], never))).toEqual(['PEER_LOST'])
})
