/** What dead letters may take up on the disk, and who waits where they are full. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from '@jest/globals'
import mqtt from 'mqtt'
import { readinessView } from '../../src/admin/views.ts'
import { complaints } from '../support/contexts/log.ts'
import type { TestGateway } from '../support/gateway/gateway.ts'
import { inProcess } from '../support/gateway/road.ts'
import { type Scope, scenario, texts } from '../support/gateway/scenario.ts'
import { inletOf, patientMs, program, road, sourceIsUp } from '../support/gateway/stored.ts'
import { amqpPlace, placeAt, queueDepth, wireTo } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

/** Messages of about 4 KiB. */
const bulky = (count: number): string[] =>
  texts(count).map((text) => JSON.stringify({ ...(JSON.parse(text) as object), filling: 'x'.repeat(4_000) }))

/** All that is sent is refused: no queue is bound there. */
const refused = (source: { connection: string; from: string }, target: string, store: string, more = '') =>
  inProcess(`
store: { ${store} }
connections: { source: ${source.connection}, target: ${target} }
routes:
  - name: road
    from: { connection: source, ${source.from} }
    to: [{ connection: target, exchange: amq.direct, routingKey: nowhere }]
    ${more}
`)

const lettersOf = (gateway: TestGateway) =>
  gateway.letters().map(({ envelope }) => Buffer.from(envelope.payload ?? []).toString())

const figuresOf = (gateway: TestGateway) => gateway.gateway.status().store.deadLetterFigures

/** Takes letters away as they come, until so many were seen. */
async function collect(gateway: TestGateway, count: number): Promise<string[]> {
  const seen: string[] = []
  const look = () => {
    const letters = gateway.gateway.workbench.list({}, { limit: 500 }).letters
    seen.push(...letters.map(({ envelope }) => Buffer.from(envelope.payload ?? []).toString()))
    const ids = letters.map(({ id }) => id)
    if (ids.length > 0) gateway.gateway.workbench.discard({ ids }, { limit: 500 }, 'test')
    return seen.length >= count
  }
  await eventually(look, { withinMs: patientMs, what: `${count} letters` })
  return seen
}

async function mqttDevice(scope: Scope) {
  const listen = `mqtt://127.0.0.1:${await freePort()}`
  const connect = async () => {
    const device = await mqtt.connectAsync(listen, { protocolVersion: 4, reconnectPeriod: 0 })
    scope.after(() => device.endAsync(true))
    return device
  }
  return { connection: `{ protocol: mqtt, listen: "${listen}" }`, from: 'topic: "dev/+", qos: 1', connect }
}

for (const acknowledge of ['delivered', 'stored']) {
  scenario(
    `full dead letters, ${acknowledge}: a queue keeps what fails, and all of it is a letter once`,
    async (scope) => {
      const [source, { connection }] = [await amqpPlace(), await amqpPlace()]
      const store = 'maxBytes: 128KiB, deadLetters: { maxBytes: 64KiB }'
      const yaml = refused(source, connection, store, `acknowledge: ${acknowledge}`)
      const gateway = scope.gateway(yaml)
      await sourceIsUp(gateway)
      const sent = bulky(200)
      await (await scope.use(source.sender())).send(sent)
      await eventually(() => figuresOf(gateway).held > 0, { withinMs: patientMs, what: 'letters that wait' })
      await eventually(() => complaints(gateway.lines).some(({ message }) => /dead letters are full/.test(message)), {
        what: 'a line about it',
      })
      expect(figuresOf(gateway).bytes).toBeLessThanOrEqual(64 * 1024)
      expect(readinessView(gateway.gateway.status())).toMatchObject({ deadLettersHeld: expect.any(Number) })
      gateway.checkInvariant()
      const early = lettersOf(gateway)
      await gateway.pause()
      const { waiting } = gateway.route('road')
      expect((await queueDepth(source.name)) + waiting + early.length).toBe(200)
      const second = scope.gateway(yaml, gateway.dataDir)
      const seen = await collect(second, 200)
      expect(seen.toSorted()).toEqual(sent.toSorted())
      await eventually(async () => (await queueDepth(source.name)) === 0, {
        withinMs: patientMs,
        what: 'an empty queue',
      })
    },
  )
}

scenario(
  'full dead letters: a device gets no PUBACK for what cannot be decided on, and goes on when there is room',
  async (scope) => {
    const [device, { connection }] = [await mqttDevice(scope), await amqpPlace()]
    const failing = 'set: { payload.n: "payload.x + 1" }'
    const gateway = scope.gateway(refused(device, connection, 'deadLetters: { maxBytes: 64KiB }', failing))
    await sourceIsUp(gateway)
    const client = await device.connect()
    let acknowledged = 0
    const sending = bulky(100).map(async (text) => {
      await client.publishAsync('dev/1', text.replaceAll('n', 'm'), { qos: 1 })
      acknowledged += 1
    })
    const all = Promise.all(sending)
    all.catch(() => {})
    await eventually(() => figuresOf(gateway).held > 0, { withinMs: patientMs, what: 'letters that wait' })
    await eventually(() => acknowledged === gateway.letters().length, { what: 'what is a letter is acknowledged' })
    expect(acknowledged).toBeLessThan(20)
    expect(await collect(gateway, 100)).toHaveLength(100)
    await all
  },
)

