/** SIGTERM to the real program under load: it ends well and in time, and nothing is lost between one run and the next. */

import { expect } from '@jest/globals'
import { counts, Installation, type Program, ready } from '../support/gateway/delivery-program.ts'
import { arrived, checkNothingLost, otherOf, scenario, setKey, steadyLoad, texts } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import { type BrokerName, brokerNames } from '../support/places/connections.ts'
import { committed, type Place, placeAt, queueDepth } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

const yamlOf = (port: number, source: Place, target: Place) => `
gateway: { id: ${unique('t')}, admin: { listen: "127.0.0.1:${port}" } }
connections: { source: ${source.connection}, target: ${target.connection} }
routes: [{ name: road, from: { connection: source, ${source.from} }, ${setKey}, to: [{ connection: target, ${target.to} }], acknowledge: delivered }]
`

for (const from of brokerNames) {
  scenario(
    `SIGTERM under load from ${from}: exit 0, all that is acknowledged is at the target, the next run has the rest`,
    async (scope) => {
      const [source, target] = [await placeAt(from), await placeAt(otherOf[from])]
      const port = await freePort()
      const installation = new Installation(scope, port, yamlOf(port, source, target))
      const first = await installation.run()
      await ready(first)
      const reader = await scope.use(target.reader())
      const load = await steadyLoad(scope, source)
      await eventually(() => reader.got.length > 200, { withinMs: 20_000, what: 'load' })
      const { code, ms } = await first.end('SIGTERM')
      expect({ code, log: first.log.filter((line) => /"level":"(warn|error)"/.test(line)) }).toEqual({
        code: 0,
        log: [],
      })
      expect(ms).toBeLessThan(20_000)
      await load.stop()
      const left = await leftAt(from, source, load.confirmed.length)
      if (left !== undefined) {
        expect(left).toBeGreaterThan(0)
        const acknowledged = load.confirmed.length - left
        await eventually(() => reader.got.length >= acknowledged, { what: `the ${acknowledged} acknowledged` })
      }
      await ready(await installation.run())
      await arrived(reader, load.confirmed)
      checkNothingLost(reader.got, load.confirmed)
      // What was in flight had settled: an orderly end makes no duplicate.
      expect(reader.got).toHaveLength(load.confirmed.length)
    },
  )
}

/** What readiness says about the connection when it names no other. */
async function waitsOnlyFor(program: Program, connection: string) {
  const response = await fetch(`${program.admin}/readyz`)
  const { waitingFor } = (await response.json()) as {
    waitingFor: { connection: string; role: string; reason: string }[]
  }
  const isOnly = response.status === 503 && waitingFor.length === 1 && waitingFor[0]?.connection === connection
  return isOnly && waitingFor[0]
}

/** How many the source's broker does not consider acknowledged; it cannot be asked of MQTT. */
async function leftAt(from: BrokerName, source: Place, sent: number): Promise<number | undefined> {
  if (from === 'amqp') return queueDepth(source.name)
  if (from === 'kafka') return sent - (await committed(source))
  return undefined
}

for (const from of brokerNames) {
  scenario(
    `SIGTERM while the target of ${from} is away: exit 0 within 20 s, and the source has everything`,
    async (scope) => {
      const [portOfAdmin, nobody] = [await freePort(), await freePort()]
      const source = await placeAt(from)
      const target = await placeAt(otherOf[from])
      const id = unique('t')
      const yaml = yamlOf(portOfAdmin, source, target).replace(/id: \w+/, `id: ${id}`)
      const away = yaml.replace(target.connection, target.connection.replace(/127\.0\.0\.1:\d+/, `127.0.0.1:${nobody}`))
      const first = await new Installation(scope, portOfAdmin, away).run()
      const waiting = await eventually(() => waitsOnlyFor(first, 'target'), { what: 'the source is connected' })
      expect(waiting).toMatchObject({ role: 'sink', reason: expect.stringContaining('ECONNREFUSED') })
      const sent = texts(300)
      await (await scope.use(source.sender())).send(sent)
      await eventually(async () => (await counts(first)).inFlight === 300, { what: 'all in flight' })
      const { code, ms } = await first.end('SIGTERM')
      expect({ code, log: code === 0 ? [] : first.log }).toEqual({ code: 0, log: [] })
      expect(ms).toBeLessThan(20_000)
      const left = await leftAt(from, source, 300)
      if (left !== undefined) expect(left).toBe(300)

      const second = await new Installation(scope, portOfAdmin, yaml).run()
      const reader = await scope.use(target.reader())
      await arrived(reader, sent)
      checkNothingLost(reader.got, sent)
      await eventually(async () => (await counts(second)).delivered === 300, { what: 'all delivered' })
      expect((await second.end('SIGINT')).code).toBe(0)
    },
  )
}
