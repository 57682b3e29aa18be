/** What a stored message remembers on disk: its attempts, its time to live, its priority, its id. */

import { expect } from '@jest/globals'
import amqplib from 'amqplib'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { inProcess } from '../support/gateway/road.ts'
import { arrived, type Scope, scenario, texts } from '../support/gateway/scenario.ts'
import {
  expectBuffering,
  inletOf,
  type Letter,
  patientMs,
  program,
  road,
  sendLetters,
  sourceIsUp,
} from '../support/gateway/stored.ts'
import { unique } from '../support/names.ts'
import { amqpPlace, mqttPlace, placeAt, queueDepth, wireTo } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

/** A queue of one place that refuses what is more. */
async function fullQueue(scope: Scope): Promise<{ to: string; makeRoom(): Promise<unknown> }> {
  const connection = await amqplib.connect(brokerAddresses().amqp)
  scope.after(() => connection.close())
  const channel = await connection.createConfirmChannel()
  const name = unique('t')
  await channel.assertQueue(name, { durable: true, arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } })
  scope.after(() => channel.deleteQueue(name))
  channel.sendToQueue(name, Buffer.from('first'))
  await channel.waitForConfirms()
  return { to: `queue: ${name}, declare: false`, makeRoom: () => channel.get(name, { noAck: true }) }
}

scenario('attempts outlive a restart: a full queue is tried 5 times in all, not 5 times a start', async (scope) => {
  const [source, queue] = [await inletOf(scope, 'kafka'), await fullQueue(scope)]
  const target = { connection: `{ protocol: amqp, url: "${brokerAddresses().amqp}" }`, to: queue.to }
  const retry = 'retry: { attempts: 5, delay: 2s, maxDelay: 2s }'
  const yaml = inProcess(road(source, target, retry)).replace('drain: 5s', 'drain: 10ms')
  let gateway = scope.gateway(yaml)
  const { dataDir } = gateway
  await source.send(texts(1))
  let answers = 0
  for (let start = 1; start <= 3; start += 1) {
    const stats = gateway.route('road')
    const tried = () => stats.targets[0]!.attemptsRetry
    await eventually(() => tried() >= 1 || stats.deadLetteredTotal === 1, { withinMs: patientMs, what: 'an answer' })
    await gateway.pause()
    answers += stats.targets[0]!.attemptsRetry + stats.targets[0]!.attemptsFail
    gateway = scope.gateway(yaml, dataDir)
  }
  expect(answers).toBeLessThan(5)
  const stats = gateway.route('road')
  await eventually(() => stats.deadLetteredTotal === 1, { withinMs: patientMs, what: 'the dead letter' })
  answers += stats.targets[0]!.attemptsRetry + stats.targets[0]!.attemptsFail
  expect(answers).toBe(5)
  expect(gateway.letters()).toMatchObject([{ reason: 'max-attempts', attempts: 5, error: { code: 'TARGET_BUSY' } }])
  expect(gateway.gateway.status().store.waiting).toBe(0)
})

scenario(
  'a message refused for good is a dead letter at once, one the target may take later is tried again',
  async (scope) => {
    const [source, queue] = [await amqpPlace(), await fullQueue(scope)]
    const gateway = await scope
      .gateway(
        inProcess(`
connections:
  source: ${source.connection}
  target: { protocol: amqp, url: "${brokerAddresses().amqp}" }
routes:
  - name: road
    from: { connection: source, ${source.from} }
    to:
      - { connection: target, exchange: amq.direct, routingKey: ${unique('t')}, when: "payload.n == 1" }
      - { connection: target, ${queue.to}, when: "payload.n == 2" }
    acknowledge: stored
    retry: { attempts: 1000, delay: 20ms, maxDelay: 50ms }
`),
      )
      .ready()
    const stats = gateway.route('road')
    await sendLetters(source.name, [{ text: '{"n":1}' }, { text: '{"n":2}' }])
    await eventually(() => stats.deadLetteredTotal === 1, { withinMs: patientMs, what: 'refused for good' })
    expect(gateway.letters()).toMatchObject([{ reason: 'rejected', attempts: 1 }])
    await eventually(() => stats.targets[1]!.attemptsRetry >= 2, { withinMs: patientMs, what: 'tried again' })
    await queue.makeRoom()
    await eventually(() => stats.delivered === 1, { withinMs: patientMs, what: 'taken in the end' })
    expect(stats).toMatchObject({ waiting: 0, deadLetteredTotal: 1 })
  },
)

