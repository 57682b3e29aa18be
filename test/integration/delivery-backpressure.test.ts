/** A target that is away and 50,000 messages at the source: the gateway takes in its budget and no more. */
import { expect } from '@jest/globals'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import type { EndName } from '../support/peers.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'
import { startProxy } from '../support/proxy.ts'
import { arrived, checkNothingLost, fresh, mqttPlace, type Place, placeAt, scenario, setKey, texts } from './delivery-fixture.ts'

const total = 50_000
const mebibyte = 1024 ** 2

interface Limits {
  readonly source: EndName
  /** Settings of the gateway, of the source's connection and of `from`. */
  readonly gateway: string
  readonly connection?: string
  readonly from?: string
  /** What that allows in flight. */
  readonly count: number
  readonly bytes: number
}

const cases: readonly (Limits & { title: string })[] = [
  { title: "kafka's maxInFlight", source: 'kafka', gateway: '', from: 'maxInFlight: 700', count: 700, bytes: 64 * mebibyte },
  { title: "amqp's prefetch", source: 'amqp', gateway: '', from: 'prefetch: 300', count: 300, bytes: 64 * mebibyte },
  { title: "mqtt's maxInFlight", source: 'mqtt', gateway: '', connection: 'maxInFlight: 200', count: 200, bytes: 64 * mebibyte },
  // A source may have a read under way when the limit is reached: one response, one prefetch.
  { title: "the gateway's maxInFlight", source: 'kafka', gateway: ', maxInFlight: 1000', count: 1_000, bytes: 64 * mebibyte },
  { title: "the gateway's maxInFlightBytes", source: 'amqp', gateway: ', maxInFlightBytes: 256KiB', count: 500 + 500, bytes: mebibyte },
]

for (const { title, source: protocol, count, bytes, ...limits } of cases) {
  scenario(`${protocol}: never more in flight than ${title}, and reading goes on when the target comes`, async (scope) => {
    const port = await freePort()
    const source = await placeAt(protocol, limits.connection === undefined ? {} : { settings: limits.connection })
    const target = await mqttPlace({ port })
    const gateway = scope.gateway(yamlOf(source, target, limits))
    await eventually(() => gateway.link('source', 'source').state === 'up', { what: 'the source' })
    const sent = texts(total)
    const sender = await scope.use(source.sender())
    const most = { count: 0, bytes: 0, memory: 0 }
    const look = setInterval(() => {
      const { inFlight } = gateway.gateway.status()
      most.count = Math.max(most.count, inFlight.count)
      most.bytes = Math.max(most.bytes, inFlight.bytes)
    }, 1)
    scope.after(() => clearInterval(look))
    await sender.send(sent)
    await eventually(() => gateway.gateway.status().inFlight.count > count / 4, { what: 'full' })
    await eventually(() => gateway.link('target', 'sink').reconnects >= 4, { what: 'some time' })
    expect({ settled: gateway.link('source', 'source').settled }).toEqual({ settled: 0 })
    expect(gateway.link('source', 'source').received).toBeLessThanOrEqual(count)

    await scope.use(startProxy(Number(/:(\d+)\/?$/.exec(brokerAddresses().mqtt)![1]), port))
    const reader = await scope.use(target.reader())
    await arrived(reader, sent, 90_000)
    checkNothingLost(reader.got, sent)
    expect(most.count).toBeLessThanOrEqual(count)
    expect(most.bytes).toBeLessThanOrEqual(bytes)
    await eventually(() => gateway.link('source', 'source').settled === total, { what: 'all settled' })
  }, 180_000)
}

const yamlOf = (source: Place, target: Place, limits: Pick<Limits, 'gateway' | 'from'>) => `
gateway: { id: ${fresh()}, drain: 5s, admin: false${limits.gateway} }
connections: { source: ${source.connection}, target: ${target.connection} }
routes:
  - name: road
    from: { connection: source, ${source.from}${limits.from === undefined ? '' : `, ${limits.from}`} }
    ${setKey}
    to: [{ connection: target, ${target.to} }]
`
