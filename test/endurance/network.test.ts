/** Each fault of the network for ten seconds, between the gateway and each broker, under load both ways. */

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, test } from '@jest/globals'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { startKafka } from '../support/brokers/kafka.ts'
import { startProxy, type TcpProxy } from '../support/brokers/proxy.ts'
import type { LoadSinkName } from '../support/fault/load-sinks.ts'
import type { Rig, RoadVerdict } from '../support/fault/rig.ts'
import { shakyRig, verdictText } from '../support/fault/shaky.ts'
import { portOf } from '../support/places/connections.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

const faultMs = 10_000
const healsWithinMs = 150_000 // the gateway may wait 30 s between two attempts, more than once

const faults: Record<string, (proxy: TcpProxy) => void | Promise<void>> = {
  cut: (proxy) => proxy.cut(),
  'black hole': (proxy) => proxy.blackhole(),
  latency: (proxy) => proxy.latency(200, 300),
  'slow bytes': (proxy) => proxy.slow(32),
  'half open': (proxy) => proxy.halfOpen(),
  limit: (proxy) => proxy.limit(50_000),
  async reset(proxy) {
    for (let at = 0; at < faultMs / 500; at += 1) {
      proxy.reset()
      await sleep(500)
    }
  },
}

/** The wire to a broker, and the address for the test's own clients; Kafka tells everybody the same one, that of the wire. */
async function wireTo(protocol: LoadSinkName): Promise<{ proxy: TcpProxy; address: string; end(): Promise<void> }> {
  const { amqp, mqtt } = brokerAddresses()
  if (protocol !== 'kafka') {
    const address = { amqp, mqtt }[protocol]
    const proxy = await startProxy(portOf(address))
    return { proxy, address, end: () => proxy.close() }
  }
  const port = await freePort()
  const broker = await startKafka({ advertisedPort: port })
  const proxy = await startProxy(broker.port, port)
  const end = async () => {
    await proxy.close()
    await broker.stop()
  }
  return { proxy, address: `127.0.0.1:${port}`, end }
}

const verdicts: RoadVerdict[] = []
const resumedMs: string[] = []
afterAll(() => {
  process.stdout.write(`${verdictText('network faults', verdicts)}${resumedMs.join('\n')}\n`)
})

/** Milliseconds until a message flows again on every road. */
async function resumed(rig: Rig): Promise<number> {
  const startedAt = performance.now()
  const before = rig.roads.flatMap(({ branches }) => branches.map(({ oracle }) => oracle.delivered))
  const flows = () =>
    rig.roads
      .flatMap(({ branches }) => branches.map(({ oracle }) => oracle.delivered))
      .every((delivered, at) => delivered > before[at]!)
  await eventually(flows, { withinMs: healsWithinMs, what: 'messages flow again' })
  return Math.round(performance.now() - startedAt)
}

async function suffer(protocol: LoadSinkName): Promise<void> {
  const { proxy, address, end } = await wireTo(protocol)
  const rig = await shakyRig({ protocol, address, port: proxy.port })
  try {
    await rig.gateway.start()
    rig.run()
    for (const [name, inflict] of Object.entries(faults)) {
      const startedAt = performance.now()
      await inflict(proxy)
      await sleep(Math.max(0, faultMs - (performance.now() - startedAt)))
      proxy.restore()
      resumedMs.push(`${protocol}, ${name}: flows again after ${await resumed(rig)} ms`)
      await rig.gateway.ready(healsWithinMs)
    }
    await rig.drain(healsWithinMs)
    expect(await rig.deadLetters()).toEqual([])
    expect(await rig.gateway.stop()).toEqual({ code: 0, signal: null })
    const reconnects = 2 * (Object.keys(faults).length + faultMs / 500) // by source and target
    const found = rig.verdicts(reconnects)
    verdicts.push(...found)
    for (const verdict of found) expect(verdict).toMatchObject({ defects: [], examples: [] })
  } finally {
    await rig.close()
    await end()
  }
}

test.concurrent.each<[LoadSinkName]>([['kafka'], ['amqp'], ['mqtt']])(
  'the network to %s cuts, swallows, delays, trickles, forgets, breaks off and resets: nothing is lost',
  suffer,
  400_000,
)
