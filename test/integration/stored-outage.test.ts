/** `acknowledge: stored` while a target is away: the source is answered, the messages wait, and arrive in order later. */

import { expect } from '@jest/globals'
import { inProcess } from '../support/gateway/road.ts'
import { arrived, checkNothingLost, scenario, texts } from '../support/gateway/scenario.ts'
import {
  expectBuffering,
  inletOf,
  patientMs,
  program,
  road,
  type SourceName,
  sourceIsUp,
} from '../support/gateway/stored.ts'
import { unique } from '../support/names.ts'
import type { BrokerName } from '../support/places/connections.ts'
import { placeAt, wireTo } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

const pairs: readonly (readonly [SourceName, BrokerName])[] = [
  ['embedded', 'kafka'],
  ['embedded', 'amqp'],
  ['mqtt', 'amqp'],
  ['mqtt', 'kafka'],
  ['amqp', 'mqtt'],
  ['amqp', 'kafka'],
  ['kafka', 'amqp'],
  ['kafka', 'mqtt'],
]

for (const [from, to] of pairs) {
  scenario(
    `${from} is answered while ${to} is away; after a stop and a start all arrives, once, in order`,
    async (scope) => {
      const port = await freePort()
      const [source, target] = [await inletOf(scope, from), await placeAt(to, { port })]
      const yaml = inProcess(road(source, target))
      const first = scope.gateway(yaml)
      await sourceIsUp(first)
      const early = texts(1_500)
      await source.send(early)
      const stats = first.route('road')
      await eventually(() => stats.waiting === 1_500, { withinMs: patientMs, what: 'all stored' })
      expect(first.link('source', 'source')).toMatchObject({ received: 1_500, settled: 1_500 })
      await source.acknowledged(1_500)
      await eventually(() => first.link('target', 'sink').reconnects >= 1, { withinMs: patientMs, what: 'an attempt' })
      expectBuffering(first, 1_500)
      await first.pause()

      const second = scope.gateway(yaml, first.dataDir)
      expect(second.route('road')).toMatchObject({ restored: 1_500, waiting: 1_500 })
      await sourceIsUp(second)
      const later = texts(100)
      await source.send(later)
      await eventually(() => second.route('road').waiting === 1_600, { withinMs: patientMs, what: 'more stored' })
      await scope.use(wireTo(to, port))
      await eventually(() => second.route('road').delivered > 0, { withinMs: patientMs, what: 'the drain' })
      const last = texts(500)
      await source.send(last)
      await eventually(() => second.route('road').delivered === 2_100, { withinMs: patientMs, what: 'all delivered' })
      const reader = await scope.use(target.reader())
      await arrived(reader, [...early, ...later, ...last], patientMs)
      checkNothingLost(reader.got, [...early, ...later, ...last])
      expect(reader.got).toHaveLength(2_100)
      expect(second.link('source', 'source')).toMatchObject({ received: 600, settled: 600 }) // nothing came again
      expect(second.gateway.status().store).toMatchObject({ waiting: 0, waitingBytes: 0 })
      expect(second.gateway.status().store.reads).toBeGreaterThan(0) // what the first one left
    },
  )
}

for (const [from, to] of pairs.filter((_, i) => i % 2 === 0)) {
  scenario(`what ${from} was answered for outlives SIGKILL while ${to} is away`, async (scope) => {
    const port = await freePort()
    const [source, target] = [await inletOf(scope, from), await placeAt(to, { port })]
    const gateway = await program(scope, road(source, target))
    await gateway.start()
    const early = texts(500)
    await source.send(early)
    const isStored = async () => (await gateway.get('/readyz')) as { stored: unknown }
    await eventually(async () => expect(await isStored()).toMatchObject({ stored: [{ messages: 500 }] }) ?? true, {
      withinMs: patientMs,
      what: 'all stored',
    })
    await source.acknowledged(500)
    await gateway.kill()
    await gateway.start() // ready, although the target is away
    const later = texts(100)
    await source.send(later)
    await source.acknowledged(600)
    await scope.use(wireTo(to, port))
    const reader = await scope.use(target.reader())
    await arrived(reader, [...early, ...later], patientMs)
    checkNothingLost(reader.got, [...early, ...later])
    await eventually(async () => expect(await isStored()).toMatchObject({ stored: [] }) ?? true, {
      withinMs: patientMs,
      what: 'nothing waits',
    })
    expect(await gateway.stop()).toEqual({ code: 0, signal: null })
  })
}

