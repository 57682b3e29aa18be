/** What an operator must mend: credentials, queues and topics that are not there, ports in use. Said clearly, tried again. */

import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect } from '@jest/globals'
import amqplib from 'amqplib'
import { Kafka, logLevel } from 'kafkajs'
import { notReady } from '../../src/telemetry/status.ts'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { commandPath } from '../support/brokers/install.ts'
import { startKafka } from '../support/brokers/kafka.ts'
import { startMosquitto } from '../support/brokers/mosquitto.ts'
import type { Running } from '../support/brokers/process.ts'
import { complaints } from '../support/contexts/log.ts'
import { Installation } from '../support/gateway/delivery-program.ts'
import type { TestGateway } from '../support/gateway/gateway.ts'
import { roadBetween } from '../support/gateway/road.ts'
import { arrived, checkNothingLost, type Scope, scenario, texts } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import { amqpPlace, kafkaPlace, type Place } from '../support/places/places.ts'
import { createTopics } from '../support/places/topics.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

const secret = 'not-the-password'

/** The connection `locked` is source of one route and target of another; the others are well. */
async function checkRefused(scope: Scope, locked: string, names: { from: string; to: string }, message: RegExp) {
  const [inlet, outlet] = [await kafkaPlace(), await amqpPlace()]
  const gateway = scope.gateway(`
gateway: { id: ${unique('t')}, drain: 1s, admin: false }
connections: { locked: ${locked}, inlet: ${inlet.connection}, outlet: ${outlet.connection} }
routes:
  - { name: out-of, from: { connection: locked, ${names.from} }, to: [{ connection: outlet, ${outlet.to} }] }
  - { name: into, from: { connection: inlet, ${inlet.from} }, to: [{ connection: locked, ${names.to} }] }
`)
  await eventually(
    () =>
      notReady(gateway.gateway.status()).length === 2 &&
      notReady(gateway.gateway.status()).every(({ reason }) => message.test(reason)),
    { withinMs: 20_000, what: `refused: ${JSON.stringify(gateway.lines)}` },
  )
  const waiting = notReady(gateway.gateway.status())
  expect(waiting.map(({ connection, role }) => `${connection} ${role}`).sort()).toEqual([
    'locked sink',
    'locked source',
  ])
  await eventually(() => ['source', 'sink'].every((role) => gateway.link('locked', role as 'sink').reconnects >= 4), {
    withinMs: 20_000,
    what: 'it keeps trying',
  })
  const said = complaints(gateway.lines)
  expect(said.filter(({ message: text }) => message.test(text))).toHaveLength(2)
  expect(said).toHaveLength(2)
  expect(JSON.stringify(gateway.lines)).not.toContain(secret)
  expect(JSON.stringify(waiting)).not.toContain(secret)
}

scenario('a wrong password for MQTT is named, tried again, and shown by readiness', async (scope) => {
  const folder = mkdtempSync(join(tmpdir(), 'trivium-users-'))
  scope.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'users')
  execFileSync(commandPath('mosquitto_passwd'), ['-c', '-b', file, 'gateway', 'right'])
  const broker = await startMosquitto({ conf: ['allow_anonymous false', `password_file ${file}`] })
  scope.after(() => broker.stop())
  const locked = `{ protocol: mqtt, url: "${broker.address}", username: gateway, password: ${secret} }`
  await checkRefused(
    scope,
    locked,
    { from: 'topic: in', to: 'topic: out' },
    /127\.0\.0\.1:\d+ refuses the connection: .*(not authorized|user name or password)/,
  )
})

scenario('a wrong password for AMQP is named, tried again, and shown by readiness', async (scope) => {
  const url = brokerAddresses().amqp.replace('guest:guest', 'guest')
  const locked = `{ protocol: amqp, url: "${url}", password: ${secret} }`
  await checkRefused(scope, locked, { from: 'queue: in', to: 'queue: out' }, /127\.0\.0\.1:\d+.*ACCESS.REFUSED/i)
})

/** A Kafka of our own, with a user, that creates no topic by itself. */
let starting: Promise<Running & { saslPort: number }> | undefined
afterAll(async () => (await starting)?.stop())
async function startOwnKafka() {
  const saslPort = await freePort()
  const broker = await startKafka({ sasl: { port: saslPort, username: 'gateway', password: 'right' } })
  return { ...broker, saslPort }
}
function ownKafka() {
  starting ??= startOwnKafka()
  return starting
}

scenario('a wrong password for Kafka is named, tried again, and shown by readiness', async (scope) => {
  const { saslPort: port } = await ownKafka()
  const locked = `{ protocol: kafka, brokers: ["127.0.0.1:${port}"], sasl: { mechanism: plain, username: gateway, password: ${secret} } }`
  await checkRefused(
    scope,
    locked,
    { from: 'topic: in', to: 'topic: out' },
    /127\.0\.0\.1:\d+.*(authentication|credentials)/i,
  )
})

async function kafkaAdmin(scope: Scope, brokers = brokerAddresses().kafka) {
  const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  scope.after(() => admin.disconnect())
  return admin
}

const road = (...[source, target]: Parameters<typeof roadBetween>) =>
  `gateway: { id: ${unique('t')}, drain: 1s, admin: false }\n${roadBetween(source, target, 'retry: { attempts: 2, maxDelay: 1s }')}`

