/** Several targets, several routes on one source, and rings. */

import { expect } from '@jest/globals'
import amqplib from 'amqplib'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { arrived, checkNothingLost, scenario, setKey, texts } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import { amqpPlace, kafkaPlace, mqttPlace, type Place, wireTo } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

scenario('of three targets only the one that fails is tried again; the others get one copy each', async (scope) => {
  const port = await freePort()
  const source = await amqpPlace()
  const [kafka, amqp, mqtt] = [await kafkaPlace(), await amqpPlace(), await mqttPlace({ port })]
  const gateway = scope.gateway(`
gateway: { id: ${unique('t')}, drain: 5s, admin: false }
connections: { source: ${source.connection}, kafka: ${kafka.connection}, amqp: ${amqp.connection}, mqtt: ${mqtt.connection} }
routes:
  - name: fan
    from: { connection: source, ${source.from} }
    ${setKey}
    to:
      - { connection: kafka, ${kafka.to} }
      - { connection: amqp, ${amqp.to} }
      - { connection: mqtt, ${mqtt.to} }
`)
  const sent = texts(200)
  await (await scope.use(source.sender())).send(sent)
  const readers = [await scope.use(kafka.reader()), await scope.use(amqp.reader())]
  await Promise.all(readers.map((reader) => arrived(reader, sent)))
  await eventually(() => gateway.link('mqtt', 'sink').reconnects >= 3, { what: 'some attempts' })
  const stats = gateway.route('fan')
  expect(stats).toMatchObject({ delivered: 0, inFlight: 200 })
  expect(gateway.link('source', 'source').settled).toBe(0)

  const proxy = await scope.use(wireTo('mqtt', port))
  readers.push(await scope.use(mqtt.reader()))
  await eventually(() => stats.targets[2]!.delivered > 0, { withinMs: 30_000, what: 'the third begins' })
  proxy.cut()
  proxy.restore()
  await eventually(() => stats.delivered === 200, { withinMs: 30_000, what: 'all delivered' })
  await arrived(readers[2]!, sent)
  for (const { got } of readers) checkNothingLost(got, sent)
  expect(readers[0]!.got).toHaveLength(200)
  expect(readers[1]!.got).toHaveLength(200)
  expect(stats.targets.map(({ attemptsOk }) => attemptsOk)).toEqual([200, 200, 200])
  expect(stats.targets.map(({ attemptsRetry }) => attemptsRetry).slice(0, 2)).toEqual([0, 0])
})

scenario('`match: first` takes the first target whose condition holds, and none when none does', async (scope) => {
  const source = await mqttPlace()
  const [small, large] = [await kafkaPlace(), await amqpPlace()]
  const gateway = await scope
    .gateway(`
gateway: { id: ${unique('t')}, drain: 5s, admin: false }
connections: { source: ${source.connection}, small: ${small.connection}, large: ${large.connection} }
routes:
  - name: choice
    from: { connection: source, ${source.from} }
    ${setKey}
    match: first
    to:
      - { connection: small, ${small.to}, when: "payload.n % 4 == 0" }
      - { connection: large, ${large.to}, when: "payload.n % 2 == 0" }
`)
    .ready()
  const sent = texts(80)
  const numberOf = (text: string) => (JSON.parse(text) as { n: number }).n
  const wanted = [sent.filter((text) => numberOf(text) % 4 === 0), sent.filter((text) => numberOf(text) % 4 === 2)]
  await (await scope.use(source.sender())).send(sent)
  const readers = [await scope.use(small.reader()), await scope.use(large.reader())]
  for (const [i, reader] of readers.entries()) {
    await arrived(reader, wanted[i]!)
    checkNothingLost(reader.got, wanted[i]!)
    expect(reader.got).toHaveLength(wanted[i]!.length)
  }
  await eventually(() => gateway.link('source', 'source').settled === 80, { what: 'all settled' })
  expect(gateway.route('choice')).toMatchObject({ matched: 80, delivered: 40, filtered: 40 })
})

