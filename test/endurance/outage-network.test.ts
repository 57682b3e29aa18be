/** A network that resets connections, or swallows everything without a word: noticed in time, and nothing is lost. */

import { expect } from '@jest/globals'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { startKafka } from '../support/brokers/kafka.ts'
import { startProxy, type TcpProxy } from '../support/brokers/proxy.ts'
import type { TestGateway } from '../support/gateway/gateway.ts'
import {
  arrived,
  bothWays,
  checkNothingLost,
  otherOf,
  type Scope,
  scenario,
  steadyLoad,
} from '../support/gateway/scenario.ts'
import { type BrokerName, brokerNames } from '../support/places/connections.ts'
import { placeAt, wireTo } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

/** How the gateway is told to look for a silent peer, and the longest time that may take; amqplib wants two whole intervals empty. */
const patience: Record<BrokerName, { settings: string; noticedMs: number }> = {
  mqtt: { settings: 'keepalive: 4s', noticedMs: 4_000 * 1.5 + 2_000 },
  amqp: { settings: 'heartbeat: 3s', noticedMs: 3 * 3_000 + 1_000 },
  kafka: { settings: 'requestTimeout: 4s, connectTimeout: 2s', noticedMs: 4_000 + 4_000 },
}

/** What a busy machine may add, in milliseconds: the other suites run beside this one. */
const machineMs = 5_000

/** The wire to a broker, and the address that tests use: for Kafka the wire too, as Kafka tells its clients one address. */
const wires: Record<BrokerName, (scope: Scope) => Promise<{ proxy: TcpProxy; address: string }>> = {
  async kafka(scope) {
    const port = await freePort()
    const broker = await startKafka({ advertisedPort: port })
    scope.after(() => broker.stop())
    return { proxy: await scope.use(startProxy(broker.port, port)), address: `127.0.0.1:${port}` }
  },
  amqp: async (scope) => ({ proxy: await scope.use(wireTo('amqp')), address: brokerAddresses().amqp }),
  mqtt: async (scope) => ({ proxy: await scope.use(wireTo('mqtt')), address: brokerAddresses().mqtt }),
}

const isUp = (gateway: TestGateway, role: 'source' | 'sink') => gateway.link('shaky', role).state === 'up'

/** Milliseconds until both roles have noticed. */
async function noticed(gateway: TestGateway): Promise<number> {
  const startedAt = performance.now()
  const isDown = { source: false, sink: false }
  await eventually(
    () => {
      isDown.source ||= !isUp(gateway, 'source')
      isDown.sink ||= !isUp(gateway, 'sink')
      return isDown.source && isDown.sink
    },
    { withinMs: 60_000, what: 'both roles notice' },
  )
  return performance.now() - startedAt
}

for (const protocol of brokerNames) {
  scenario(
    `${protocol}: a reset and a black hole are noticed in time by source and target, and nothing is lost`,
    async (scope) => {
      const { proxy, address } = await wires[protocol](scope)
      const { settings, noticedMs } = patience[protocol]
      const at = { address, port: proxy.port, settings }
      const out = { from: await placeAt(protocol, at), to: await placeAt(otherOf[protocol]) }
      const into = { from: await placeAt(otherOf[protocol]), to: await placeAt(protocol, at) }
      const gateway = await scope.gateway(bothWays(out, into)).ready()
      const outlet = await scope.use(out.to.reader())
      const sent = { out: [] as string[], into: [] as string[], unsure: [] as string[] }
      /** Load on both roads while `fault` happens. */
      const during = async (fault: () => Promise<void>) => {
        const loads = [await steadyLoad(scope, out.from), await steadyLoad(scope, into.from)] as const
        const before = { into: gateway.route('into').delivered, 'out-of': gateway.route('out-of').delivered }
        // both: a Kafka source that is still joining its group has more patience with a silent broker
        const hasMoved = (road: keyof typeof before) => gateway.route(road).delivered > before[road] + 100
        await eventually(() => hasMoved('into') && hasMoved('out-of'), { what: 'load', withinMs: 60_000 })
        await fault()
        await Promise.all(loads.map((load) => load.stop()))
        sent.out.push(...loads[0].confirmed)
        sent.into.push(...loads[1].confirmed)
        sent.unsure.push(...loads[0].unsure, ...loads[1].unsure)
        await gateway.ready()
      }
      const whileAway = async (fault: () => void) => {
        fault()
        const ms = await noticed(gateway)
        proxy.restore()
        return ms
      }

      await during(async () => expect(await whileAway(proxy.cut)).toBeLessThan(noticedMs))
      await during(async () => expect(await whileAway(proxy.blackhole)).toBeLessThan(noticedMs + machineMs))
      const inlet = await scope.use(into.to.reader())
      await arrived(outlet, sent.out)
      await arrived(inlet, sent.into)
      checkNothingLost(outlet.got, sent.out, sent.unsure)
      checkNothingLost(inlet.got, sent.into, sent.unsure)
      for (const name of ['out-of', 'into']) expect(gateway.route(name).deadLetteredTotal).toBe(0)
    },
    400_000,
  )
}