/** Not ready, and why; later ready by itself. */
async function namesSource(gateway: TestGateway, name: string): Promise<void> {
  const reason = () =>
    notReady(gateway.gateway.status()).find(({ connection }) => connection === 'source')?.reason ?? ''
  await eventually(() => reason().includes(name), { what: `a reason with the name: ${reason()}` })
  await eventually(() => gateway.link('source', 'source').reconnects >= 3, { what: 'some attempts' })
  expect(complaints(gateway.lines)).toHaveLength(1)
}

async function delivers(scope: Scope, source: Place, target: Place): Promise<void> {
  const sent = texts(20)
  await (await scope.use(source.sender())).send(sent)
  const reader = await scope.use(target.reader())
  await arrived(reader, sent)
  checkNothingLost(reader.got, sent)
}

scenario('a queue to read that is not there is named, and read once somebody makes it', async (scope) => {
  const [source, target] = [await amqpPlace(), await kafkaPlace()]
  const connection = await amqplib.connect(brokerAddresses().amqp)
  scope.after(() => connection.close())
  const channel = await connection.createChannel()
  await channel.deleteQueue(source.name)
  const gateway = scope.gateway(road(source, target))
  await namesSource(gateway, source.name)
  await delivers(scope, source, target) // its sender makes the queue
})

scenario('a topic to read that is not there is named, and read once somebody makes it', async (scope) => {
  const [source, target] = [await kafkaPlace(), await amqpPlace()]
  const admin = await kafkaAdmin(scope)
  await admin.deleteTopics({ topics: [source.name] })
  const gateway = scope.gateway(road(source, target))
  await namesSource(gateway, source.name)
  await createTopics(admin, [{ topic: source.name, numPartitions: 3 }])
  await gateway.ready()
  await delivers(scope, source, target)
})

/** Messages for a place that is not there: they wait, the operator is told which place and not for every message. */
async function checkWaits(scope: Scope, target: Place, name: string, make: () => Promise<unknown>): Promise<void> {
  const source = await amqpPlace()
  const gateway = await scope.gateway(road(source, target)).ready()
  const sent = texts(20)
  await (await scope.use(source.sender())).send(sent)
  const stats = gateway.route('road')
  await eventually(() => stats.targets[0]!.attemptsRetry >= 40, { withinMs: 20_000, what: 'some attempts' })
  expect(stats).toMatchObject({ inFlight: 20, delivered: 0, deadLetteredTotal: 0 })
  const said = complaints(gateway.lines)
  expect(said.map(({ message }) => message.includes(name))).toEqual([true])
  await make()
  const reader = await scope.use(target.reader())
  await arrived(reader, sent)
  checkNothingLost(reader.got, sent)
}

scenario(
  'messages for a topic that is not there wait, which is said once, and go when somebody makes it',
  async (scope) => {
    const { address } = await ownKafka()
    const target = await kafkaPlace({ address })
    const admin = await kafkaAdmin(scope, [address])
    await admin.deleteTopics({ topics: [target.name] })
    const make = () => createTopics(admin, [{ topic: target.name, numPartitions: 3 }])
    await checkWaits(scope, target, target.name, make)
  },
)

scenario(
  'messages for an exchange that is not there wait, which is said once, and go when somebody makes it',
  async (scope) => {
    const target = await amqpPlace()
    const connection = await amqplib.connect(brokerAddresses().amqp)
    scope.after(() => connection.close())
    const channel = await connection.createChannel()
    const exchange = unique('t')
    scope.after(() => channel.deleteExchange(exchange))
    await checkWaits(scope, { ...target, to: `exchange: ${exchange}, routingKey: all` }, exchange, async () => {
      await channel.assertExchange(exchange, 'direct')
      await channel.bindQueue(target.name, exchange, 'all')
    })
  },
)

async function taken(scope: Scope): Promise<number> {
  const port = await freePort()
  const server = createServer().listen(port, '127.0.0.1')
  await once(server, 'listening')
  scope.after(() => server.close())
  return port
}

const minimal = (admin: number, listen: number) => `
gateway: { id: ${unique('t')}, admin: { listen: "127.0.0.1:${admin}" } }
connections: { devices: { protocol: mqtt, listen: "mqtt://127.0.0.1:${listen}" }, bus: { protocol: memory } }
routes: [{ name: road, from: { connection: devices, topic: a }, to: [{ connection: bus, topic: a }] }]
`

scenario('a port in use ends the program with 69 and is named: of the admin server', async (scope) => {
  const port = await taken(scope)
  const { code, log } = await new Installation(scope, port, minimal(port, await freePort())).runOut()
  expect({ code, log: log.join('\n') }).toEqual({ code: 69, log: expect.stringContaining(`127.0.0.1:${port}`) })
})

scenario('a port in use ends the program with 69 and is named: of the embedded broker', async (scope) => {
  const port = await taken(scope)
  const admin = await freePort()
  const { code, log } = await new Installation(scope, admin, minimal(admin, port)).runOut()
  expect({ code, log: log.join('\n') }).toEqual({ code: 69, log: expect.stringContaining(`127.0.0.1:${port}`) })
})