scenario(
  'a message whose time to live ends while its target is away is never sent, and becomes a dead letter',
  async (scope) => {
    const port = await freePort()
    const [source, target] = [await amqpPlace(), await placeAt('kafka', { port })]
    const gateway = scope.gateway(inProcess(road(source, target)))
    await sourceIsUp(gateway)
    const [late, good] = texts(2) as [string, string]
    await sendLetters(source.name, [
      { text: late, properties: { expiration: '1000' } },
      { text: good, properties: { expiration: '600000' } },
    ])
    await eventually(() => gateway.route('road').waiting === 2, { withinMs: patientMs, what: 'both stored' })
    const storedAt = Date.now()
    await eventually(() => Date.now() > storedAt + 1_100, { what: 'the time is over' })
    expect(gateway.route('road')).toMatchObject({ waiting: 2, deadLetteredTotal: 0 })
    await scope.use(wireTo('kafka', port))
    await eventually(() => gateway.route('road').delivered === 1, { withinMs: patientMs, what: 'the other one' })
    const reader = await scope.use(target.reader())
    await arrived(reader, [good], patientMs)
    expect(reader.got.map(({ text }) => text)).toEqual([good])
    expect(gateway.letters()).toMatchObject([{ reason: 'expired', error: { code: 'MESSAGE_EXPIRED' } }])
    expect(Buffer.from(gateway.letters()[0]!.envelope.payload ?? []).toString()).toBe(late)
  },
)

const prioritized = (count: number, from: number): (Letter & { key: string; priority: number })[] =>
  Array.from({ length: count }, (_, i) => {
    const [n, priority] = [from + i, ((from + i) * 7) % 10]
    const key = n % 3 === 0 ? 'shared' : `own-${n}`
    return { key, priority, text: JSON.stringify({ key, n, priority }), properties: { priority } }
  })

/** Higher priority first, but no message before one of its key that came earlier. */
function leavingOrder(letters: ReturnType<typeof prioritized>): string[] {
  const lowest = new Map<string, number>()
  const ranked = letters.map(({ key, priority, text }) => {
    const rank = Math.min(priority, lowest.get(key) ?? priority)
    lowest.set(key, rank)
    return { rank, text }
  })
  return ranked.sort((a, b) => b.rank - a.rank).map(({ text }) => text)
}

for (const isRestarted of [false, true]) {
  const when = isRestarted ? 'after a restart' : 'when the target is back'
  scenario(`${when} higher priority leaves first, within a key what came first`, async (scope) => {
    const port = await freePort()
    const [source, target] = [await amqpPlace(), await placeAt('amqp', { port })]
    const yaml = inProcess(road(source, target))
    const letters = prioritized(600, 1)
    let gateway = scope.gateway(yaml)
    await sendLetters(source.name, letters)
    await eventually(() => gateway.route('road').waiting === 600, { withinMs: patientMs, what: 'all stored' })
    if (isRestarted) {
      await gateway.pause()
      gateway = scope.gateway(yaml, gateway.dataDir)
    }
    await eventually(() => gateway.link('target', 'sink').reconnects >= 1, { withinMs: patientMs, what: 'an attempt' })
    await sourceIsUp(gateway)
    expectBuffering(gateway, 600)
    await scope.use(wireTo('amqp', port))
    await eventually(() => gateway.route('road').delivered === 600, { withinMs: patientMs, what: 'all delivered' })
    const reader = await scope.use(target.reader())
    await arrived(
      reader,
      letters.map(({ text }) => text),
      patientMs,
    )
    expect(reader.got.map(({ text }) => text)).toEqual(leavingOrder(letters))
  })
}

