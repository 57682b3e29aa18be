/** AMQP tables of every type that RabbitMQ knows, through every protocol and back to AMQP: the same types, the same bytes. */
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type Field, RawAmqp, type RawMessage, sizes, type Table } from '../support/amqp-raw.ts'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { TestGateway } from '../support/gateway.ts'
import { createTopics } from '../support/topics.ts'
import { unique } from './amqp-fixture.ts'
import { withAdmin } from './kafka-support.ts'

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

function withoutOurs(table: Table = {}): Table {
  const isOurs = (name: string) => name.startsWith('cloudEvents_') || name === 'trivium-hops'
  return Object.fromEntries(Object.entries(table).filter(([name]) => !isOurs(name)))
}

const hexOf = (write: (bytes: Buffer) => void, length: number) => {
  const bytes = Buffer.alloc(length)
  write(bytes)
  return bytes.toString('hex')
}
const text = (value: string): Field => ({ letter: 'S', hex: Buffer.from(value).toString('hex') })
const of = <L extends keyof typeof sizes>(letter: L, write: (bytes: Buffer) => void): Field => ({
  letter,
  hex: hexOf(write, sizes[letter]),
})

/** The cases of the field, and each type's limits. */
const cases: Readonly<Record<string, Field>> = {
  'l 2^53+1': of('l', (b) => b.writeBigInt64BE(2n ** 53n + 1n)),
  'l nanoseconds': of('l', (b) => b.writeBigInt64BE(1701385889123456789n)),
  'l least': of('l', (b) => b.writeBigInt64BE(-(2n ** 63n))),
  'l most': of('l', (b) => b.writeBigInt64BE(2n ** 63n - 1n)),
  'l 5': of('l', (b) => b.writeBigInt64BE(5n)),
  'b -5': of('b', (b) => b.writeInt8(-5)),
  'B 200': of('B', (b) => b.writeUInt8(200)),
  's 128': of('s', (b) => b.writeInt16BE(128)),
  's 1': of('s', (b) => b.writeInt16BE(1)),
  'u 65000': of('u', (b) => b.writeUInt16BE(65_000)),
  'I -70000': of('I', (b) => b.writeInt32BE(-70_000)),
  'I 1': of('I', (b) => b.writeInt32BE(1)),
  'i 4e9': of('i', (b) => b.writeUInt32BE(4_000_000_000)),
  'f 0.1': of('f', (b) => b.writeFloatBE(0.1)),
  'd 0.1': of('d', (b) => b.writeDoubleBE(0.1)),
  'd 3': of('d', (b) => b.writeDoubleBE(3)),
  'd -0': of('d', (b) => b.writeDoubleBE(-0)),
  'd 1e300': of('d', (b) => b.writeDoubleBE(1e300)),
  'd 2^60': of('d', (b) => b.writeDoubleBE(2 ** 60)),
  'D 123.45': { letter: 'D', hex: '0200003039' },
  'D -123.45': { letter: 'D', hex: '02ffffcfc7' },
  'T now': of('T', (b) => b.writeBigInt64BE(1701385889n)),
  'T microseconds': of('T', (b) => b.writeBigInt64BE(1701385889123456n)),
  'T before 1970': of('T', (b) => b.writeBigInt64BE(-86_400n)),
  'T beyond 2^53': of('T', (b) => b.writeBigInt64BE(2n ** 60n + 1n)),
  'S latin1': { letter: 'S', hex: '636166e9' },
  'S binary': { letter: 'S', hex: '005374c161' },
  'S empty': text(''),
  'S replacement': text('a\ufffdb'),
  'S looks marked': text('base64:__4AAQ'),
  'x binary': { letter: 'x', hex: 'ff0001' },
  'x text': { letter: 'x', hex: '616263' },
  'x empty': { letter: 'x', hex: '' },
  't yes': { letter: 't', hex: '01' },
  't no': { letter: 't', hex: '00' },
  V: { letter: 'V', hex: '' },
  'A empty': { letter: 'A', items: [] },
  'A one': { letter: 'A', items: [text('x')] },
  'A mixed': {
    letter: 'A',
    items: [{ letter: 'S', hex: 'ff' }, of('l', (b) => b.writeBigInt64BE(2n ** 60n)), text('')],
  },
  'F empty': { letter: 'F', table: {} },
  'F like a timestamp': { letter: 'F', table: { '!': text('timestamp'), value: of('b', (b) => b.writeInt8(5)) } },
  'F like bytes': { letter: 'F', table: { $bytes: text('AA==') } },
  'F nested': {
    letter: 'F',
    table: {
      b: { letter: 'F', table: { d: of('d', (b) => b.writeDoubleBE(1)) } },
      '2': text('x'),
      '1': of('I', () => {}),
    },
  },
}

