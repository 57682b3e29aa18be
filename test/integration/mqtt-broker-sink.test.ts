import { once } from 'node:events'
import { afterEach, describe, expect, test } from '@jest/globals'
import { connect } from 'mqtt'
import type { Outbound } from '../../src/adapter/contract.ts'
import { cleanUp, inbox, message, packets, place, raw } from '../support/contexts/mqtt-broker.ts'
import { eventually } from '../support/poll.ts'

afterEach(cleanUp)

const signal = new AbortController().signal
const accept = () => 'accept' as const

function to(topic: string, payload: string, { qos = 1, retain = false }: { qos?: 0 | 1 | 2; retain?: boolean } = {}) {
  return { envelope: message(payload), target: { topic, qos, retain }, format: undefined } as Outbound<{
    topic: string
    qos: 0 | 1 | 2
    retain: boolean
  }>
}

describe('embedded broker, sink', () => {
  test('messages reach the subscribers in order, with their QoS', async () => {
    const at = await place()
    const sink = await at.sink()
    const device = await at.device()
    const got: string[] = []
    device.on('message', (topic, payload, { qos }) => got.push(`${topic} ${payload.toString()} ${qos}`))
    await device.subscribeAsync('t/#', { qos: 2 })
    const batch = Array.from({ length: 300 }, (_, i) =>
      to('t/a', String(i), { qos: (i % 3) as 0 | 1 | 2, retain: i % 7 === 0 }),
    )
    const outcomes = await sink.send(batch, signal)
    expect(outcomes.every(({ kind }) => kind === 'delivered')).toBe(true)
    await eventually(() => got.length === 300, { what: 'all messages' })
    // a client lets QoS 2 out at PUBREL: order holds among messages of one QoS [MQTT-4.6.0-6]
    for (const qos of [0, 1, 2]) {
      const ofQos = got.filter((text) => text.endsWith(` ${qos}`))
      expect(ofQos).toEqual(batch.flatMap((_, i) => (i % 3 === qos ? [`t/a ${i} ${qos}`] : [])))
    }
  })

  test('nobody subscribed is delivered too', async () => {
    const at = await place()
    const sink = await at.sink()
    expect(await sink.send([to('t', 'x')], signal)).toEqual([{ kind: 'delivered' }])
  })

  test('a device that is away finds what was sent to its session, in order and within QoS', async () => {
    const at = await place()
    const sink = await at.sink()
    const session = { clientId: 'away', clean: false }
    const device = await at.device(session)
    await device.subscribeAsync('t/#', { qos: 1 })
    await device.endAsync()
    await sink.send(
      Array.from({ length: 1_200 }, (_, i) => to('t/a', String(i))),
      signal,
    )
    const back = await raw(at.port)
    back.send(packets.connect({ clientId: 'away', clean: false }))
    await eventually(() => back.bytes().includes(Buffer.from('t/a')), { what: 'a first message' })
    back.socket.destroy() // unacknowledged: all of it comes again
    const got: string[] = []
    const duplicates: boolean[] = []
    const again = connect(at.url, { ...session, protocolVersion: 4, reconnectPeriod: 0 })
    again.on('message', (_topic, payload, { dup }) => {
      got.push(payload.toString())
      duplicates.push(dup)
    })
    await eventually(() => got.length >= 1_200, { what: 'all messages' })
    expect(got).toEqual(Array.from({ length: 1_200 }, (_, i) => String(i)))
    expect(duplicates[0]).toBe(true)
    await again.endAsync()
  })

  test('a retained message is found by later subscribers, an empty one removes it', async () => {
    const at = await place()
    const sink = await at.sink()
    await sink.send([to('r/1', 'kept', { retain: true }), to('r/2', 'passing')], signal)
    const device = await at.device()
    const received = inbox(device)
    await device.subscribeAsync('r/#', { qos: 1 })
    await eventually(() => received.length === 1, { what: 'the retained message' })
    expect(received).toEqual(['r/1 kept'])
    await sink.send([to('r/1', '', { retain: true })], signal)
    const later = await at.device()
    const laterReceived = inbox(later)
    await later.subscribeAsync(['r/#', 'r/1', 'now'], { qos: 1 })
    await sink.send([to('now', 'x')], signal)
    await eventually(() => laterReceived.length === 1, { what: 'the new message' })
    expect(laterReceived).toEqual(['now x'])
  })

  test('a message of the sink does not come back by the source', async () => {
    const at = await place()
    const source = await at.source(['#'], accept)
    const sink = await at.sink()
    await sink.send([to('s/a', 'from the gateway')], signal)
    const device = await at.device()
    await device.publishAsync('s/a', 'from a device', { qos: 1 })
    expect(source.texts).toEqual(['from a device'])
  })

  test.each([['$SYS/x'], [''], ['a/+'], ['a/#'], [Array(33).fill('a').join('/')]])(
    'the topic %j is rejected',
    async (topic) => {
      const at = await place()
      const sink = await at.sink()
      const outcomes = await sink.send([to(topic, 'x'), to('t', 'y')], signal)
      expect(outcomes).toMatchObject([
        { kind: 'rejected', error: { code: 'DESTINATION_INVALID' } },
        { kind: 'delivered' },
      ])
    },
  )

  test('a closed sink answers retryable', async () => {
    const at = await place()
    const sink = await at.sink()
    await sink.close()
    await sink.close()
    expect(await sink.send([to('t', 'x')], signal)).toMatchObject([{ kind: 'retryable', error: { code: 'PEER_LOST' } }])
  })
})

