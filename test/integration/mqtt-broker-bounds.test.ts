/** What one device can ask of the embedded broker, and what it may not. */
import { afterEach, describe, expect, test } from '@jest/globals'
import { sessionBounds } from '../../protocols/mqtt/broker/sessions/sessions.ts'
import type { Delivery } from '../../src/adapter/contract.ts'
import { testContext } from '../support/contexts/context.ts'
import { FakeKept } from '../support/contexts/kept.ts'
import { cleanUp, inbox, packets, place, raw } from '../support/contexts/mqtt-broker.ts'
import { eventually } from '../support/poll.ts'

afterEach(cleanUp)

const connackBytes = 4
const accept = () => 'accept' as const
const many = (count: number) => Array.from({ length: count }, (_, i) => `t/${i}`)

async function keptPlace(settings = {}) {
  const kept = new FakeKept()
  const at = await place(settings, { ...testContext('devices'), kept })
  await at.source(['other'], accept)
  const subscriptions = () => [...kept.all('subscription')].map(([key]) => key.replace(/^\d+ dev/, '')).sort()
  return { ...at, kept, subscriptions }
}

async function connected(port: number, clean = false) {
  const device = await raw(port)
  device.send(packets.connect({ clientId: 'dev', clean }))
  await device.receive(connackBytes)
  return device
}

describe('one SUBSCRIBE', () => {
  test.each([101, 5_000])('with %i filters ends the connection, and nothing of it is kept', async (count) => {
    const at = await keptPlace()
    const device = await connected(at.port)
    device.send(packets.subscribeAll(many(count), 1))
    expect(await device.closed()).toBe(true)
    expect(device.bytes()).toHaveLength(connackBytes)
    expect(at.subscriptions()).toEqual([])
    expect(JSON.stringify(at.context.lines)).toContain(`names ${count} filters, 100 are allowed`)
  })

  test('keeps exactly what it was granted, each once, also where only some of it is', async () => {
    const at = await keptPlace({ maxSubscriptions: 5 })
    const device = await connected(at.port)
    device.send(packets.subscribeAll(['t/0', '$SYS/x', 't/1', 't/2'], 1))
    await device.receive(connackBytes + 4 + 4)
    device.send(packets.subscribeAll(['t/3', 't/4', 't/5', 't/1'], 1))
    const answers = await device.receive(connackBytes + 8 + 8)
    expect([...answers.subarray(8, 12), ...answers.subarray(16, 20)]).toEqual([1, 0x80, 1, 1, 1, 1, 0x80, 1])
    expect(at.subscriptions()).toEqual(['t/0', 't/1', 't/2', 't/3', 't/4'])
    expect(at.kept.writes).toBe(1 + 5) // the session, its filters
  })

  test('has no room where all subscriptions together are too large; what a device leaves is given back', async () => {
    const { subscriptions: before } = sessionBounds
    sessionBounds.subscriptions = 3_000
    try {
      const at = await keptPlace()
      const kept = await connected(at.port)
      kept.send(packets.subscribeAll(many(10), 1))
      const granted = [...(await kept.receive(connackBytes + 4 + 10))].slice(-10)
      expect(granted.filter((code) => code === 1).length).toBeGreaterThan(3)
      expect(granted.at(-1)).toBe(0x80)
      kept.send(packets.unsubscribeAll(many(10)), packets.subscribeAll(many(10), 1, 2))
      expect([...(await kept.receive(connackBytes + 14 + 4 + 14))].slice(-10)).toEqual(granted)
      kept.send(packets.disconnect)
      await kept.closed()
      const back = await raw(at.port)
      back.send(packets.connect({ clientId: 'dev', clean: false }))
      await back.receive(connackBytes)
      back.send(packets.subscribeAll(['t/0', 'another/with/many/levels'], 1))
      expect([...(await back.receive(connackBytes + 4 + 2))].slice(-2)).toEqual([1, 0x80])
    } finally {
      sessionBounds.subscriptions = before
    }
  })

  test('the same filters again and again cost the disk nothing', async () => {
    const at = await keptPlace()
    const device = await connected(at.port)
    device.send(...Array.from({ length: 50 }, () => packets.subscribeAll(many(100), 1)))
    await device.receive(connackBytes + 50 * 104)
    expect(at.kept.writes).toBe(1 + 100)
    device.send(packets.unsubscribeAll(many(100)), packets.unsubscribeAll(many(100)))
    await device.receive(connackBytes + 50 * 104 + 2 * 4)
    expect(at.subscriptions()).toEqual([])
  })

  test('6,000 SUBSCRIBE and UNSUBSCRIBE in one go are answered one after the other', async () => {
    const at = await place()
    await at.source(['other'], accept)
    const device = await connected(at.port, true)
    const pair = [packets.subscribe('t'), packets.unsubscribeAll(['t'])]
    device.send(...Array.from({ length: 3_000 }, () => pair).flat())
    await device.receive(connackBytes + 3_000 * (5 + 4))
    expect(device.bytes()[4]).toBe(0x90)
  })

  test('a topic that several of its filters match is sent once, what is published meanwhile too', async () => {
    const at = await place()
    await at.source(['other'], accept)
    const sender = await at.device()
    for (let i = 0; i < 50; i += 1) await sender.publishAsync(`r/${i}`, 'old', { qos: 1, retain: true })
    const device = await at.device()
    const received = inbox(device)
    const subscribed = device.subscribeAsync({ '#': { qos: 1 }, 'r/+': { qos: 1 }, 'r/7': { qos: 1 } })
    await subscribed
    await sender.publishAsync('r/50', 'new', { qos: 1, retain: true })
    await eventually(() => received.includes('r/50 new') && received.length >= 51, { what: 'all retained messages' })
    expect(received.filter((text) => text.startsWith('r/')).sort()).toEqual(
      [...Array.from({ length: 50 }, (_, i) => `r/${i} old`), 'r/50 new'].sort(),
    )
  })

  test.each([
    [1, { qos: 2, retain: false }, 1],
    [1, { qos: 2, retain: true }, 1],
    [0, { qos: 1, retain: true }, 0],
    [2, { qos: 1, retain: true }, 1],
  ] as const)('granted QoS %i, a message comes with no more: %j with %i', async (granted, options, comes) => {
    const at = await place()
    await at.source(['other'], accept)
    const sender = await at.device()
    const device = await at.device({ clientId: 'lower', clean: false })
    const received: number[] = []
    device.on('message', (_topic, _payload, { qos }) => received.push(qos))
    if (options.retain) await sender.publishAsync('q/a', 'x', options)
    await device.subscribeAsync('q/+', { qos: granted })
    if (!options.retain) await sender.publishAsync('q/a', 'x', options)
    await eventually(() => received.length > 0, { what: 'the message' })
    expect(received).toEqual([comes])
  })

  test('pings and publications of the device go on while it waits for retained messages', async () => {
    const at = await place()
    const source = await at.source(['in'], accept)
    const device = await connected(at.port, true)
    device.send(...[1, 2, 3].map((id) => packets.subscribe('#', 0, id)), packets.publish('in', 'x', 1, 7), packets.ping)
    await device.receive(connackBytes + 3 * 5 + 4 + 2)
    expect(source.texts).toEqual(['x'])
  })
})