scenario(
  'a target that comes and goes: each message once it is confirmed stays delivered, keys keep their order',
  async (scope) => {
    const wire = await scope.use(wireTo('amqp'))
    const [source, target] = [await inletOf(scope, 'mqtt'), await placeAt('amqp', { port: wire.port })]
    const gateway = await scope.gateway(inProcess(road(source, target))).ready()
    const reader = await scope.use(target.reader())
    const sent: string[] = []
    for (let round = 0; round < 5; round += 1) {
      const some = texts(400)
      const sending = source.send(some)
      wire.cut()
      await eventually(() => gateway.link('target', 'sink').state === 'down', { withinMs: patientMs, what: 'the cut' })
      await sending
      sent.push(...some)
      wire.restore()
      await eventually(() => gateway.link('target', 'sink').state === 'up', { withinMs: patientMs, what: 'the return' })
    }
    await eventually(() => gateway.route('road').delivered === sent.length, {
      withinMs: patientMs,
      what: 'all delivered',
    })
    await arrived(reader, sent, patientMs)
    checkNothingLost(reader.got, sent)
    expect(gateway.route('road')).toMatchObject({ deadLetteredTotal: 0, waiting: 0 })
  },
)

scenario(
  'of three stored targets one is away: the others get each message once, also over a restart',
  async (scope) => {
    const port = await freePort()
    const source = await inletOf(scope, 'amqp')
    const [kafka, amqp, far] = [await placeAt('kafka'), await placeAt('amqp'), await placeAt('mqtt', { port })]
    const yaml = inProcess(`
connections: { source: ${source.connection}, kafka: ${kafka.connection}, amqp: ${amqp.connection}, target: ${far.connection} }
routes:
  - name: road
    from: { connection: source, ${source.from} }
    set: { key: payload.key }
    to:
      - { connection: kafka, ${kafka.to} }
      - { connection: target, ${far.to} }
      - { connection: amqp, ${amqp.to} }
    acknowledge: stored
`)
    const first = scope.gateway(yaml)
    await sourceIsUp(first)
    const early = texts(200)
    await source.send(early)
    const near = [await scope.use(kafka.reader()), await scope.use(amqp.reader())]
    await Promise.all(near.map((reader) => arrived(reader, early, patientMs)))
    const deliveredTo = () => first.route('road').targets.map(({ delivered }) => delivered)
    await eventually(() => String(deliveredTo()) === '200,0,200', { withinMs: patientMs, what: 'confirmed by two' })
    expectBuffering(first, 200)
    expect(first.route('road')).toMatchObject({ delivered: 0, waiting: 200 })
    await source.acknowledged(200)
    await first.pause()

    const second = scope.gateway(yaml, first.dataDir)
    await sourceIsUp(second)
    const later = texts(200)
    await source.send(later)
    await Promise.all(near.map((reader) => arrived(reader, later, patientMs)))
    await scope.use(wireTo('mqtt', port))
    await eventually(() => second.route('road').delivered === 400, { withinMs: patientMs, what: 'all delivered' })
    expect(second.route('road').targets.map(({ delivered }) => delivered)).toEqual([200, 400, 200])
    const readers = [...near, await scope.use(far.reader())]
    for (const reader of readers) {
      await arrived(reader, [...early, ...later], patientMs)
      checkNothingLost(reader.got, [...early, ...later])
      expect(reader.got).toHaveLength(400)
    }
  },
)