describe('embedded broker, among its devices', () => {
  test('nothing is lost when one message overtakes another in one read', async () => {
    const at = await place()
    await at.sink()
    const subscriber = await at.device()
    const received = inbox(subscriber)
    await subscriber.subscribeAsync('t/#', { qos: 1 })
    const device = await raw(at.port)
    device.send(packets.connect())
    await device.receive(4)
    device.send(
      packets.publish('t/1', 'one', 1, 1),
      packets.publish('t/0', 'zero'),
      packets.publish('t/r', 'kept', 0, 0, 1),
      packets.publish('t/0', 'last'),
    )
    await eventually(() => received.length === 4, { what: 'all four' })
    expect([...received].sort()).toEqual(['t/0 last', 't/0 zero', 't/1 one', 't/r kept'])
  })

  test('a subscriber that does not read is cut off, and nobody waits for it', async () => {
    const at = await place()
    const sink = await at.sink()
    const healthy = await at.device()
    let received = 0
    healthy.on('message', () => (received += 1))
    await healthy.subscribeAsync('flood')
    const deaf = await raw(at.port)
    deaf.send(packets.connect({ clientId: 'deaf' }), packets.subscribe('flood'))
    await deaf.receive(9)
    deaf.socket.pause()
    const body = 'x'.repeat(100_000)
    let slowestMs = 0
    for (let i = 0; i < 400; i += 1) {
      const before = performance.now()
      await sink.send([to('flood', body, { qos: 0 })], signal)
      slowestMs = Math.max(slowestMs, performance.now() - before)
    }
    await eventually(() => received === 400, { what: 'all at the healthy one' })
    expect(slowestMs).toBeLessThan(8_000) // to wait for it would take 10 s
    expect(at.context.counts.get('mqtt_slow_disconnects')).toBe(1)
    await eventually(() => at.shared.current?.devices === 1, { what: 'the end of the deaf one' })
  })

  test('2,000 connects and disconnects leave nobody behind', async () => {
    const at = await place()
    const sink = await at.sink()
    for (let i = 0; i < 100; i += 1) {
      await Promise.all(Array.from({ length: 20 }, (_, j) => cycle(at.port, `device-${j % 5}`, (i * 7 + j) % 6)))
    }
    const broker = at.shared.current
    await eventually(() => broker?.devices === 0 && broker.connections === 0, { what: 'everybody gone' })
    await eventually(() => broker?.registered === 0, { what: 'no client registered' })
    const device = await at.device({ clientId: 'device-0' })
    const received = inbox(device)
    await device.subscribeAsync('t')
    await sink.send([to('t', 'x')], signal)
    await eventually(() => received.length === 1, { what: 'the message' })
  })
})

/** One of six ways of coming and going; several devices of one client id do so at a time. */
async function cycle(port: number, clientId: string, way: number): Promise<void> {
  const device = await raw(port)
  const connectPacket = packets.connect({ clientId, clean: way !== 1 })
  const answered = () => Promise.race([once(device.socket, 'data'), device.closed()])
  if (way === 0) device.send(connectPacket, packets.subscribe('t', 1), packets.disconnect)
  else device.send(connectPacket, packets.subscribe('t', 1))
  if (way === 1 || way === 2) await answered()
  if (way === 1) device.send(packets.disconnect)
  if (way === 2 || way === 3) device.socket.destroy()
  if (way === 4) device.socket.end()
  if (way === 5) setImmediate(() => setImmediate(() => device.socket.resetAndDestroy()))
  await device.closed()
}