scenario('`deduplicate`: a repeated messageId is settled and counted, also after a restart', async (scope) => {
  const [source, target] = [await amqpPlace(), await placeAt('kafka')]
  const yaml = inProcess(road(source, target, 'deduplicate: 10m'))
  const [one, two, three] = texts(3).map((text, i) => ({ text, properties: { messageId: `id-${i}` } }))
  const first = await scope.gateway(yaml).ready()
  await sendLetters(source.name, [one!, two!, one!, { ...one!, text: three!.text }])
  await eventually(() => first.route('road').delivered === 2, { withinMs: patientMs, what: 'two delivered' })
  await eventually(() => first.link('source', 'source').settled === 4, { withinMs: patientMs, what: 'all settled' })
  expect(first.route('road')).toMatchObject({ matched: 4, delivered: 2, duplicates: 2 })
  await first.pause()
  const second = await scope.gateway(yaml, first.dataDir).ready()
  await sendLetters(source.name, [two!, three!, one!])
  await eventually(() => second.link('source', 'source').settled === 3, { withinMs: patientMs, what: 'all settled' })
  await eventually(() => second.route('road').delivered === 1, { withinMs: patientMs, what: 'the new one' })
  expect(second.route('road')).toMatchObject({ matched: 3, delivered: 1, duplicates: 2 })
  expect(await queueDepth(source.name)).toBe(0)
  const reader = await scope.use(target.reader())
  await arrived(reader, [one!.text, two!.text, three!.text], patientMs)
  expect(reader.got).toHaveLength(3)
})

scenario(
  '`deduplicate` by a field, in a scope: what came on one road is a copy on another, also after a restart',
  async (scope) => {
    const [queue, topic, target] = [await amqpPlace(), await mqttPlace(), await placeAt('kafka')]
    const route = (name: string, connection: string, from: string) => `
  - name: ${name}
    from: { connection: ${connection}, ${from} }
    deduplicate: { by: payload.n, window: 10m, scope: readings }
    to: [{ connection: target, ${target.to} }]`
    const yaml = inProcess(`
connections: { queue: ${queue.connection}, topic: ${topic.connection}, target: ${target.connection} }
routes:${route('by-queue', 'queue', queue.from)}${route('by-topic', 'topic', topic.from)}
`)
    const [one, two, three] = texts(3)
    const first = await scope.gateway(yaml).ready()
    const [byQueue, byTopic] = [await scope.use(queue.sender()), await scope.use(topic.sender())]
    await byQueue.send([one!, two!, '{"key":"red"}', '{"key":"red"}']) // the last two have nothing to be known by
    await eventually(() => first.route('by-queue').delivered === 4, { withinMs: patientMs, what: 'four delivered' })
    await byTopic.send([two!, three!])
    await eventually(() => first.route('by-topic').delivered === 1, { withinMs: patientMs, what: 'the new one' })
    await eventually(() => first.route('by-topic').duplicates === 1, { withinMs: patientMs, what: 'the copy' })
    await first.pause()
    const second = await scope.gateway(yaml, first.dataDir).ready()
    await byQueue.send([three!])
    await eventually(() => second.route('by-queue').duplicates === 1, { withinMs: patientMs, what: 'the copy' })
    const reader = await scope.use(target.reader())
    await arrived(reader, [one!, two!, three!], patientMs)
    expect(reader.got).toHaveLength(5)
  },
)

for (const [moment, duplicates] of [
  ['store.before-commit', 0],
  ['store.after-commit', 1],
] as const) {
  const state =
    duplicates === 0 ? 'neither the message nor its id is kept' : 'both are kept, and what comes again is a duplicate'
  scenario(`\`deduplicate\`: when the process dies at ${moment} ${state}`, async (scope) => {
    const [source, target] = [await amqpPlace(), await placeAt('kafka')]
    const gateway = await program(scope, road(source, target, 'deduplicate: 10m'))
    await gateway.start()
    await gateway.stop()
    const [text] = texts(1) as [string]
    await gateway.start({ env: { TRIVIUM_FAILPOINT: `${moment}:2` } }) // the first commit notes the route
    await sendLetters(source.name, [{ text, properties: { messageId: unique('t') } }])
    expect((await gateway.ended).signal).toBe('SIGKILL')
    await gateway.start()
    await eventually(async () => (await gateway.routes())[0]!.matched === 1, {
      withinMs: patientMs,
      what: 'it came again',
    })
    await eventually(async () => (await gateway.routes())[0]!.delivered === 1, {
      withinMs: patientMs,
      what: 'delivered',
    })
    expect((await gateway.routes())[0]).toMatchObject({ duplicates })
    await eventually(async () => (await queueDepth(source.name)) === 0, { withinMs: patientMs, what: 'an empty queue' })
    expect(await gateway.stop()).toEqual({ code: 0, signal: null })
    const reader = await scope.use(target.reader())
    await arrived(reader, [text], patientMs)
    expect(reader.got).toHaveLength(1)
  })
}