scenario(
  'two routes on one source, one stored and one delivered: it is answered when both are satisfied',
  async (scope) => {
    const [nearPort, farPort] = [await freePort(), await freePort()]
    const source = await placeAt('kafka')
    const [near, far] = [await placeAt('amqp', { port: nearPort }), await placeAt('mqtt', { port: farPort })]
    const gateway = scope.gateway(
      inProcess(`
connections: { source: ${source.connection}, near: ${near.connection}, far: ${far.connection} }
routes:
  - { name: delivered, from: { connection: source, ${source.from} }, set: { key: payload.key }, to: [{ connection: near, ${near.to} }], acknowledge: delivered }
  - { name: stored, from: { connection: source, ${source.from} }, set: { key: payload.key }, to: [{ connection: far, ${far.to} }], acknowledge: stored }
`),
    )
    const sent = texts(100)
    await (await scope.use(source.sender())).send(sent)
    await eventually(() => gateway.route('stored').waiting === 100, { withinMs: patientMs, what: 'all stored' })
    await eventually(() => gateway.route('delivered').inFlight === 100, { withinMs: patientMs, what: 'all in flight' })
    expect(gateway.link('source', 'source')).toMatchObject({ received: 100, settled: 0 })
    await scope.use(wireTo('amqp', nearPort))
    await eventually(() => gateway.link('source', 'source').settled === 100, {
      withinMs: patientMs,
      what: 'all settled',
    })
    expect(gateway.route('stored')).toMatchObject({ waiting: 100, delivered: 0 })
    await scope.use(wireTo('mqtt', farPort))
    await eventually(() => gateway.route('stored').delivered === 100, { withinMs: patientMs, what: 'the other target' })
    for (const place of [near, far]) {
      const reader = await scope.use(place.reader())
      await arrived(reader, sent, patientMs)
      checkNothingLost(reader.got, sent)
      expect(reader.got).toHaveLength(100)
    }
  },
)

scenario(
  'a target that is no longer configured keeps its messages, and the log names it at the start',
  async (scope) => {
    const port = await freePort()
    const source = await inletOf(scope, 'amqp')
    const [kept, gone] = [await placeAt('kafka'), await placeAt('mqtt', { port })]
    const id = unique('t')
    const yaml = (to: string) => `
gateway: { id: ${id}, drain: 5s, admin: false }
connections: { source: ${source.connection}, kept: ${kept.connection}, gone: ${gone.connection} }
routes:
  - name: road
    from: { connection: source, ${source.from} }
    set: { key: payload.key }
    to: [${to}]
    acknowledge: stored
`
    const toKept = `{ connection: kept, ${kept.to} }`
    const toGone = `{ connection: gone, ${gone.to} }`
    const first = scope.gateway(yaml(`${toGone}, ${toKept}`))
    await sourceIsUp(first)
    const sent = texts(10)
    await source.send(sent)
    await eventually(() => first.route('road').targets[1]!.delivered === 10, {
      withinMs: patientMs,
      what: 'one target',
    })
    await first.pause()
    const second = scope.gateway(yaml(toKept), first.dataDir)
    await second.ready()
    expect(second.lines.map(({ message }) => message).join('\n')).toMatch(
      /wait for gone\/.*not configured any more; they are kept: 10/,
    )
    await second.pause()
    expect(second.route('road')).toMatchObject({ waiting: 10, delivered: 0 })
    await scope.use(wireTo('mqtt', port))
    const third = scope.gateway(yaml(`${toKept}, ${toGone}`), first.dataDir)
    await eventually(() => third.route('road').delivered === 10, { withinMs: patientMs, what: 'the one that is back' })
    const readers = [await scope.use(kept.reader()), await scope.use(gone.reader())]
    for (const reader of readers) {
      await arrived(reader, sent, patientMs)
      expect(reader.got).toHaveLength(10)
    }
  },
)
