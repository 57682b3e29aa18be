/** Dead letters at any target and on disk: the original bytes, why and where, and the lane goes on. */

import { expect } from '@jest/globals'
import { type Scope, scenario, setKey, texts } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import { type BrokerName, brokerNames } from '../support/places/connections.ts'
import {
  amqpPlace,
  committed,
  type Got,
  kafkaPlace,
  mqttPlace,
  type Place,
  placeAt,
  queueDepth,
  wireTo,
} from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

/** Messages for which `n` is uneven go where no queue is bound: the broker refuses them. */
const route = (source: Place, target: Place, deadLetter = '', connections = '') => `
gateway: { id: ${unique('t')}, drain: 2s, admin: false }
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

const headersOf: Record<BrokerName, (got: Got) => Record<string, string>> = {
  amqp: ({ headers }) => headers as Record<string, string>,
  kafka: ({ headers }) => Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])),
  mqtt: ({ headers }) => headers as Record<string, string>,
}

for (const protocol of brokerNames) {
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
        'trivium-dlq-attempts': '1',
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

scenario('without a target of their own they are kept in the store, and the lane goes on', async (scope) => {
  const [source, target] = [await mqttPlace(), await amqpPlace()]
  const gateway = await scope.gateway(route(source, target)).ready()
  const reader = await scope.use(target.reader())
  const { refused, good } = await load(scope, source, 40)
  await eventually(() => gateway.link('source', 'source').settled === 40, { what: 'all settled' })
  await eventually(() => reader.got.length >= 20 && gateway.letters().length >= 20, {
    what: 'the letters and the others',
  })
  expect(textsOf(reader.got)).toEqual(good.toSorted())
  const letters = gateway.letters()
  expect(letters.map(({ envelope }) => Buffer.from(envelope.payload ?? []).toString()).sort()).toEqual(
    refused.toSorted(),
  )
  for (const letter of letters) {
    expect(letter).toMatchObject({ reason: 'rejected', route: 'road', error: { code: 'MESSAGE_UNROUTABLE' } })
  }
})

scenario(
  'while the dead letter target is away the letters are in the store and their source is answered; then they get there',
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
    await eventually(() => gateway.link('source', 'source').settled === 40, { what: 'the source is answered' })
    expect(gateway.route('road')).toMatchObject({ delivered: 20, inFlight: 0, deadLetteredTotal: 20 })
    expect(gateway.letters().map(({ forwardedAt }) => forwardedAt)).toEqual(Array(20).fill(undefined))

    await scope.use(wireTo('mqtt', port))
    await eventually(() => letters.got.length >= 20, { withinMs: 30_000, what: 'the letters' })
    expect(textsOf(letters.got)).toEqual(refused.toSorted())
    await eventually(() => gateway.letters().every(({ forwardedAt }) => forwardedAt !== undefined), { what: 'noted' })
  },
)

scenario('letters that a gateway could not send before it ended are sent by the next one', async (scope) => {
  const [source, target, port] = [await amqpPlace(), await amqpPlace(), await freePort()]
  const grave = await mqttPlace({ port })
  const yaml = route(source, target, `deadLetter: { connection: grave, ${grave.to} }`, `grave: ${grave.connection}`)
  const first = scope.gateway(yaml.replace('drain: 2s', 'drain: 100ms'))
  const { refused } = await load(scope, source, 40)
  await eventually(() => first.route('road').deadLetteredTotal === 20, { what: 'the letters are in the store' })
  await eventually(() => first.link('source', 'source').settled === 40, { what: 'the source is answered' })
  await first.pause()
  expect(await queueDepth(source.name)).toBe(0)
  const letters = await scope.use(grave.reader())
  await scope.use(wireTo('mqtt', port))
  scope.gateway(yaml, first.dataDir)
  await eventually(() => letters.got.length >= 20, { withinMs: 30_000, what: 'the letters' })
  expect(textsOf(letters.got)).toEqual(refused.toSorted())
})