scenario(
  'full dead letters: what is read back and no longer wanted waits in the store, and is a letter once',
  async (scope) => {
    const port = await freePort()
    const [source, target] = [await inletOf(scope, 'amqp'), await placeAt('kafka', { port })]
    const yaml = road(source, target)
    const first = scope.gateway(inProcess(yaml))
    await sourceIsUp(first)
    const sent = bulky(1_500)
    await source.send(sent)
    await eventually(() => first.route('road').waiting === 1_500, { withinMs: patientMs, what: 'all stored' })
    await first.pause()
    await scope.use(wireTo('kafka', port))
    const changed = `store: { deadLetters: { maxBytes: 256KiB } }\n${yaml}    when: payload.n < 0\n`
    const second = await scope.gateway(inProcess(changed), first.dataDir).ready()
    await eventually(() => figuresOf(second).held > 0, { withinMs: patientMs, what: 'letters that wait' })
    expect(figuresOf(second).held).toBeLessThan(1_100) // two pages, the others wait on disk
    second.checkInvariant()
    const seen = await collect(second, 1_500)
    expect(seen.toSorted()).toEqual(sent.toSorted())
    expect(second.route('road')).toMatchObject({ waiting: 0, delivered: 0 })
  },
)

scenario('full dead letters: nothing is lost when the process is killed while letters wait', async (scope) => {
  const [source, { connection }] = [await amqpPlace(), await amqpPlace()]
  const store = 'maxBytes: 128KiB, deadLetters: { maxBytes: "${env:LETTERS}" }'
  const yaml = refused(source, connection, store, 'acknowledge: stored').replace(', admin: false', '')
  const gateway = await program(scope, yaml.replace(/^gateway: .*\n/, ''))
  await gateway.start({ env: { LETTERS: '64KiB' } })
  const sent = bulky(100)
  await (await scope.use(source.sender())).send(sent)
  const held = async () => {
    const view = (await gateway.get('/api/v1/connections')) as { gateway: { store: { deadLettersHeld: number } } }
    return view.gateway.store.deadLettersHeld
  }
  await eventually(async () => (await held()) > 0, { withinMs: patientMs, what: 'letters that wait' })
  await gateway.kill()
  await gateway.start({ env: { LETTERS: '1GiB' } })
  const letters = async () => {
    const lines = (await (await fetch(`${gateway.admin}/api/v1/dead-letters/export`)).text()).trimEnd().split('\n')
    return new Set(lines.map((line) => (JSON.parse(line) as { message: { payloadText: string } }).message.payloadText))
  }
  await eventually(async () => (await letters()).size === 100, { withinMs: patientMs, what: 'all of them' })
  expect([...(await letters())].toSorted()).toEqual(sent.toSorted())
  expect(await gateway.stop()).toEqual({ code: 0, signal: null })
})

scenario(
  'dropOldest: the disk holds no more than the newest, sources go on, and the log says how many went',
  async (scope) => {
    const [source, { connection }] = [await inletOf(scope, 'amqp'), await amqpPlace()]
    const gateway = scope.gateway(refused(source, connection, 'deadLetters: { maxBytes: 64KiB, onFull: dropOldest }'))
    await sourceIsUp(gateway)
    const sent = bulky(1_000)
    await source.send(sent)
    await eventually(() => gateway.route('road').deadLetteredTotal === 1_000, {
      withinMs: patientMs,
      what: 'all refused',
    })
    await source.acknowledged(1_000)
    const kept = lettersOf(gateway)
    expect(kept).toEqual(sent.slice(-kept.length))
    expect(kept.length).toBeGreaterThan(10)
    expect(figuresOf(gateway)).toMatchObject({ held: 0, dropped: 1_000 - kept.length })
    expect(figuresOf(gateway).bytes).toBeLessThanOrEqual(64 * 1024)
    expect(statSync(join(gateway.dataDir, 'trivium.db')).size).toBeLessThan(2 ** 20) // 4 MB came
    const isSaid = () => gateway.lines.filter(({ message }) => /dead letters? w\w+ dropped/.test(message))
    await eventually(() => isSaid().length > 0, { what: 'a line about it' })
    expect(isSaid().length).toBeLessThan(3)
    expect(complaints(gateway.lines).map(({ message }) => message)).toContainEqual(
      expect.stringMatching(/^dead letters take up \d+ KiB of 64 KiB: when full, the oldest are dropped/),
    )
  },
)
