/** The embedded broker with a store: nothing is acknowledged before it is on disk, and what it finds there at its start. */
import { afterEach, describe, expect, test } from '@jest/globals'
import type { MqttBrokerConnection } from '../../protocols/mqtt/broker/config.ts'
import type { Outbound } from '../../src/adapter/contract.ts'
import { testContext } from '../support/contexts/context.ts'
import { FakeKept } from '../support/contexts/kept.ts'
import { cleanUp, inbox, message, packets, place, type RawDevice, raw } from '../support/contexts/mqtt-broker.ts'
import { eventually } from '../support/poll.ts'

afterEach(cleanUp)

const signal = new AbortController().signal
const accept = () => 'accept' as const
const connackBytes = 4

async function keptPlace(kept: FakeKept, settings: Partial<MqttBrokerConnection> = {}) {
  const at = await place(settings, { ...testContext('devices'), kept })
  return { ...at, sink: await at.sink() }
}

function to(topic: string, payload: string, qos: 0 | 1 | 2 = 1) {
  const target = { topic, qos, retain: false }
  return { envelope: message(payload), target, format: undefined } as Outbound<typeof target>
}

/** The broker has seen all that came before. */
async function settled(device: RawDevice): Promise<void> {
  for (const _ of ['read', 'handled', 'answered']) {
    const before = device.bytes().length
    device.send(packets.ping)
    await device.receive(before + 2)
  }
}

const pongs = 3 * 2

/** Leaves a kept session behind. */
async function subscribeAndLeave(at: { port: number }, clientId: string, filter: string, login = {}): Promise<void> {
  const device = await raw(at.port)
  device.send(packets.connect({ clientId, clean: false, ...login }), packets.subscribe(filter, 1))
  await device.receive(connackBytes + 5)
  device.send(packets.disconnect)
  await device.closed()
}

describe('while the disk is busy', () => {
  test.each([
    ['PUBACK', 1],
    ['PUBREC', 2],
  ] as const)('no %s for a message that an absent device is to get', async (_name, qos) => {
    const kept = new FakeKept()
    const at = await keptPlace(kept)
    await subscribeAndLeave(at, 'away', 't')
    const sender = await raw(at.port)
    sender.send(packets.connect())
    await sender.receive(connackBytes)
    const goOn = kept.stall()
    sender.send(packets.publish('t', 'x', qos, 5))
    await settled(sender)
    expect(sender.bytes()).toHaveLength(connackBytes + pongs)
    goOn()
    await sender.receive(connackBytes + pongs + 4)
    expect([...kept.all('queued')]).toHaveLength(1)
  })

  test('no PUBACK for a retained message, and pings are answered meanwhile', async () => {
    const kept = new FakeKept()
    const at = await keptPlace(kept)
    const sender = await raw(at.port)
    sender.send(packets.connect())
    await sender.receive(connackBytes)
    const goOn = kept.stall()
    sender.send(packets.publish('t', 'x', 1, 5, 1))
    await settled(sender)
    expect(sender.bytes()).toHaveLength(connackBytes + pongs)
    goOn()
    await sender.receive(connackBytes + pongs + 4)
    expect([...kept.all('retained')]).toHaveLength(1)
  })

  test.each([
    ['no source wants', []],
    ['a source wants', ['#']],
  ])(
    'PUBACKs leave in the order of the messages, those that need no disk too, where %s them',
    async (_name, topics) => {
      const kept = new FakeKept()
      const at = await keptPlace(kept)
      if (topics.length > 0) await at.source(topics, accept)
      const sender = await raw(at.port)
      sender.send(packets.connect())
      await sender.receive(connackBytes)
      const goOn = kept.stall()
      const retain = 1
      sender.send(packets.publish('t', 'x', 1, 5, retain), packets.publish('u', 'y', 1, 6))
      await settled(sender)
      sender.send(packets.publish('u', 'z', 1, 7))
      await settled(sender)
      expect(sender.bytes()).toHaveLength(connackBytes + 2 * pongs)
      goOn()
      await sender.receive(connackBytes + 2 * pongs + 3 * 4)
      const ids = [...sender.bytes().subarray(connackBytes + 2 * pongs)].filter((_, index) => index % 4 === 3)
      expect(ids).toEqual([5, 6, 7])
    },
  )

  test('no SUBACK for a kept session, no delivery by the sink', async () => {
    const kept = new FakeKept()
    const at = await keptPlace(kept)
    await subscribeAndLeave(at, 'away', 't')
    const device = await raw(at.port)
    device.send(packets.connect({ clientId: 'b', clean: false }))
    await device.receive(connackBytes)
    const goOn = kept.stall()
    device.send(packets.subscribe('u', 1))
    let isSent = false
    const sent = at.sink.send([to('t', 'x')], signal).finally(() => {
      isSent = true
    })
    await settled(device)
    expect([device.bytes().length, isSent]).toEqual([connackBytes + pongs, false])
    goOn()
    await device.receive(connackBytes + pongs + 5)
    expect(await sent).toEqual([{ kind: 'delivered' }])
  })

  test('messages that need no disk pass, and none of the others is dropped for it', async () => {
    const kept = new FakeKept()
    const at = await keptPlace(kept)
    await subscribeAndLeave(at, 'away', 't/#')
    const device = await at.device()
    const received = inbox(device)
    await device.subscribeAsync('t/#', { qos: 0 })
    const goOn = kept.stall()
    const batch = Array.from({ length: 200 }, (_, i) => to('t/a', String(i), (i % 3) as 0 | 1 | 2))
    const sent = at.sink.send(batch, signal)
    const sender = await at.device()
    const published = Array.from({ length: 200 }, (_, i) =>
      sender.publishAsync('t/b', String(i), { qos: i % 2 === 0 ? 1 : 0 }),
    )
    await eventually(() => received.length > 100, { what: 'the first messages' })
    goOn()
    await Promise.all([sent, ...published])
    await eventually(() => received.length === 400, { what: 'all messages' })
  })
})