scenario(
  'two routes on one source: a message is acknowledged when both are done with it, and read once',
  async (scope) => {
    const port = await freePort()
    const source = await kafkaPlace()
    const [near, far] = [await amqpPlace(), await mqttPlace({ port })]
    const gateway = scope.gateway(`
gateway: { id: ${unique('t')}, drain: 5s, admin: false }
connections: { source: ${source.connection}, near: ${near.connection}, far: ${far.connection} }
routes:
  - { name: near, from: { connection: source, ${source.from} }, ${setKey}, to: [{ connection: near, ${near.to} }] }
  - { name: far, from: { connection: source, ${source.from} }, ${setKey}, to: [{ connection: far, ${far.to} }] }
`)
    const sent = texts(100)
    await (await scope.use(source.sender())).send(sent)
    await eventually(() => gateway.route('near').delivered === 100, { what: 'one route is done' })
    expect(gateway.link('source', 'source')).toMatchObject({ received: 100, settled: 0 })
    await scope.use(wireTo('mqtt', port))
    await eventually(() => gateway.link('source', 'source').settled === 100, {
      withinMs: 30_000,
      what: 'both are done',
    })
    expect(gateway.link('source', 'source').received).toBe(100)
    for (const place of [near, far]) {
      const reader = await scope.use(place.reader())
      await arrived(reader, sent)
      checkNothingLost(reader.got, sent)
    }
  },
)

const hop = (id: string, from: Place, to: Place) => `
gateway: { id: ${id}, drain: 5s, admin: false }
connections: { from: ${from.connection}, to: ${to.connection} }
routes: [{ name: hop, from: { connection: from, ${from.from} }, ${setKey}, to: [{ connection: to, ${to.to} }] }]
`

scenario('a ring of two gateways ends: after 8 rounds a message is a dead letter, reason loop', async (scope) => {
  const [a, b] = [await amqpPlace(), await kafkaPlace()]
  const there = await scope.gateway(hop(unique('t'), a, b)).ready()
  const back = await scope.gateway(hop(unique('t'), b, a)).ready()
  const sent = texts(5)
  await (await scope.use(a.sender())).send(sent)
  await eventually(() => there.route('hop').deadLetteredTotal === 5, { withinMs: 30_000, what: 'the ring ends' })
  expect(Object.fromEntries(there.route('hop').deadLettered)).toEqual({ loop: 5 })
  await eventually(() => [there, back].every((gateway) => gateway.route('hop').inFlight === 0), { what: 'rest' })
  // Taken in 10 times, passed on 9: the first time it had passed nobody, the tenth time it had passed nine times.
  expect(there.route('hop')).toMatchObject({ matched: 50, delivered: 45 })
  expect(back.route('hop')).toMatchObject({ matched: 45, delivered: 45, deadLetteredTotal: 0 })
  const bodies = there.letters().map(({ envelope }) => Buffer.from(envelope.payload ?? []).toString())
  expect(bodies.sort()).toEqual(sent.toSorted())
})

scenario('a ring through one gateway that no configuration shows, by way of a binding, ends too', async (scope) => {
  const [a, b] = [await kafkaPlace(), await amqpPlace()]
  const connection = await amqplib.connect(brokerAddresses().amqp)
  scope.after(() => connection.close())
  await (await connection.createChannel()).bindQueue(b.name, 'amq.direct', b.name)
  const gateway = await scope
    .gateway(`
gateway: { id: ${unique('t')}, drain: 5s, admin: false }
connections: { a: ${a.connection}, b: ${b.connection} }
routes:
  - { name: there, from: { connection: a, ${a.from} }, to: [{ connection: b, exchange: amq.direct, routingKey: ${b.name} }] }
  - { name: back, from: { connection: b, ${b.from} }, to: [{ connection: a, ${a.to} }] }
`)
    .ready()
  await (await scope.use(a.sender())).send(texts(3))
  const dead = () => gateway.route('there').deadLetteredTotal + gateway.route('back').deadLetteredTotal
  await eventually(() => dead() === 3, { withinMs: 30_000, what: 'the ring ends' })
  await eventually(() => ['there', 'back'].every((name) => gateway.route(name).inFlight === 0), { what: 'rest' })
  // Each passes the gateway nine times: five times there, four times back, the next time is one too many.
  expect([gateway.route('there').delivered, gateway.route('back').delivered]).toEqual([15, 12])
  expect(Object.fromEntries(gateway.route('back').deadLettered)).toEqual({ loop: 3 })
})
