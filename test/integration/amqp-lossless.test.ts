/** AMQP tables of every type that RabbitMQ knows, through every protocol and back to AMQP: the same types, the same bytes. */
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { type Field, RawAmqp, type RawMessage, type Table } from '../support/brokers/amqp-raw.ts'
import { cases, tables, text, withoutOurs } from '../support/brokers/amqp-tables.ts'
import { withAdmin } from '../support/contexts/kafka.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { unique } from '../support/names.ts'
import { createTopics } from '../support/places/topics.ts'

const { amqp, kafka, mqtt } = brokerAddresses()
const names = ['into', 'direct', 'kafka', 'mqtt'] as const
const queues = Object.fromEntries(names.map((name) => [name, unique(`lossless-${name}`)]))
const topic = unique('lossless')
let raw: RawAmqp
let gateway: TestGateway

beforeAll(async () => {
  raw = await RawAmqp.open()
  for (const name of names) await raw.channel.assertQueue(queues[name] as string, { durable: true })
  await withAdmin((admin) => createTopics(admin, [{ topic }]))
  gateway = await new TestGateway(`
gateway: { id: ${topic}, admin: false }
connections:
  rabbit: { protocol: amqp, url: "${amqp}" }
  log: { protocol: kafka, brokers: [${kafka.map((broker) => `"${broker}"`).join(', ')}] }
  bus: { protocol: mqtt, url: "${mqtt}", protocolVersion: 5 }
routes:
  - name: in
    from: { connection: rabbit, queue: ${queues.into} }
    to:
      - { connection: rabbit, queue: ${queues.direct}, declare: false }
      - { connection: log, topic: ${topic} }
      - { connection: bus, topic: ${topic} }
  - name: back-from-kafka
    from: { connection: log, topic: ${topic}, startFrom: earliest }
    to: [{ connection: rabbit, queue: ${queues.kafka}, declare: false }]
  - name: back-from-mqtt
    from: { connection: bus, topic: ${topic} }
    to: [{ connection: rabbit, queue: ${queues.mqtt}, declare: false }]
`).ready()
}, 60_000)

afterAll(async () => {
  await gateway?.stop()
  await withAdmin((admin) => admin.deleteTopics({ topics: [topic] }))
  for (const name of names) await raw.channel.deleteQueue(queues[name] as string)
  await raw.close()
})

/** What comes out at the three ends, by end, in order. */
async function carried(messages: readonly RawMessage[]): Promise<Record<string, RawMessage[]>> {
  for (const message of messages) raw.publish(queues.into as string, message)
  const ends: Record<string, RawMessage[]> = {}
  for (const end of names.slice(1)) {
    ends[end] = []
    for (const _ of messages) ends[end].push(await raw.get(queues[end] as string))
    ends[end].sort((a, b) => Number(a.body) - Number(b.body))
  }
  return ends
}

/** Carried once, all together; each road is a test. */
let arrived: Promise<Record<string, RawMessage[]>> | undefined

test.each([['direct'], ['kafka'], ['mqtt']])('every type comes back as it was: %s', async (end) => {
  const messages = Object.entries(cases).map(([name, field], n) => ({ headers: { [name]: field }, body: String(n) }))
  arrived ??= carried(messages)
  const back = (await arrived)[end]?.map(({ headers }) => withoutOurs(headers))
  expect(back).toEqual(messages.map(({ headers }) => headers))
})

test('arbitrary tables come back as they were, on every road', async () => {
  const batch = fc.array(tables, { minLength: 40, maxLength: 40 })
  const comesBack = fc.asyncProperty(batch, async (sent) => {
    const ends = await carried(sent.map((headers, n) => ({ headers, body: String(n) })))
    for (const messages of Object.values(ends))
      expect(messages.map(({ headers }) => withoutOurs(headers))).toEqual(sent)
  })
  await fc.assert(comesBack, { numRuns: Number(process.env.TRIVIUM_TEST_RUNS ?? 3), endOnFailure: true })
})

/** No UTF-8, and what only looks like the text form of it. */
const binary = 'fffe0001'
const marked = Buffer.from('base64:__4AAQ').toString('hex')

test.each([['direct'], ['kafka'], ['mqtt']])('properties that are no UTF-8 come back as they were: %s', async (end) => {
  const message = (bytes: string, body: string): RawMessage => ({
    ...{ contentType: bytes, contentEncoding: bytes, correlationId: bytes, replyTo: bytes, messageId: bytes },
    ...{ type: bytes, appId: bytes, clusterId: bytes, userId: Buffer.from('guest').toString('hex'), body },
  })
  const sent = [message(binary, '0'), message(marked, '1'), { correlationId: '', body: '2' }]
  propertiesArrived ??= carried(sent)
  const back = (await propertiesArrived)[end]?.map(({ headers, userId: _, ...properties }) => {
    return { ...properties, userId: withoutOurs(headers)['user-id'] }
  })
  expect(back).toMatchObject(
    sent.map(({ userId, ...properties }: RawMessage) => ({ ...properties, userId: userId && text('guest') })),
  )
})
let propertiesArrived: Promise<Record<string, RawMessage[]>> | undefined

test('attributes of an event and encoded bodies come back as they were, beside headers of the same name, on every road', async () => {
  const event: Table = Object.fromEntries(
    ['specversion', 'id', 'source', 'type', 'traceparent'].map((name) => [`cloudEvents_${name}`, text('1.0')]),
  )
  const headers: Table = { ...event, cloudEvents_sequence: cases['b -5'] as Field, traceparent: text('00-hop') }
  const hex = (value: string) => Buffer.from(value).toString('hex')
  const properties = { contentType: hex('application/json'), contentEncoding: hex('gzip'), appId: hex('billing') }
  const ends = await carried([{ ...properties, headers, body: '0' }])
  for (const [message] of Object.values(ends)) expect(message).toMatchObject({ ...properties, headers })
})