describe('at the start', () => {
  const users = (names: readonly string[], changes = {}) => ({
    users: names.map((username) => ({ username, password: 'p', ...changes })),
  })
  const login = (username: string) => ({ username, password: 'p', clientId: 'away', clean: false })

  async function restart(kept: FakeKept, before: Partial<MqttBrokerConnection>, after: Partial<MqttBrokerConnection>) {
    const at = await place(before, { ...testContext('devices'), kept })
    const sink = await at.sink()
    const device = await at.device(login('a'))
    await device.subscribeAsync({ 'mine/#': { qos: 1 }, 'secret/#': { qos: 1 } })
    await device.endAsync()
    await sink.send([to('secret/1', 'x'), to('mine/1', 'y')], signal)
    await sink.close()
    const next = await place(after, { ...testContext('devices'), kept: kept.crash() })
    await next.sink()
    return next
  }

  test('a session still belongs to its user', async () => {
    const next = await restart(new FakeKept(), users(['a', 'b']), users(['a', 'b']))
    await expect(next.device(login('b'))).rejects.toThrow(/identifier/i)
    const device = await next.device(login('a'))
    const received = inbox(device)
    await eventually(() => received.length === 2, { what: 'what waited' })
  })

  test('a user who lost a right does not get what it was for', async () => {
    const next = await restart(
      new FakeKept(),
      users(['a']),
      users(['a'], { subscribe: ['mine/#'], publish: ['mine/#'] }),
    )
    const device = await next.device(login('a'))
    const received = inbox(device)
    await device.publishAsync('mine/2', 'z', { qos: 1 })
    await eventually(() => received.length === 2, { what: 'what waited, and the new one' })
    expect(received).toEqual(['mine/1 y', 'mine/2 z'])
  })

  test('a session whose user is gone is over, and its client id is free', async () => {
    const next = await restart(new FakeKept(), users(['a']), users(['b']))
    const device = await next.device(login('b'))
    const received = inbox(device)
    await device.subscribeAsync('now', { qos: 1 })
    await device.publishAsync('now', 'x', { qos: 1 })
    await eventually(() => received.length > 0, { what: 'the new message' })
    expect(received).toEqual(['now x'])
  })

  test('a lost will goes to the sources; one that is no longer granted goes nowhere', async () => {
    const kept = new FakeKept()
    const at = await place(users(['a', 'b']), { ...testContext('devices'), kept })
    await at.sink()
    for (const name of ['a', 'b']) {
      const will = { topic: `wills/${name}`, payload: Buffer.from('gone'), qos: 1 as const, retain: false }
      await at.device({ username: name, password: 'p', will })
    }
    const next = await place(users(['a']), { ...testContext('devices'), kept: kept.crash() })
    const source = await next.source(['wills/#'], accept)
    await eventually(() => source.received.length > 0, { what: 'the will' })
    expect(source.received.map(({ address }) => address)).toEqual(['wills/a'])
  })
})
