/** Every road between the three brokers, from and into the embedded broker too: all arrives, unchanged, in order. */

import { afterEach, describe, expect, test } from '@jest/globals'
import { TestGateway } from '../support/gateway/gateway.ts'
import { brokerNames } from '../support/places/connections.ts'
import { keyOf, type Place, placeAt, type Reader } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

const perKey = 30
const keys = ['red', 'green', 'blue', 'white']
const messages = Array.from({ length: perKey * keys.length }, (_, n) => {
  const key = keys[n % keys.length]!
  return `{"n":${n}, "big":12345678901234567890,  "key":"${key}"}`
})

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function using<T extends { close(): Promise<unknown> }>(opening: Promise<T>): Promise<T> {
  const opened = await opening
  cleanups.push(() => opened.close())
  return opened
}

async function produce(place: Place): Promise<void> {
  await (await using(place.sender())).send(messages)
}

function started(yaml: string): TestGateway {
  const gateway = new TestGateway(yaml)
  cleanups.push(() => gateway.stop())
  return gateway
}

type From = Pick<Place, 'connection' | 'from'>
type To = Pick<Place, 'connection' | 'to'>

const bridge = (from: From, to: To, toConnection = to.connection) => `
gateway: { id: roads-${process.pid}, drain: 1s, admin: false }
connections:
  source: ${from.connection}
  target: ${toConnection}
routes:
  - name: road
    from: { connection: source, ${from.from} }
    set: { headers.key: payload.key, key: payload.key }
    to: [{ connection: target, ${to.to} }]
    acknowledge: delivered
`

function checkArrived({ got }: Reader): void {
  expect(got.map(({ text }) => text).sort()).toEqual(messages.toSorted())
  for (const key of keys) {
    const ofKey = got.filter(({ text }) => keyOf(text) === key)
    expect(ofKey.map(({ text }) => text)).toEqual(messages.filter((text) => keyOf(text) === key))
    expect(new Set(ofKey.map((one) => String(one.headers.key)))).toEqual(new Set([key]))
  }
}

const arrived = (reader: Reader) =>
  eventually(() => reader.got.length >= messages.length, { withinMs: 40_000, what: `${messages.length} messages` })

const roads = brokerNames.flatMap((from) => brokerNames.map((to) => [from, to] as const))

describe.each(roads)('%s to %s', (fromName, toName) => {
  test('all arrives, byte for byte, in the order of its key', async () => {
    const [from, to] = [await placeAt(fromName), await placeAt(toName)]
    const reader = await using(to.reader())
    const gateway = await started(bridge(from, to)).ready()
    await produce(from)
    await arrived(reader)
    checkArrived(reader)
    await eventually(() => gateway.route('road').delivered === messages.length, { what: 'all counted as delivered' })
  })

  test('nothing is acknowledged while the target is away, so a gateway that stops meanwhile loses nothing', async () => {
    const [from, to] = [await placeAt(fromName), await placeAt(toName)]
    const reader = await using(to.reader())
    const away = to.connection.replaceAll(/127\.0\.0\.1:\d+/g, `127.0.0.1:${await freePort()}`)
    const first = started(bridge(from, to, away))
    await eventually(() => first.link('source', 'source').state === 'up', { what: 'the source is connected' })
    await produce(from)
    await eventually(() => first.route('road').inFlight === messages.length, { what: 'all in flight' })
    expect(first.link('source', 'source').settled).toBe(0)
    await first.gateway.stop()
    expect(first.route('road').released).toBe(messages.length)
    const second = started(bridge(from, to).replace('drain: 1s', 'drain: 15s'))
    await arrived(reader).catch((error: Error) => {
      const { links, routes } = second.gateway.status()
      throw new Error(`${reader.got.length} arrived; ${JSON.stringify({ links, routes })}`, { cause: error })
    })
    checkArrived(reader)
  })
})

describe('the embedded broker', () => {
  const embedded = async () => {
    const port = await freePort()
    return { url: `mqtt://127.0.0.1:${port}`, connection: `{ protocol: mqtt, listen: "mqtt://127.0.0.1:${port}" }` }
  }

  test.each(brokerNames)('to %s: a device gets its PUBACK only after the target has confirmed', async (toName) => {
    const { url, connection } = await embedded()
    const to = await placeAt(toName)
    const reader = await using(to.reader())
    const port = await freePort()
    const away = to.connection.replaceAll(/127\.0\.0\.1:\d+/g, `127.0.0.1:${port}`)
    const devices: From = { connection, from: 'topic: "dev/{key}", qos: 1' }
    const first = started(bridge(devices, to, away))
    await eventually(() => first.link('source', 'source').state === 'up', { what: 'the broker listens' })
    const { connectAsync } = await import('mqtt')
    const client = await connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0 })
    cleanups.push(() => client.endAsync(true))
    let acknowledged = 0
    for (const text of messages) {
      client.publish(`dev/${keyOf(text)}`, text, { qos: 1 }, (error) => {
        if (!error) acknowledged += 1
      })
    }
    await eventually(() => first.route('road').inFlight > 0, { what: 'messages in flight' })
    expect(acknowledged).toBe(0)
    await first.gateway.stop()
    expect(acknowledged).toBe(0)

    const second = await started(bridge(devices, to).replace('drain: 1s', 'drain: 15s')).ready()
    const again = await connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0 })
    cleanups.push(() => again.endAsync(true))
    await Promise.all(messages.map((text) => again.publishAsync(`dev/${keyOf(text)}`, text, { qos: 1 })))
    expect(second.route('road').delivered).toBe(messages.length)
    await arrived(reader)
    checkArrived(reader)
  })

  test('from kafka into its own subscribers', async () => {
    const { url, connection } = await embedded()
    const from = await placeAt('kafka')
    const target: To = { connection, to: 'topic: "out/{payload.key}", qos: 1' }
    await started(bridge(from, target)).ready()
    const { connectAsync } = await import('mqtt')
    const client = await connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0 })
    cleanups.push(() => client.endAsync(true))
    const texts: string[] = []
    client.on('message', (_topic, payload) => texts.push(payload.toString()))
    await client.subscribeAsync('out/#', { qos: 1 })
    await produce(from)
    await eventually(() => texts.length >= messages.length, { what: 'all at the subscriber' })
    expect(texts.sort()).toEqual(messages.toSorted())
  })
})
