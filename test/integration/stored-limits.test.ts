/** How long messages may wait, how much may wait, and who may have the store. */
import { closeSync, openSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from '@jest/globals'
import mqtt from 'mqtt'
import { readinessView } from '../../src/admin/views.ts'
import { inProcess } from '../support/gateway/road.ts'
import { arrived, checkNothingLost, scenario, texts } from '../support/gateway/scenario.ts'
import { inletOf, patientMs, program, road, sourceIsUp } from '../support/gateway/stored.ts'
import { amqpPlace, placeAt, queueDepth, wireTo } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

/** Messages of about 1 KiB. */
const bulky = (count: number): string[] =>
  texts(count).map((text) => JSON.stringify({ ...(JSON.parse(text) as object), filling: 'x'.repeat(1_000) }))

scenario('`maxAge`: what has waited longer for a target that is away becomes a dead letter, expired', async (scope) => {
  const port = await freePort()
  const [source, target] = [await inletOf(scope, 'amqp'), await placeAt('kafka', { port })]
  const yaml = inProcess(`store: { maxAge: 6s }\n${road(source, target)}`)
  const first = scope.gateway(yaml)
  await sourceIsUp(first)
  const old = texts(50)
  await source.send(old)
  await eventually(() => first.route('road').waiting === 50, { withinMs: patientMs, what: 'all stored' })
  await first.pause() // what waits grows old while the gateway is away, too
  const second = scope.gateway(yaml, first.dataDir)
  await eventually(() => second.route('road').deadLetteredTotal === 50, { withinMs: patientMs, what: 'all expired' })
  expect(Object.fromEntries(second.route('road').deadLettered)).toEqual({ expired: 50 })
  expect(second.letters().map(({ attempts }) => attempts)).toEqual(Array(50).fill(0))
  expect(second.route('road')).toMatchObject({ waiting: 0 })
  await scope.use(wireTo('kafka', port))
  await second.ready()
  const fresh = texts(20)
  await source.send(fresh)
  const reader = await scope.use(target.reader())
  await arrived(reader, fresh, patientMs)
  expect(reader.got).toHaveLength(20)
})

scenario('`maxAge` leaves alone what is on its way, and counts each message once', async (scope) => {
  const [source, target] = [await inletOf(scope, 'mqtt'), await placeAt('amqp')]
  const gateway = await scope.gateway(inProcess(`store: { maxAge: 1ms }\n${road(source, target)}`)).ready()
  const reader = await scope.use(target.reader())
  const sent: string[] = []
  for (let round = 0; round < 40; round += 1) {
    const some = texts(50)
    await source.send(some)
    sent.push(...some)
    const done = () => gateway.route('road').delivered + gateway.route('road').deadLetteredTotal === sent.length
    await eventually(done, { withinMs: patientMs, what: `round ${round}` })
  }
  const { delivered, deadLetteredTotal, waiting } = gateway.route('road')
  expect({ sum: delivered + deadLetteredTotal, waiting }).toEqual({ sum: 2_000, waiting: 0 })
  const letters = gateway.letters().map(({ envelope }) => Buffer.from(envelope.payload ?? []).toString())
  await eventually(() => reader.got.length + letters.length >= 2_000, { withinMs: patientMs, what: 'all there' })
  const both = [...reader.got.map(({ text }) => text), ...letters]
  expect(both.toSorted()).toEqual(sent.toSorted())
})

scenario('a full store, `deadLetterOldest`: the oldest make room for new ones', async (scope) => {
  const port = await freePort()
  const [source, target] = [await inletOf(scope, 'amqp'), await placeAt('kafka', { port })]
  const gateway = scope.gateway(
    inProcess(`store: { maxBytes: 256KiB, onFull: deadLetterOldest }\n${road(source, target)}`),
  )
  await sourceIsUp(gateway)
  const sent = bulky(600)
  await source.send(sent)
  const stats = gateway.route('road')
  await eventually(() => stats.matched === 600 && stats.inFlight === 0, { withinMs: patientMs, what: 'all taken in' })
  await source.acknowledged(600)
  const dead = stats.deadLetteredTotal
  expect(Object.fromEntries(stats.deadLettered)).toEqual({ 'store-full': dead })
  expect({ sum: dead + stats.waiting }).toEqual({ sum: 600 })
  expect(stats.waiting).toBeGreaterThan(100) // of about 150 that find room: not more than needed is set aside
  const letters = gateway.letters().map(({ envelope }) => Buffer.from(envelope.payload ?? []).toString())
  expect(letters).toEqual(sent.slice(0, dead))
  await eventually(() => readinessView(gateway.gateway.status()).status === 'ready', { what: 'ready again' })
  await scope.use(wireTo('kafka', port))
  const reader = await scope.use(target.reader())
  await arrived(reader, sent.slice(dead), patientMs)
  checkNothingLost(reader.got, sent.slice(dead))
  expect(reader.got).toHaveLength(600 - dead)
})

scenario(
  'a full store, `deadLetterOldest`, and a target that is slow: no message is both delivered and set aside',
  async (scope) => {
    const wire = await scope.use(wireTo('amqp'))
    const [source, target] = [await inletOf(scope, 'amqp'), await placeAt('amqp', { port: wire.port })]
    const gateway = await scope
      .gateway(inProcess(`store: { maxBytes: 512KiB, onFull: deadLetterOldest }\n${road(source, target)}`))
      .ready()
    const reader = await scope.use(target.reader())
    wire.latency(50, 50)
    const sent = bulky(1_500)
    await source.send(sent)
    const stats = gateway.route('road')
    await eventually(() => stats.matched === 1_500 && stats.inFlight === 0, {
      withinMs: patientMs,
      what: 'all taken in',
    })
    wire.restore()
    await eventually(() => stats.waiting === 0, { withinMs: patientMs, what: 'nothing waits' })
    const letters = gateway.letters().map(({ envelope }) => Buffer.from(envelope.payload ?? []).toString())
    await eventually(() => reader.got.length + letters.length >= 1_500, { withinMs: patientMs, what: 'all there' })
    expect(stats.delivered + stats.deadLetteredTotal).toBe(1_500)
    const both = [...reader.got.map(({ text }) => text), ...letters]
    expect(both.toSorted()).toEqual(sent.toSorted())
  },
)

scenario(
  'a full store, `wait`: a queue keeps its messages, /readyz says why, and all goes on when there is room',
  async (scope) => {
    const port = await freePort()
    const [source, target] = [await amqpPlace(), await placeAt('kafka', { port })]
    const gateway = scope.gateway(inProcess(`store: { maxBytes: 128KiB }\n${road(source, target)}`))
    await sourceIsUp(gateway)
    const sent = bulky(1_000)
    await (await scope.use(source.sender())).send(sent)
    const why = () => gateway.gateway.status().store.fullBecause
    await eventually(() => why() !== undefined, { withinMs: patientMs, what: 'full' })
    expect(readinessView(gateway.gateway.status())).toMatchObject({
      status: 'not ready',
      waitingFor: [{ connection: '*', role: 'store', reason: expect.stringMatching(/^full: it holds \d+ messages/) }],
    })
    expect(gateway.route('road').waiting).toBeLessThan(150) // of about 110 that find room
    expect(gateway.route('road').deadLetteredTotal).toBe(0)
    await scope.use(wireTo('kafka', port))
    const reader = await scope.use(target.reader())
    await arrived(reader, sent, patientMs)
    checkNothingLost(reader.got, sent)
    expect(reader.got).toHaveLength(1_000)
    await eventually(() => readinessView(gateway.gateway.status()).status === 'ready', {
      withinMs: patientMs,
      what: 'ready again',
    })
    await eventually(async () => (await queueDepth(source.name)) === 0, { withinMs: patientMs, what: 'an empty queue' })
  },
)

scenario('a full store, `wait`: devices get no PUBACK until there is room', async (scope) => {
  const port = await freePort()
  const listen = `mqtt://127.0.0.1:${await freePort()}`
  const source = { connection: `{ protocol: mqtt, listen: "${listen}" }`, from: 'topic: "dev/{key}", qos: 1' }
  const target = await placeAt('amqp', { port })
  const gateway = scope.gateway(inProcess(`store: { maxBytes: 64KiB }\n${road(source, target)}`))
  await sourceIsUp(gateway)
  const device = await mqtt.connectAsync(listen, { protocolVersion: 4, reconnectPeriod: 0 })
  scope.after(() => device.endAsync(true))
  let acknowledged = 0
  const sent = bulky(300)
  const sending = sent.map(async (text) => {
    await device.publishAsync('dev/red', text, { qos: 1 })
    acknowledged += 1
  })
  const all = Promise.all(sending)
  all.catch(() => {})
  await eventually(() => gateway.gateway.status().store.fullBecause !== undefined, {
    withinMs: patientMs,
    what: 'full',
  })
  const stored = gateway.route('road').waiting
  await eventually(() => acknowledged === stored, { withinMs: patientMs, what: 'what is stored is acknowledged' })
  expect(acknowledged).toBeLessThan(100) // of about 55 that find room
  await scope.use(wireTo('amqp', port))
  await all
  const reader = await scope.use(target.reader())
  await arrived(reader, sent, patientMs)
  checkNothingLost(reader.got, sent)
  expect(reader.got).toHaveLength(300)
})

scenario('a second process on the same directory ends with 75 and says why; the first goes on', async (scope) => {
  const [source, target] = [await inletOf(scope, 'amqp'), await placeAt('kafka')]
  const yaml = road(source, target)
  const first = await program(scope, yaml)
  await first.start()
  const second = await program(scope, yaml)
  second.launch({ env: { TRIVIUM_DATA_DIR: first.dataDir } })
  expect(await second.ended).toEqual({ code: 75, signal: null })
  expect(second.log.join('\n')).toContain('one gateway per directory')
  const sent = texts(20)
  await source.send(sent)
  const reader = await scope.use(target.reader())
  await arrived(reader, sent, patientMs)
  expect(await first.stop()).toEqual({ code: 0, signal: null })
  await second.start({ env: { TRIVIUM_DATA_DIR: first.dataDir } }) // now it may
})

scenario('a damaged store ends the program with 74 and says what to do', async (scope) => {
  const port = await freePort()
  const [source, target] = [await inletOf(scope, 'amqp'), await placeAt('kafka', { port })]
  const gateway = await program(scope, road(source, target))
  await gateway.start()
  await source.send(bulky(300))
  await source.acknowledged(300)
  expect(await gateway.stop()).toEqual({ code: 0, signal: null })
  overwriteMiddle(join(gateway.dataDir, 'trivium.db'))
  gateway.launch()
  expect(await gateway.ended).toEqual({ code: 74, signal: null })
  expect(gateway.log.join('\n')).toMatch(/trivium\.db is damaged: .*Copy the directory away.*restore a backup/)
})

function overwriteMiddle(file: string): void {
  const pages = Math.floor(statSync(file).size / 4096)
  const noise = Buffer.alloc(4096, 0xa5)
  const handle = openSync(file, 'r+')
  for (let page = 2; page < pages; page += 1) writeSync(handle, noise, 0, noise.length, page * 4096)
  closeSync(handle)
}
