/** A sender that puts ever new values into a destination makes no topics and queues without end. */

import { expect } from '@jest/globals'
import amqplib from 'amqplib'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { inProcess } from '../support/gateway/road.ts'
import { type Scope, scenario } from '../support/gateway/scenario.ts'
import { patientMs, sourceIsUp } from '../support/gateway/stored.ts'
import { unique } from '../support/names.ts'
import { amqpPlace, kafkaPlace, mqttPlace, type Place } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'

const values = (count: number) => Array.from({ length: count }, (_, n) => JSON.stringify({ key: 'k', v: `v${n}` }))

const routeTo = (source: Place, target: { connection: string }, to: string) =>
  inProcess(`
connections: { source: ${source.connection}, target: ${target.connection} }
routes:
  - name: road
    from: { connection: source, ${source.from} }
    to: [{ connection: target, ${to} }]
    retry: { delay: 100ms, maxDelay: 500ms }
`)

async function load(scope: Scope, source: Place, texts: readonly string[]): Promise<void> {
  await (await scope.use(source.sender())).send(texts)
}

scenario(
  'Kafka: 300 values ask for as many topics as the target may have; the others are dead letters',
  async (scope) => {
    const [source, target] = [await amqpPlace(), await kafkaPlace()]
    const yaml = routeTo(source, target, `topic: "${unique('t')}.{payload.v}", maxDestinations: 5`)
    const gateway = scope.gateway(yaml)
    await sourceIsUp(gateway)
    await load(scope, source, values(300))
    const stats = gateway.route('road')
    await eventually(() => stats.deadLetteredTotal === 295, { withinMs: patientMs, what: 'all but five' })
    expect(Object.fromEntries(stats.deadLettered)).toEqual({ 'destination-limit': 295 })
    const { blocked } = stats.targets[0]!
    await eventually(() => stats.delivered + blocked.size === 5, { what: 'five that were asked for' }) // some brokers make them
    expect(gateway.letters()[0]).toMatchObject({ error: { code: 'DESTINATION_LIMIT' }, attempts: 0 })
  },
)

scenario(
  'AMQP: what a message would declare is held back until there is room, where the target says so',
  async (scope) => {
    const [source, target] = [await amqpPlace(), await amqpPlace()]
    const prefix = unique('t')
    const limit = 'maxDestinations: { count: 2, within: 1s, onLimit: wait }'
    const yaml = routeTo(source, target, `queue: "${prefix}.{payload.v}", declare: true, ${limit}`)
    const gateway = scope.gateway(yaml)
    const connection = await amqplib.connect(brokerAddresses().amqp)
    const channel = await connection.createChannel()
    scope.after(() => connection.close())
    scope.after(() => Promise.all(values(6).map((_, n) => channel.deleteQueue(`${prefix}.v${n}`))))
    await sourceIsUp(gateway)
    await load(scope, source, values(6))
    const { blocked } = gateway.route('road').targets[0]!
    await eventually(() => blocked.size > 0, { what: 'destinations that wait' })
    expect([...blocked.values()].map(({ code }) => code)).toContain('DESTINATION_LIMIT')
    await eventually(() => gateway.route('road').delivered === 6, { withinMs: patientMs, what: 'all of them' })
    expect(gateway.route('road').deadLetteredTotal).toBe(0)
  },
)

scenario('MQTT: topics are counted where the target says so, by each target for itself', async (scope) => {
  const [source, target] = [await amqpPlace(), await mqttPlace()]
  const prefix = unique('t')
  const other = `{ connection: target, topic: "${prefix}/b/{payload.v}" }`
  const to = `topic: "${prefix}/a/{payload.v}", maxDestinations: 10 }, ${other.slice(0, -1)}`
  const gateway = scope.gateway(routeTo(source, target, to))
  await sourceIsUp(gateway)
  await load(scope, source, [...values(30), ...values(10)])
  const targets = () => gateway.route('road').targets.map(({ delivered }) => delivered)
  await eventually(() => targets()[1] === 40 && gateway.letters().length === 20, { withinMs: patientMs, what: 'all' })
  expect(targets()).toEqual([20, 40])
  expect(gateway.letters().every(({ target: at }) => at?.includes(`${prefix}/a/`))).toBe(true)
})