describe('while sources take nothing', () => {
  const megabyte = Buffer.alloc(1_000_000, 'x')
  const flood = (qos: 1 | 2) => Array.from({ length: 40 }, (_, i) => packets.publish('in', megabyte, qos, i + 1))

  test.each([1, 2] as const)(
    'what a device had waiting goes with it, QoS %i, and what others had does not',
    async (qos) => {
      const at = await place({}, testContext('devices', { maxCount: 1 }))
      const source = await at.source(['in'], () => undefined)
      for (let round = 0; round < 3; round += 1) {
        const flooder = await connected(at.port, true)
        flooder.send(...flood(qos))
        await eventually(() => source.received.length === 1 && flooder.socket.writableLength > 0, {
          what: 'a full room',
        })
        flooder.socket.destroy()
      }
      const device = await at.device()
      const published = device.publishAsync('in', 'from another', { qos: 1 })
      await eventually(() => at.shared.current?.devices === 1, { what: 'the end of the flooders' })
      source.received[0]?.settle('accept')
      await eventually(() => source.received.length === 2, { what: 'the message of the other device' })
      expect(source.texts.at(-1)).toBe('from another')
      source.received[1]?.settle('accept')
      await published
    },
  )

  test('devices are held back, stay connected, and lose nothing once there is room', async () => {
    const at = await place({}, testContext('devices', { maxCount: 4 }))
    const held: Delivery[] = []
    let isAway = true
    const source = await at.source(['in'], (delivery) => {
      if (isAway) held.push(delivery)
      return isAway ? undefined : 'accept'
    })
    const devices = await Promise.all([1, 2, 3].map(() => raw(at.port)))
    for (const device of devices) {
      device.send(packets.connect({ keepalive: 1 }))
      await device.receive(connackBytes)
      device.send(...flood(1))
    }
    const pinging = await at.device({ keepalive: 1 })
    await eventually(() => devices.every(({ socket }) => socket.writableLength > 0), { what: 'all are held back' })
    await new Promise((resolve) => pinging.once('packetreceive', resolve)) // PINGRESP
    expect(pinging.connected).toBe(true)
    isAway = false
    for (const delivery of held) delivery.settle('accept')
    await Promise.all(devices.map((device) => device.receive(connackBytes + 40 * 4)))
    expect(source.received).toHaveLength(120)
  })

  test('packets that do not come in whole make room for each other, the slowest first', async () => {
    const at = await place()
    await at.source(['in'], accept)
    const half = packets.publish('in', megabyte, 1).subarray(0, 900_000)
    const devices = await Promise.all(Array.from({ length: 20 }, () => raw(at.port)))
    for (const device of devices) {
      device.send(packets.connect())
      await device.receive(connackBytes)
      device.send(half)
    }
    await devices[0]?.closed()
    expect(devices.at(-1)?.socket.closed).toBe(false)
  })
})

