/** No queue, session or message disappears because the gateway was slow or held back. */

import { expect } from '@jest/globals'
import amqplib, { type Channel } from 'amqplib'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { arrived, type Scope, scenario, texts } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import { amqpPlace, kafkaPlace, mqttPlace, type Place, queueDepth, wireTo } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'

/** Long enough for a busy machine to go on within it. */
const expiresMs = 3_000
/** `sessionMs` of protocols/kafka/client/group.ts. */
const kafkaSessionMs = 15_000

interface Queue {
  readonly name: string
  fill(messages: readonly string[], options?: amqplib.Options.Publish): Promise<void>
  isThere(): Promise<boolean>
  /** Keeps it in use, while it is empty, until the returned function is called. */
  hold(): Promise<() => Promise<void>>
}

/** A durable queue of its own, and whatever asks for it without using it. */
async function queueOf(scope: Scope, options: amqplib.Options.AssertQueue): Promise<Queue> {
  const model = await scope.use(amqplib.connect(brokerAddresses().amqp))
  const onChannel = async <T>(use: (channel: Channel) => Promise<T>) => {
    const channel = await model.createChannel()
    channel.on('error', () => {})
    try {
      return await use(channel)
    } finally {
      await channel.close().catch(() => {})
    }
  }
  const name = unique('t')
  await onChannel((channel) => channel.assertQueue(name, options))
  scope.after(() => onChannel((channel) => channel.deleteQueue(name)))
  return {
    name,
    async fill(messages, options = {}) {
      const channel = await model.createConfirmChannel()
      const each = { persistent: true, mandatory: true, ...options }
      for (const text of messages) channel.sendToQueue(name, Buffer.from(text), each)
      await channel.waitForConfirms()
      await channel.close()
    },
    isThere: () =>
      onChannel((channel) => channel.checkQueue(name)).then(
        () => true,
        () => false,
      ),
    async hold() {
      const channel = await model.createChannel()
      await channel.consume(name, () => {})
      return () => channel.close()
    },
  }
}

/** Resolves when a queue that nobody uses, made now, has expired: so long has everything else been left alone. */
async function timeToExpire(scope: Scope): Promise<void> {
  const { name } = await queueOf(scope, { expires: expiresMs })
  const model = await scope.use(amqplib.connect(brokerAddresses().amqp))
  const channel = await model.createConfirmChannel()
  let isGone = false
  channel.on('return', () => {
    isGone = true
  })
  const isExpired = async () => {
    channel.sendToQueue(name, Buffer.from('?'), { mandatory: true }) // to ask for it would count as a use
    await channel.waitForConfirms()
    return isGone
  }
  await eventually(isExpired, { what: 'an unused queue to expire' })
}

const yamlOf = (queue: Queue, target: Place, source = brokerAddresses().amqp) => `
gateway: { id: ${unique('t')}, drain: 20s, admin: false, maxInFlight: 100 }
connections: { source: { protocol: amqp, url: "${source}" }, target: ${target.connection} }
routes:
  - name: road
    from: { connection: source, queue: ${queue.name} }
    to: [{ connection: target, ${target.to} }]
`

/** A target that is away, and a queue of 1,000 messages of which the gateway has taken its full budget. */
async function heldBack(
  scope: Scope,
  { source, options = { expires: expiresMs } }: { source?: string; options?: amqplib.Options.AssertQueue } = {},
) {
  const wire = await scope.use(wireTo('amqp'))
  const [queue, target] = [await queueOf(scope, options), await amqpPlace({ port: wire.port })]
  const release = await queue.hold()
  const gateway = await scope.gateway(yamlOf(queue, target, source)).ready()
  await release()
  wire.cut()
  const sent = texts(1_000)
  await queue.fill(sent)
  await eventually(() => gateway.gateway.status().inFlight.count >= 100, { what: 'a full budget' })
  return { wire, queue, target, gateway, sent }
}

const kinds: readonly (readonly [string, amqplib.Options.AssertQueue])[] = [
  ['x-expires', { expires: expiresMs }],
  ['auto-delete', { autoDelete: true }],
  ['a single active consumer and x-expires', { expires: expiresMs, arguments: { 'x-single-active-consumer': true } }],
  ['x-expires, of type quorum,', { expires: expiresMs, arguments: { 'x-queue-type': 'quorum' } }],
]

for (const [title, options] of kinds) {
  scenario(`a queue with ${title} is there with all it holds after an outage of the target`, async (scope) => {
    const { wire, queue, target, gateway, sent } = await heldBack(scope, { options })
    await timeToExpire(scope)
    expect(await queue.isThere()).toBe(true)
    expect(gateway.gateway.status().inFlight.count).toBe(100)
    wire.restore()
    await arrived(await scope.use(target.reader()), sent)
    expect(gateway.link('source', 'source').reconnects).toBe(0)
  })
}

