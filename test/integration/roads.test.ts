/** Every road between the three brokers, from and into the embedded broker too: all arrives, unchanged, in order. */
import { afterEach, describe, expect, test } from '@jest/globals'
import { TestGateway } from '../support/gateway/gateway.ts'
import { type End, endNames, makeEnd, mqttEnd, type Sent } from '../support/places/peers.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

const perKey = 30
const keys = ['red', 'green', 'blue', 'white']
const messages: readonly Sent[] = Array.from({ length: perKey * keys.length }, (_, n) => {
  const key = keys[n % keys.length]!
  return { key, text: `{"n":${n}, "big":12345678901234567890,  "key":"${key}"}` }
})

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function endOf(name: string): Promise<End> {
  const end = await makeEnd(name as 'mqtt')
  cleanups.push(() => end.close())
  return end
}

function started(yaml: string): TestGateway {
  const gateway = new TestGateway(yaml)
  cleanups.push(() => gateway.stop())
  return gateway
}

const bridge = (from: End, to: End, toConnection = to.connection) => `
gateway: { id: roads-${process.pid}, drain: 1s, admin: false }
connections:
  source: ${from.connection}
  target: ${toConnection}
routes:
  - name: road
    from: { connection: source, ${from.from} }
    set: { headers.key: "${from.keyOf}", key: "${from.keyOf}" }
    to: [{ connection: target, ${to.to(from.keyOf)} }]
    acknowledge: delivered
`

function checkArrived(end: End): void {
  expect(end.got.map(({ payload }) => payload.toString()).sort()).toEqual(messages.map(({ text }) => text).sort())
  for (const key of keys) {
    const texts = end.got.filter((got) => got.key === key).map(({ payload }) => payload.toString())
    expect(texts).toEqual(messages.filter((sent) => sent.key === key).map(({ text }) => text))
  }
}

const arrived = (end: End) =>
  eventually(() => end.got.length >= messages.length, { withinMs: 40_000, what: `${messages.length} messages` })

const roads = endNames.flatMap((from) => endNames.map((to) => [from, to] as const))

describe.each(roads)('%s to %s', (fromName, toName) => {
  test('all arrives, byte for byte, in the order of its key', async () => {
    const [from, to] = [await endOf(fromName), await endOf(toName)]
    await to.listen()
    const gateway = await started(bridge(from, to)).ready()
    await from.produce(messages)
    await arrived(to)
    checkArrived(to)
    await eventually(() => gateway.route('road').delivered === messages.length, { what: 'all counted as delivered' })
  })

  test('nothing is acknowledged while the target is away, so a gateway that stops meanwhile loses nothing', async () => {
    const [from, to] = [await endOf(fromName), await endOf(toName)]
    await to.listen()
    const away = to.connection.replaceAll(/127\.0\.0\.1:\d+/g, `127.0.0.1:${await freePort()}`)
    const first = started(bridge(from, to, away))
    await eventually(() => first.link('source', 'source').state === 'up', { what: 'the source is connected' })
    await from.produce(messages)
    await eventually(() => first.route('road').inFlight === messages.length, { what: 'all in flight' })
    expect(first.link('source', 'source').settled).toBe(0)
    await first.gateway.stop()
    expect(first.route('road').released).toBe(messages.length)
    const second = started(bridge(from, to).replace('drain: 1s', 'drain: 15s'))
    await arrived(to).catch((error: Error) => {
      const { links, routes } = second.gateway.status()
      throw new Error(`${to.got.length} arrived; ${JSON.stringify({ links, routes })}`, { cause: error })
    })
    checkArrived(to)
  })
})

describe('the embedded broker', () => {
  const embedded = async () => {
    const port = await freePort()
    return { url: `mqtt://127.0.0.1:${port}`, connection: `{ protocol: mqtt, listen: "mqtt://127.0.0.1:${port}" }` }
  }

  test.each(endNames)('to %s: a device gets its PUBACK only after the target has confirmed', async (toName) => {
    const { url, connection } = await embedded()
    const to = await endOf(toName)
    await to.listen()
    const port = await freePort()
    const away = to.connection.replaceAll(/127\.0\.0\.1:\d+/g, `127.0.0.1:${port}`)
    const placeholder = { connection, from: 'topic: "dev/{key}", qos: 1', keyOf: 'params.key' } as End
    const first = started(bridge(placeholder, to, away))
    await eventually(() => first.link('source', 'source').state === 'up', { what: 'the broker listens' })
    const device = await mqttEnd(url)
    cleanups.push(() => device.close())
    const { connectAsync } = await import('mqtt')
    const client = await connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0 })
    cleanups.push(() => client.endAsync(true))
    let acknowledged = 0
    for (const { key, text } of messages) {
      client.publish(`dev/${key}`, text, { qos: 1 }, (error) => {
        if (!error) acknowledged += 1
      })
    }
    await eventually(() => first.route('road').inFlight > 0, { what: 'messages in flight' })
    expect(acknowledged).toBe(0)
    await first.gateway.stop()
    expect(acknowledged).toBe(0)

    const second = await started(bridge(placeholder, to).replace('drain: 1s', 'drain: 15s')).ready()
    const again = await connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0 })
    cleanups.push(() => again.endAsync(true))
    await Promise.all(messages.map(({ key, text }) => again.publishAsync(`dev/${key}`, text, { qos: 1 })))
    expect(second.route('road').delivered).toBe(messages.length)
    await arrived(to)
    checkArrived(to)
  })

  test('from kafka into its own subscribers', async () => {
    const { url, connection } = await embedded()
    const from = await endOf('kafka')
    const target = { connection, to: (key: string) => `topic: "out/{${key}}", qos: 1` } as End
    await started(bridge(from, target)).ready()
    const { connectAsync } = await import('mqtt')
    const client = await connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0 })
    cleanups.push(() => client.endAsync(true))
    const texts: string[] = []
    client.on('message', (_topic, payload) => texts.push(payload.toString()))
    await client.subscribeAsync('out/#', { qos: 1 })
    await from.produce(messages)
    await eventually(() => texts.length >= messages.length, { what: 'all at the subscriber' })
    expect(texts.sort()).toEqual(messages.map(({ text }) => text).sort())
  })
})
