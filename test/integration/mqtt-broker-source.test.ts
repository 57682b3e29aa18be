import { afterEach, describe, expect, test } from '@jest/globals'
import type { Delivery } from '../../src/adapter/contract.ts'
import { testContext } from '../support/contexts/context.ts'
import { cleanUp, inbox, packets, place, raw } from '../support/contexts/mqtt-broker.ts'
import { eventually } from '../support/poll.ts'

afterEach(cleanUp)

const connack = 4
const puback = (id: number) => Buffer.from([0x40, 2, id >> 8, id & 255])
const pubrec = (id: number) => Buffer.from([0x50, 2, id >> 8, id & 255])
const pubcomp = (id: number) => Buffer.from([0x70, 2, id >> 8, id & 255])
const leftAlone = () => undefined
const accept = () => 'accept' as const

/** Resolves after the broker has answered a ping of the device: all it sent before was handled. */
async function settled(device: Awaited<ReturnType<typeof raw>>): Promise<void> {
  const before = device.bytes().length
  device.send(packets.ping)
  await device.receive(before + 2)
}

describe('embedded broker, source', () => {
  test('QoS 1 is acknowledged after accept, in the order of the messages', async () => {
    const at = await place()
    const source = await at.source(['s/#'], leftAlone)
    const device = await raw(at.port)
    device.send(packets.connect())
    await device.receive(connack)
    device.send(packets.publish('s/a', '1', 1, 1), packets.publish('s/a', '2', 1, 2), packets.publish('s/a', '3', 1, 3))
    await eventually(() => source.received.length === 3, { what: 'three messages' })
    source.received[2]?.settle('accept')
    source.received[1]?.settle('reject')
    await settled(device)
    expect(device.bytes().subarray(connack)).toEqual(Buffer.from([0xd0, 0]))
    source.received[0]?.settle('accept')
    const bytes = await device.receive(connack + 2 + 12)
    expect(bytes.subarray(connack + 2)).toEqual(Buffer.concat([puback(1), puback(2), puback(3)]))
    expect(source.texts).toEqual(['1', '2', '3'])
    expect(source.received.map(({ address }) => address)).toEqual(['s/a', 's/a', 's/a'])
  })

  test('a settled message goes to the subscribers of the broker, an unsettled one not yet', async () => {
    const at = await place()
    const source = await at.source(['s/{name}/x'], leftAlone)
    const subscriber = await at.device()
    const received = inbox(subscriber)
    await subscriber.subscribeAsync('s/#', { qos: 1 })
    const device = await at.device()
    const published = device.publishAsync('s/1/x', 'one', { qos: 1 })
    await device.publishAsync('s/1/y', 'passes by', { qos: 0 })
    await eventually(() => received.length === 1, { what: 'the other message' })
    expect(received).toEqual(['s/1/y passes by'])
    source.received[0]?.settle('accept')
    await published
    await eventually(() => received.length === 2, { what: 'the settled message' })
    expect(received[1]).toBe('s/1/x one')
    expect(source.received).toHaveLength(1)
  })

  test('release disconnects the device without an acknowledgement', async () => {
    const at = await place()
    const source = await at.source(['s'], leftAlone)
    const other = await raw(at.port)
    other.send(packets.connect())
    const device = await raw(at.port)
    device.send(packets.connect())
    await device.receive(connack)
    device.send(packets.publish('s', '1', 1, 1))
    await eventually(() => source.received.length === 1, { what: 'the message' })
    source.received[0]?.settle('release')
    await device.closed()
    expect(device.bytes()).toHaveLength(connack)
    await settled(other)
  })

  test('QoS 2 is answered after accept, and sent again before PUBREL it is no second message', async () => {
    const at = await place()
    const source = await at.source(['s'], leftAlone)
    const first = await raw(at.port)
    first.send(packets.connect({ clientId: 'twice', clean: false }))
    await first.receive(connack)
    first.send(packets.publish('s', 'once', 2, 7))
    await eventually(() => source.received.length === 1, { what: 'the message' })
    first.socket.destroy()

    const second = await raw(at.port)
    second.send(packets.connect({ clientId: 'twice', clean: false }))
    await second.receive(connack)
    second.send(packets.publish('s', 'once', 2, 7, 8))
    await settled(second)
    source.received[0]?.settle('accept')
    expect((await second.receive(connack + 2 + 4)).subarray(connack + 2)).toEqual(pubrec(7))
    second.send(packets.publish('s', 'once', 2, 7, 8))
    await second.receive(connack + 2 + 8)
    second.send(packets.pubrel(7))
    expect((await second.receive(connack + 2 + 12)).subarray(-4)).toEqual(pubcomp(7))
    expect(source.received).toHaveLength(1)

    second.send(packets.publish('s', 'another', 2, 7))
    await eventually(() => source.received.length === 2, { what: 'the next message with the same id' })
  })

  test('the open handshakes of a clean session end with it', async () => {
    const at = await place()
    const source = await at.source(['s'], leftAlone)
    for (const text of ['a', 'b']) {
      const device = await raw(at.port)
      device.send(packets.connect({ clientId: 'clean' }), packets.publish('s', text, 2, 7))
      await eventually(() => source.texts.includes(text), { what: `message ${text}` })
      device.socket.destroy()
      await eventually(() => at.shared.current?.devices === 0, { what: 'the leaving' })
    }
    expect(source.texts).toEqual(['a', 'b'])
  })

  test('QoS 0 is delivered and holds nobody', async () => {
    const at = await place()
    const source = await at.source(['s'], leftAlone)
    const device = await raw(at.port)
    device.send(packets.connect(), packets.publish('s', '1'), packets.publish('s', '2'), packets.disconnect)
    await device.closed()
    await eventually(() => source.received.length === 2, { what: 'both messages' })
    expect(at.context.counts.get('mqtt_qos0_received')).toBe(2)
  })

  test('never more than maxInFlight are unsettled, and the rest follows', async () => {
    const at = await place({ maxInFlight: 10 })
    const source = await at.source(['s'], leftAlone)
    const device = await at.device()
    const all = Promise.all(Array.from({ length: 500 }, (_, i) => device.publishAsync('s', String(i), { qos: 1 })))
    let settledCount = 0
    let most = 0
    while (settledCount < 500) {
      await eventually(() => source.received.length > settledCount, { what: 'the next messages' })
      most = Math.max(most, source.received.length - settledCount)
      source.received[settledCount]?.settle('accept')
      settledCount += 1
    }
    await all
    expect(most).toBeLessThanOrEqual(10)
    expect(source.texts).toEqual(Array.from({ length: 500 }, (_, i) => String(i)))
  })

  test('a full process holds its devices and answers their pings', async () => {
    const at = await place({}, testContext('devices', { maxCount: 1 }))
    const source = await at.source(['s'], leftAlone)
    const device = await at.device({ keepalive: 1 })
    const published = [1, 2, 3].map((i) => device.publishAsync('s', String(i), { qos: 1 }))
    const closed = eventually(() => !device.connected, { withinMs: 4_000, what: 'a lost device' })
    await expect(closed).rejects.toThrow('a lost device')
    expect(source.received).toHaveLength(1)
    for (let i = 0; i < 3; i += 1) {
      const delivery = await eventually(() => source.received[i], { what: `message ${i}` })
      delivery.settle('accept')
    }
    await Promise.all(published)
  })

  test('a last will is delivered, and again after a release', async () => {
    const at = await place()
    const settlements = ['release', 'accept'] as const
    const deliveries: Delivery[] = []
    const source = await at.source(['wills/+'], (delivery) => {
      deliveries.push(delivery)
      return settlements[deliveries.length - 1]
    })
    const subscriber = await at.device()
    const received = inbox(subscriber)
    await subscriber.subscribeAsync('wills/#')
    const device = await at.device({ will: { topic: 'wills/7', payload: Buffer.from('gone'), qos: 1, retain: false } })
    device.stream.destroy()
    await eventually(() => received.length === 1, { what: 'the will at the subscriber' })
    expect(source.texts).toEqual(['gone', 'gone'])
  })

  test('a drain settles what is in flight, and what comes later waits for the next source unacknowledged', async () => {
    const at = await place()
    await at.sink()
    const first = await at.source(['s'], leftAlone)
    const device = await at.device()
    let acknowledged = 0
    const publish = (text: string) => device.publishAsync('s', text, { qos: 1 }).then(() => (acknowledged += 1))
    const one = publish('one')
    await eventually(() => first.received.length === 1, { what: 'the first message' })
    const drained = first.stop()
    const two = publish('two')
    await device.subscribeAsync('other') // what was sent before it has been read
    first.received[0]?.settle('accept')
    await drained
    await one
    expect(acknowledged).toBe(1)
    const second = await at.source(['s'], accept)
    await two
    expect(first.texts).toEqual(['one'])
    expect(second.texts).toEqual(['two'])
  })

  test('a closed source ends its consume with PEER_LOST', async () => {
    const at = await place()
    const { createBrokerSource } = await import('../../protocols/mqtt/broker/index.ts')
    const source = createBrokerSource(at.connection, [{ topic: 's' }], at.context)
    await source.open(new AbortController().signal)
    const consumed = expect(source.consume(() => {}, new AbortController().signal)).rejects
    const lost = consumed.toMatchObject({ code: 'PEER_LOST' })
    await source.close()
    await lost
    await source.close()
  })

  test('with two overlapping sources a message is acknowledged when both accepted it', async () => {
    const at = await place()
    const left = await at.source(['s/#'], leftAlone)
    const right = await at.source(['s/+'], leftAlone)
    const device = await raw(at.port)
    device.send(packets.connect(), packets.publish('s/1', 'both', 1, 1))
    await eventually(() => left.received.length + right.received.length === 2, { what: 'both deliveries' })
    left.received[0]?.settle('accept')
    await settled(device)
    expect(device.bytes()).toHaveLength(connack + 2)
    right.received[0]?.settle('accept')
    await device.receive(connack + 2 + 4)
  })
})
