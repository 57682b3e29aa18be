/** `acknowledge: delivered`: with a target that swallows everything, the source's broker still owns every message. */

import { expect } from '@jest/globals'
import mqtt from 'mqtt'
import { startKafka } from '../support/brokers/kafka.ts'
import { startProxy, type TcpProxy } from '../support/brokers/proxy.ts'
import { arrived, checkNothingLost, type Scope, scenario, setKey, texts } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import { type BrokerName, brokerNames } from '../support/places/connections.ts'
import { committed, type Place, placeAt, queueDepth, wireTo } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

const road = (source: { connection: string; from: string }, target: Place) => `
gateway: { id: ${unique('t')}, drain: 300ms, admin: false }
connections: { source: ${source.connection}, target: ${target.connection} }
routes: [{ name: road, from: { connection: source, ${source.from} }, ${setKey}, to: [{ connection: target, ${target.to} }], acknowledge: delivered }]
`

/** A target whose broker, once reached, can be made to swallow everything. */
async function hollow(scope: Scope, protocol: BrokerName): Promise<{ target: Place; proxy: TcpProxy }> {
  if (protocol === 'kafka') {
    const port = await freePort()
    const broker = await startKafka({ advertisedPort: port })
    scope.after(() => broker.stop())
    const proxy = await scope.use(startProxy(broker.port, port))
    return { target: await placeAt('kafka', { address: `127.0.0.1:${port}`, settings: patience.kafka }), proxy }
  }
  const proxy = await scope.use(wireTo(protocol))
  return { target: await placeAt(protocol, { port: proxy.port, settings: patience[protocol] }), proxy }
}

const patience: Record<BrokerName, string> = {
  mqtt: 'keepalive: 2s',
  amqp: 'heartbeat: 1s',
  kafka: 'requestTimeout: 3s, connectTimeout: 2s',
}

/** What the source's broker still owns of what was sent. */
const owned: Record<'amqp' | 'kafka', (source: Place, sent: number) => Promise<number>> = {
  amqp: (source) => queueDepth(source.name),
  kafka: async (source, sent) => sent - (await committed(source)),
}

const pairs = [
  ['amqp', 'mqtt'],
  ['amqp', 'kafka'],
  ['kafka', 'amqp'],
  ['kafka', 'mqtt'],
] as const

for (const [from, to] of pairs) {
  scenario(`${from} keeps all that ${to} has not confirmed`, async (scope) => {
    const source = await placeAt(from)
    const { target, proxy } = await hollow(scope, to)
    const gateway = await scope.gateway(road(source, target)).ready()
    const sender = await scope.use(source.sender())
    const reader = await scope.use(target.reader())
    const first = texts(50)
    await sender.send(first)
    await eventually(() => gateway.link('source', 'source').settled === 50, { what: 'the first' })
    proxy.blackhole()
    const second = texts(50)
    await sender.send(second)
    await eventually(() => gateway.route('road').inFlight === 50, { what: 'in flight' })
    await gateway.gateway.stop() // what it had in flight goes back, unanswered
    await eventually(() => gateway.route('road').released === 50, { withinMs: 30_000, what: 'all released' })
    expect(gateway.route('road').delivered).toBe(50)
    await eventually(async () => (await owned[from](source, 100)) === 50, { what: 'the rest is still there' })

    proxy.restore()
    await scope.gateway(road(source, target)).ready()
    await arrived(reader, [...first, ...second])
    checkNothingLost(reader.got, [...first, ...second])
  })
}

for (const to of brokerNames) {
  scenario(`a device of the embedded broker has no PUBACK for what ${to} has not confirmed`, async (scope) => {
    const port = await freePort()
    const { target, proxy } = await hollow(scope, to)
    const source = {
      connection: `{ protocol: mqtt, listen: "mqtt://127.0.0.1:${port}" }`,
      from: 'topic: "dev/{key}", qos: 1',
    }
    const gateway = await scope.gateway(road(source, target)).ready()
    const device = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 4, reconnectPeriod: 0 })
    scope.after(() => device.endAsync(true))
    const reader = await scope.use(target.reader())
    const first = texts(20)
    await Promise.all(first.map((text) => device.publishAsync('dev/red', text, { qos: 1 })))
    proxy.blackhole()
    let acknowledged = 0
    const second = texts(20)
    for (const text of second) {
      device.publish('dev/red', text, { qos: 1 }, (error) => {
        if (!error) acknowledged += 1
      })
    }
    await eventually(() => gateway.route('road').inFlight === 20, { what: 'in flight' })
    await eventually(() => gateway.link('target', 'sink').state === 'down', { withinMs: 20_000, what: 'it is noticed' })
    expect(acknowledged).toBe(0)
    proxy.restore()
    await eventually(() => acknowledged === 20, { withinMs: 60_000, what: 'acknowledged after all' })
    await arrived(reader, [...first, ...second])
    checkNothingLost(reader.got, [...first, ...second])
  })
}