scenario('a queue with x-expires is there after a reconnect with a full budget', async (scope) => {
  const sourceWire = await scope.use(wireTo('amqp'))
  const source = `amqp://guest:guest@127.0.0.1:${sourceWire.port}`
  const { wire, queue, target, gateway, sent } = await heldBack(scope, { source })
  const link = gateway.link('source', 'source')
  sourceWire.reset()
  await eventually(() => link.reconnects > 0 && link.state === 'up', { what: 'a reconnect' })
  await timeToExpire(scope)
  expect(await queue.isThere()).toBe(true)
  expect(gateway.gateway.status().inFlight.count).toBe(100)
  wire.restore()
  await arrived(await scope.use(target.reader()), sent)
})

scenario('a queue with x-expires is there, and the rest of its messages, after a long drain', async (scope) => {
  const { wire, queue, target, gateway } = await heldBack(scope)
  const stopped = gateway.gateway.stop()
  await timeToExpire(scope)
  wire.restore()
  await stopped
  expect(gateway.route('road').delivered).toBe(100)
  expect(await queueDepth(target.name)).toBe(100)
  await eventually(async () => (await queueDepth(queue.name)) === 900, { what: 'the other 900 in the queue' })
})

scenario('a message whose time to live ends while the gateway holds it is a dead letter, not gone', async (scope) => {
  const wire = await scope.use(wireTo('amqp'))
  const [queue, target] = [await queueOf(scope, {}), await amqpPlace({ port: wire.port })]
  const gateway = await scope.gateway(yamlOf(queue, target)).ready()
  wire.cut()
  await queue.fill(texts(50), { expiration: expiresMs / 3 })
  await eventually(() => gateway.route('road').inFlight === 50, { what: 'all of them taken' })
  await timeToExpire(scope)
  wire.restore()
  await eventually(() => gateway.letters().length === 50, { what: '50 dead letters' })
  expect(new Set(gateway.letters().map(({ reason }) => reason))).toEqual(new Set(['expired']))
})

scenario('a member that is held back for longer than a session of its group stays in it', async (scope) => {
  const wire = await scope.use(wireTo('amqp'))
  const [source, target] = [await kafkaPlace(), await amqpPlace({ port: wire.port })]
  const gateway = await scope
    .gateway(`
gateway: { id: ${unique('t')}, drain: 20s, admin: false, maxInFlight: 100 }
connections: { source: ${source.connection}, target: ${target.connection} }
routes: [{ name: road, from: { connection: source, ${source.from} }, to: [{ connection: target, ${target.to} }] }]
`)
    .ready()
  wire.cut()
  const sent = texts(1_000)
  await (await scope.use(source.sender())).send(sent)
  await eventually(() => gateway.gateway.status().inFlight.count >= 100, { what: 'a full budget' })
  const sinceMs = performance.now()
  await eventually(() => performance.now() - sinceMs > kafkaSessionMs + 2_000, { what: 'a session to pass' })
  wire.restore()
  const reader = await scope.use(target.reader())
  await arrived(reader, sent)
  expect(reader.got).toHaveLength(1_000) // dealt anew, some would be read twice
  const link = gateway.link('source', 'source')
  expect([link.reconnects, link.extra.get('kafka_rebalances') ?? 0]).toEqual([0, 0])
})

scenario(
  'a session at a broker that is held back for longer than its keep-alive is there, and what it holds',
  async (scope) => {
    const wire = await scope.use(wireTo('amqp'))
    const [source, target] = [await mqttPlace({ settings: 'keepalive: 4s' }), await amqpPlace({ port: wire.port })]
    const gateway = await scope
      .gateway(`
gateway: { id: ${unique('t')}, drain: 20s, admin: false, maxInFlight: 100 }
connections: { source: ${source.connection}, target: ${target.connection} }
routes: [{ name: road, from: { connection: source, ${source.from} }, to: [{ connection: target, ${target.to} }], acknowledge: delivered }]
`)
      .ready()
    wire.cut()
    const sent = texts(500) // Mosquitto keeps 1,000 for a client
    await (await scope.use(source.sender())).send(sent)
    await eventually(() => gateway.gateway.status().inFlight.count >= 100, { what: 'a full budget' })
    const sinceMs = performance.now()
    await eventually(() => performance.now() - sinceMs > 12_000, { what: 'three times the keep-alive to pass' })
    wire.restore()
    await arrived(await scope.use(target.reader()), sent)
    expect(gateway.link('source', 'source').reconnects).toBe(0)
  },
)
