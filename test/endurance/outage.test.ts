/** Brokers that are not there yet, go away under load and come back: nothing is lost, and the log stays short. */

import { expect } from '@jest/globals'
import { linksDown } from '../../src/telemetry/status.ts'
import { startKafka } from '../support/brokers/kafka.ts'
import { startMosquitto } from '../support/brokers/mosquitto.ts'
import type { Running } from '../support/brokers/process.ts'
import { startProxy } from '../support/brokers/proxy.ts'
import { startRabbitmq } from '../support/brokers/rabbitmq.ts'
import { complaints } from '../support/contexts/log.ts'
import {
  arrived,
  bothWays,
  checkNothingLost,
  otherOf,
  type Scope,
  scenario,
  steadyLoad,
  texts,
} from '../support/gateway/scenario.ts'
import { type BrokerName, brokerNames } from '../support/places/connections.ts'
import { type Place, placeAt, wireTo } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

for (const protocol of brokerNames) {
  scenario(
    `${protocol} away at the start is said once and named by readiness, and work begins when it comes`,
    async (scope) => {
      const port = await freePort()
      const [away, there] = [await placeAt(protocol, { port }), await placeAt(otherOf[protocol])]
      const [target, inlet] = [await placeAt(protocol, { port }), await placeAt(otherOf[protocol])]
      const gateway = scope.gateway(bothWays({ from: away, to: there }, { from: inlet, to: target }))
      await eventually(
        () => gateway.link('shaky', 'source').reconnects > 1 && gateway.link('shaky', 'sink').reconnects > 1,
        {
          what: 'some attempts',
        },
      )
      const down = () => linksDown(gateway.gateway.status())
      const names = () => down().map(({ connection, role }) => `${connection} ${role}`)
      await eventually(() => names().length === 2, { what: 'the others are up' })
      const waiting = down()
      expect(names().sort()).toEqual(['shaky sink', 'shaky source'])
      // two clients that connect to a port of the ephemeral range may meet each other there, and part again
      for (const { reason } of waiting) expect(reason).toMatch(/ECONNREFUSED|ECONNRESET/)
      expect(complaints(gateway.lines).filter(({ message }) => message.startsWith('shaky'))).toHaveLength(2)

      const broker = await scope.use(wireTo(protocol, port))
      expect(broker.port).toBe(port)
      await gateway.ready()
      await checkBothWays(scope, { from: away, to: there }, { from: inlet, to: target })
    },
  )
}

async function checkBothWays(scope: Scope, ...roads: { from: Place; to: Place }[]): Promise<void> {
  await Promise.all(
    roads.map(async ({ from, to }) => {
      const sent = texts(100)
      const sender = await scope.use(from.sender())
      await sender.send(sent)
      const reader = await scope.use(to.reader())
      await arrived(reader, sent)
      checkNothingLost(reader.got, sent)
    }),
  )
}

interface Own {
  readonly address: string
  readonly port: number | undefined
  /** Away until `comeBack`; what these places hold, it must hold then too. */
  goAway(places: readonly Place[]): Promise<void>
  comeBack(): Promise<void>
}

const ownBrokers: Record<BrokerName, (scope: Scope) => Promise<Own>> = {
  kafka: async (scope) => killed(await running(scope, startKafka())),
  amqp: async (scope) => {
    const broker = await running(scope, startRabbitmq())
    return {
      ...killed(broker),
      async goAway(places) {
        await eventually(() => places.every(({ name }) => broker.remembers(name)), {
          withinMs: 60_000,
          what: 'queues written down',
        })
        await broker.kill()
      },
    }
  },
  /** Mosquitto writes its queues down when it is stopped in its own way: cut off, restarted, let in again. */
  mqtt: async (scope) => {
    const broker = await running(scope, startMosquitto())
    const proxy = await scope.use(startProxy(broker.port))
    return {
      address: broker.address,
      port: proxy.port,
      async goAway() {
        proxy.cut()
        await broker.restart()
      },
      async comeBack() {
        proxy.restore()
      },
    }
  },
}

async function running<T extends Running>(scope: Scope, starting: Promise<T>): Promise<T> {
  const broker = await starting
  scope.after(() => broker.stop())
  return broker
}

function killed(broker: Running): Own {
  return { address: broker.address, port: undefined, goAway: () => broker.kill(), comeBack: () => broker.restart() }
}

for (const protocol of brokerNames) {
  scenario(
    `${protocol} going away under load loses nothing either way, and 10 s of outage are a line or two`,
    async (scope) => {
      const own = await ownBrokers[protocol](scope)
      const at = { address: own.address, ...(own.port === undefined ? {} : { port: own.port }) }
      const out = { from: await placeAt(protocol, at), to: await placeAt(otherOf[protocol]) }
      const into = { from: await placeAt(otherOf[protocol]), to: await placeAt(protocol, at) }
      const gateway = await scope.gateway(bothWays(out, into)).ready()
      const outlet = await scope.use(out.to.reader())
      const before = [await steadyLoad(scope, out.from), await steadyLoad(scope, into.from)] as const
      await eventually(() => outlet.got.length > 300 && gateway.route('into').delivered > 300, {
        withinMs: 60_000,
        what: 'load',
      })

      await own.goAway([out.from, into.to])
      const awayAt = performance.now()
      await eventually(() => linksDown(gateway.gateway.status()).length === 2, { what: 'both roles down' })
      await eventually(() => performance.now() - awayAt > 10_000, { withinMs: 15_000, what: '10 s of outage' })
      await Promise.all(before.map((load) => load.stop()))
      const { inFlight, waiting } = gateway.route('into')
      expect(inFlight + waiting).toBeGreaterThan(0)
      const said = complaints(gateway.lines).map(({ message }) => message)
      for (const role of ['source', 'sink']) {
        const lines = said.filter((message) => message.startsWith('shaky') && message.includes(`as ${role}`))
        expect({ role, lines: lines.length <= 3 ? [] : lines }).toEqual({ role, lines: [] })
      }
      expect({ others: said.filter((message) => !message.startsWith('shaky is not available')) }).toEqual({
        others: [],
      })

      await own.comeBack()
      await gateway.ready()
      const after = [await steadyLoad(scope, out.from), await steadyLoad(scope, into.from)] as const
      await eventually(() => after.every(({ confirmed }) => confirmed.length > 100), {
        withinMs: 60_000,
        what: 'load again',
      })
      await Promise.all(after.map((load) => load.stop()))
      const inlet = await scope.use(into.to.reader())
      for (const [reader, index] of [
        [outlet, 0],
        [inlet, 1],
      ] as const) {
        const sent = [...before[index].confirmed, ...after[index].confirmed]
        await arrived(reader, sent)
        checkNothingLost(reader.got, sent, [...before[index].unsure, ...after[index].unsure])
      }
      for (const name of ['out-of', 'into']) expect(gateway.route(name).deadLetteredTotal).toBe(0)
    },
    400_000,
  )
}
