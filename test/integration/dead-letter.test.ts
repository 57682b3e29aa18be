/** Dead letters at any target and on disk: the original bytes, why and where, and the lane goes on. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from '@jest/globals'
import { type EndName, endNames } from '../support/peers.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'
import { type Scope, scenario, setKey, texts } from './delivery-fixture.ts'
import {
  amqpPlace,
  committed,
  fresh,
  type Got,
  kafkaPlace,
  mqttPlace,
  type Place,
  placeAt,
  queueDepth,
  wireTo,
} from './delivery-places.ts'

/** Messages for which `n` is uneven go where no queue is bound: the broker refuses them. */
const route = (source: Place, target: Place, deadLetter = '', connections = '') => `
gateway: { id: ${fresh()}, drain: 2s, admin: false }
connections:
  source: ${source.connection}
  target: ${target.connection}
  ${connections}
routes:
  - name: road
    from: { connection: source, ${source.from} }
    ${setKey}
    match: first
    to:
      - { connection: target, exchange: amq.direct, routingKey: nowhere, when: "payload.n % 2 == 1" }
      - { connection: target, ${target.to} }
    ${deadLetter}
`
const isUneven = (text: string) => (JSON.parse(text) as { n: number }).n % 2 === 1

async function load(scope: Scope, source: Place, count: number) {
  const sent = texts(count)
  await (await scope.use(source.sender())).send(sent)
  return { refused: sent.filter(isUneven), good: sent.filter((text) => !isUneven(text)) }
}

const textsOf = (got: readonly Got[]) => got.map(({ text }) => text).sort()

const headersOf: Record<EndName, (got: Got) => Record<string, string>> = {
  amqp: ({ headers }) => headers as Record<string, string>,
  kafka: ({ headers }) => Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])),
  mqtt: ({ headers }) => headers as Record<string, string>,
}

for (const protocol of endNames) {
  scenario(`dead letters to ${protocol} carry the original bytes and say why, whence and where to`, async (scope) => {
    const [source, target, grave] = [await kafkaPlace(), await amqpPlace(), await placeAt(protocol)]
    const startedAt = Date.now()
    const yaml = route(source, target, `deadLetter: { connection: grave, ${grave.to} }`, `grave: ${grave.connection}`)
    const gateway = await scope.gateway(yaml).ready()
    const [reader, letters] = [await scope.use(target.reader()), await scope.use(grave.reader())]
    const { refused, good } = await load(scope, source, 40)
    await eventually(() => reader.got.length >= 20 && letters.got.length >= 20, { what: 'all of both' })
    expect(textsOf(reader.got)).toEqual(good.toSorted())
    expect(textsOf(letters.got)).toEqual(refused.toSorted())
    for (const letter of letters.got) {
      const { 'trivium-dlq-first-at': firstAt, 'trivium-dlq-last-at': lastAt, ...headers } = headersOf[protocol](letter)
      expect(headers).toMatchObject({
        'trivium-dlq-reason': 'rejected',
        'trivium-dlq-error': expect.stringMatching(/^MESSAGE_UNROUTABLE: .*amq\.direct.*nowhere/),
        'trivium-dlq-attempts': '0',
        'trivium-dlq-route': 'road',
        'trivium-dlq-source': `kafka://source/${source.name}`,
        'trivium-dlq-target': 'amqp://target/amq.direct/nowhere',
      })
      expect(Date.parse(firstAt!)).toBeGreaterThanOrEqual(startedAt - 1_000)
      expect(Date.parse(lastAt!)).toBeGreaterThanOrEqual(Date.parse(firstAt!))
    }
    await eventually(async () => (await committed(source)) === 40, { what: 'the source has heard' })
    expect(Object.fromEntries(gateway.route('road').deadLettered)).toEqual({ rejected: 20 })
  })
}

scenario('without a target of their own they are kept in dead-letters.ndjson, and the lane goes on', async (scope) => {
  const [source, target] = [await mqttPlace(), await amqpPlace()]
  const gateway = await scope.gateway(route(source, target)).ready()
  const reader = await scope.use(target.reader())
  const { refused, good } = await load(scope, source, 40)
  await eventually(() => gateway.link('source', 'source').settled === 40, { what: 'all settled' })
  await eventually(() => reader.got.length >= 20, { what: 'the others' })
  expect(textsOf(reader.got)).toEqual(good.toSorted())
  const lines = readFileSync(join(gateway.dataDir, 'dead-letters.ndjson'), 'utf8').trim().split('\n')
  const letters = lines.map((line) => JSON.parse(line))
  const bodies = letters.map(({ message }) => Buffer.from(message.payload, 'base64').toString())
  expect(bodies.sort()).toEqual(refused.toSorted())
  for (const letter of letters) {
    expect(letter).toMatchObject({ reason: 'rejected', route: 'road', error: { code: 'MESSAGE_UNROUTABLE' } })
  }
})

scenario(
  'while the dead letter target is away the message waits, its source unanswered; then it gets there',
  async (scope) => {
    const port = await freePort()
    const [source, target, grave] = [await kafkaPlace(), await amqpPlace(), await mqttPlace({ port })]
    const yaml = route(source, target, `deadLetter: { connection: grave, ${grave.to} }`, `grave: ${grave.connection}`)
    const gateway = scope.gateway(yaml)
    const [reader, letters] = [await scope.use(target.reader()), await scope.use(grave.reader())]
    const { refused, good } = await load(scope, source, 40)
    await eventually(() => reader.got.length >= 20 && gateway.link('grave', 'sink').reconnects > 2, {
      what: 'the others',
    })
    expect(textsOf(reader.got)).toEqual(good.toSorted())
    expect(letters.got).toEqual([])
    expect(gateway.route('road')).toMatchObject({ delivered: 20, inFlight: 20, deadLetteredTotal: 0 })
    expect(gateway.link('source', 'source').settled).toBe(20)

    await scope.use(wireTo('mqtt', port))
    await eventually(() => gateway.route('road').inFlight === 0, { withinMs: 30_000, what: 'all ended' })
    await eventually(() => letters.got.length >= 20, { what: 'the letters' })
    expect(textsOf(letters.got)).toEqual(refused.toSorted())
    expect(gateway.route('road').deadLetteredTotal).toBe(20)
  },
)

scenario('a gateway that ends before the letter is safe gives the message back to its source', async (scope) => {
  const [source, target] = [await amqpPlace(), await amqpPlace()]
  const grave = await mqttPlace({ port: await freePort() })
  const yaml = route(source, target, `deadLetter: { connection: grave, ${grave.to} }`, `grave: ${grave.connection}`)
  const gateway = scope.gateway(yaml.replace('drain: 2s', 'drain: 100ms'))
  const { refused } = await load(scope, source, 40)
  await eventually(() => gateway.route('road').delivered === 20, { what: 'the others' })
  await gateway.gateway.stop()
  expect(gateway.route('road').released).toBe(20)
  await eventually(async () => (await queueDepth(source.name)) === 20, { what: 'back in the queue' })
  const back = await scope.use(source.reader())
  await eventually(() => back.got.length === 20, { what: 'all of them' })
  expect(textsOf(back.got)).toEqual(refused.toSorted())
})