describe('what MQTT forbids ends the connection', () => {
  const connect = packets.connect({ clientId: 'dev' })
  test.each([
    ['a will with QoS 3', [packets.connect({ will: { topic: 'w', qos: 3 } })], 0],
    ['a password without a user name', [packets.connect({ password: 'x' })], 0],
    ['a user name that is no UTF-8', [packets.connect({ username: Buffer.from([0x61, 0xff]) })], 0],
    ['PUBLISH with packet id 0', [connect, packets.publish('t', 'x', 1, 0)], connackBytes],
    ['PUBLISH of QoS 2 with packet id 0', [connect, packets.publish('t', 'x', 2, 0)], connackBytes],
    ['a QoS 0 message marked as a duplicate', [connect, packets.publish('t', 'x', 0, 0, 8)], connackBytes],
    ['SUBSCRIBE with packet id 0', [connect, packets.subscribe('t', 0, 0)], connackBytes],
    ['SUBSCRIBE without a filter', [connect, packets.subscribeAll([])], connackBytes],
    ['UNSUBSCRIBE with packet id 0', [connect, packets.unsubscribeAll(['t'], 0)], connackBytes],
    ['UNSUBSCRIBE without a filter', [connect, packets.unsubscribeAll([])], connackBytes],
    ['UNSUBSCRIBE with too many filters', [connect, packets.unsubscribeAll(many(101))], connackBytes],
    ['PUBREL with packet id 0', [connect, packets.pubrel(0)], connackBytes],
    ['PUBACK with packet id 0', [connect, packets.puback(0)], connackBytes],
    ['a topic of more than 1 KiB', [connect, packets.publish('t'.repeat(1_025), 'x', 1)], connackBytes],
  ])('%s', async (_what, sent, answered) => {
    const at = await place()
    const source = await at.source(['#'], accept)
    const device = await raw(at.port)
    device.send(sent[0] as Buffer)
    if (answered > 0) await device.receive(answered)
    device.send(...sent.slice(1))
    expect(await device.closed()).toBe(true)
    expect(device.bytes()).toHaveLength(answered)
    expect(source.received).toEqual([])
  })

  test.each([
    ['a client id of more than 256 bytes', { clientId: 'ü'.repeat(129) }, 2],
    ['a will on a topic of more than 1 KiB', { will: { topic: 'w'.repeat(1_025) } }, 2],
    ['a will on a topic that is not granted', { username: 'u', password: 'p', will: { topic: 'forbidden/x' } }, 5],
    ['a will on a $ topic', { username: 'u', password: 'p', will: { topic: '$SYS/x' } }, 5],
  ])('%s is refused in the CONNACK', async (_what, fields, code) => {
    const users = [{ username: 'u', password: 'p', publish: ['mine/#'] }]
    const at = await place('username' in fields ? { users } : {})
    await at.source(['#'], accept)
    const device = await raw(at.port)
    device.send(packets.connect(fields))
    expect([...(await device.receive(connackBytes))]).toEqual([0x20, 2, 0, code])
    expect(await device.closed()).toBe(true)
  })

  test('a filter of more than 1 KiB is refused in the SUBACK', async () => {
    const at = await keptPlace()
    const device = await connected(at.port)
    device.send(packets.subscribeAll(['f'.repeat(1_025), 'f'.repeat(1_024)], 1))
    const answer = await device.receive(connackBytes + 6)
    expect([...answer.subarray(-2)]).toEqual([0x80, 1])
    expect(at.subscriptions()).toEqual(['f'.repeat(1_024)])
  })
})