/** Carried once, all together; each road is a test. */
let arrived: Promise<Record<string, RawMessage[]>> | undefined

test.each([['direct'], ['kafka'], ['mqtt']])('every type comes back as it was: %s', async (end) => {
  const messages = Object.entries(cases).map(([name, field], n) => ({ headers: { [name]: field }, body: String(n) }))
  arrived ??= carried(messages)
  const tables = (await arrived)[end]?.map(({ headers }) => withoutOurs(headers))
  expect(tables).toEqual(messages.map(({ headers }) => headers))
})

/** RabbitMQ closes the connection for doubles that are not finite. */
function isSendable(each: Field): boolean {
  if (each.letter === 'f') return Number.isFinite(Buffer.from(each.hex, 'hex').readFloatBE())
  return each.letter !== 'd' || Number.isFinite(Buffer.from(each.hex, 'hex').readDoubleBE())
}

/** Names that no protocol and no broker gives a meaning to. */
const word = fc
  .oneof(
    fc.string({ minLength: 1, maxLength: 20 }),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
    fc.constantFrom('!', 'value', 'id', 'type', 'ce_id', 'content-type', '7', 'toString', '^x=l', '@x=n', ':key'),
  )
  .filter((name) => !/^(cloudEvents|trivium-)|^__proto__$|\\/.test(name) && Buffer.byteLength(name) < 256)

const field: fc.Arbitrary<Field> = fc.letrec<{ field: Field }>((tie) => {
  const scalars = (Object.keys(sizes) as (keyof typeof sizes)[]).map((letter) =>
    fc
      .uint8Array({ minLength: sizes[letter], maxLength: sizes[letter] })
      .map(
        (bytes): Field => ({
          letter,
          hex: Buffer.from(letter === 't' ? bytes.map((byte) => byte & 1) : bytes).toString('hex'),
        }),
      )
      .filter(isSendable),
  )
  const bytes = fc
    .oneof(fc.string(), fc.uint8Array({ maxLength: 20 }))
    .map((each) => Buffer.from(each as string).toString('hex'))
  const strings = fc.record({ letter: fc.constantFrom('S' as const, 'x' as const), hex: bytes })
  const list = fc.array(tie('field'), { maxLength: 3 }).map((items): Field => ({ letter: 'A', items }))
  const table = fc
    .dictionary(word, tie('field'), { maxKeys: 3 })
    .map((entries): Field => ({ letter: 'F', table: entries }))
  return { field: fc.oneof({ depthSize: 'small' }, fc.oneof(...scalars, strings), list, table) }
}).field

test('arbitrary tables come back as they were, on every road', async () => {
  const table = fc.dictionary(word, field, { maxKeys: 5, noNullPrototype: true })
  const batch = fc.array(table, { minLength: 40, maxLength: 40 })
  const comesBack = fc.asyncProperty(batch, async (tables) => {
    const ends = await carried(tables.map((headers, n) => ({ headers, body: String(n) })))
    for (const messages of Object.values(ends))
      expect(messages.map(({ headers }) => withoutOurs(headers))).toEqual(tables)
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
