/** Messages no rule or target can take, at real brokers: each ends as a dead letter that says why, the others go on. */

import { expect } from '@jest/globals'
import amqplib from 'amqplib'
import { Kafka, logLevel } from 'kafkajs'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { startMosquitto } from '../support/brokers/mosquitto.ts'
import type { TestGateway } from '../support/gateway/gateway.ts'
import { arrived, type Scope, scenario, texts } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import { amqpPlace, type Got, kafkaPlace, mqttPlace, type Place } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'

function letters(gateway: TestGateway): { reason: string; error: { code: string }; body: Buffer }[] {
  return gateway.letters().map(({ reason, error, envelope }) => ({
    ...{ reason, error, body: Buffer.from(envelope.payload ?? []) },
  }))
}

async function kafkaClient(scope: Scope) {
  const kafka = new Kafka({ brokers: brokerAddresses().kafka, logLevel: logLevel.NOTHING })
  const [admin, producer] = [kafka.admin(), kafka.producer()]
  await Promise.all([admin.connect(), producer.connect()])
  scope.after(() => Promise.all([admin.disconnect(), producer.disconnect()]))
  return { admin, producer }
}

const malformed = ['{"n":', 'plain text', '\u0000\u0001', '', '[1,2', '{"n":1}}']

scenario('a body that is no JSON makes a condition false, and is counted', async (scope) => {
  const [source, target] = [await kafkaPlace(), await amqpPlace()]
  const gateway = await scope
    .gateway(`
gateway: { id: ${unique('t')}, admin: false }
connections: { source: ${source.connection}, target: ${target.connection} }
routes: [{ name: road, from: { connection: source, ${source.from} }, when: payload.n > 0, to: [{ connection: target, ${target.to} }] }]
`)
    .ready()
  const { producer } = await kafkaClient(scope)
  await producer.send({ topic: source.name, messages: malformed.map((value) => ({ value })) })
  const sent = texts(5)
  await (await scope.use(source.sender())).send(sent)
  const reader = await scope.use(target.reader())
  await arrived(reader, sent)
  expect(reader.got).toHaveLength(5)
  const stats = gateway.route('road')
  await eventually(() => stats.filtered === malformed.length, { what: 'the others are filtered' })
  expect(stats).toMatchObject({ delivered: 5, deadLetteredTotal: 0 })
  expect(stats.missingFields()).toBe(malformed.length)
})

scenario(
  'a body that is no JSON and is to be changed is a dead letter, byte for byte, reason transform',
  async (scope) => {
    const [source, target] = [await amqpPlace(), await kafkaPlace()]
    const gateway = await scope
      .gateway(`
gateway: { id: ${unique('t')}, admin: false }
connections: { source: ${source.connection}, target: ${target.connection} }
routes:
  - name: road
    from: { connection: source, ${source.from} }
    set: { payload.twice: payload.n * 2 }
    to: [{ connection: target, ${target.to} }]
`)
      .ready()
    const connection = await amqplib.connect(brokerAddresses().amqp)
    scope.after(() => connection.close())
    const channel = await connection.createConfirmChannel()
    for (const body of [...malformed, '{"n":21}']) channel.sendToQueue(source.name, Buffer.from(body))
    channel.sendToQueue(source.name, Buffer.from([0xff, 0xfe, 0x00]))
    await channel.waitForConfirms()
    const stats = gateway.route('road')
    await eventually(() => stats.delivered + stats.deadLetteredTotal === malformed.length + 2, { what: 'all ended' })
    expect(Object.fromEntries(stats.deadLettered)).toEqual({ transform: malformed.length + 1 })
    const bodies = letters(gateway).map(({ body }) => body.toString('hex'))
    expect(bodies.sort()).toEqual([...malformed.map((text) => Buffer.from(text).toString('hex')), 'fffe00'].sort())
    const reader = await scope.use(target.reader())
    await eventually(() => reader.got.length === 1, { what: 'the good one' })
    expect(JSON.parse(reader.got[0]!.text)).toEqual({ n: 21, twice: 42 })
  },
)

/** From AMQP: among small messages one whose body is too large for the target. */
async function checkTooLarge(
  scope: Scope,
  target: Place,
  bytes: number,
  reader: () => Promise<{ got: Got[] }>,
): Promise<void> {
  const source = await amqpPlace()
  const gateway = await scope
    .gateway(`
gateway: { id: ${unique('t')}, admin: false }
connections: { source: ${source.connection}, target: ${target.connection} }
routes: [{ name: road, from: { connection: source, ${source.from} }, set: { key: "'one'" }, to: [{ connection: target, ${target.to} }] }]
`)
    .ready()
  const large = JSON.stringify({ key: 'large', n: 0, filling: 'x'.repeat(bytes) })
  const [before, after] = [texts(20), texts(20)]
  await (await scope.use(source.sender())).send([...before, large, ...after])
  const stats = gateway.route('road')
  await eventually(() => stats.delivered + stats.deadLetteredTotal === 41, {
    withinMs: 20_000,
    what: `all ended: ${JSON.stringify(gateway.lines)}`,
  })
  expect(Object.fromEntries(stats.deadLettered)).toEqual({ 'too-large': 1 })
  expect(letters(gateway)).toMatchObject([{ reason: 'too-large', error: { code: 'MESSAGE_TOO_LARGE' } }])
  expect(letters(gateway)[0]!.body.toString()).toBe(large)
  const { got } = await reader()
  await eventually(() => got.length === 40, { what: 'the others' })
  expect(got.map(({ text }) => text).sort()).toEqual([...before, ...after].sort())
}

scenario('over the max.message.bytes of a Kafka topic: too-large, and the lane goes on', async (scope) => {
  const target = await kafkaPlace()
  const { admin } = await kafkaClient(scope)
  const configEntries = [{ name: 'max.message.bytes', value: '5000' }]
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: 2, name: target.name, configEntries }] })
  await checkTooLarge(scope, target, 20_000, () => scope.use(target.reader()))
})

scenario('over the maxMessageSize of AMQP: too-large, and the lane goes on', async (scope) => {
  const target = await amqpPlace({ settings: 'maxMessageSize: 4KiB' })
  await checkTooLarge(scope, target, 20_000, () => scope.use(target.reader()))
})

scenario('over the maximum packet size of an MQTT broker: too-large, and the lane goes on', async (scope) => {
  const broker = await startMosquitto({ conf: ['max_packet_size 4000'] })
  scope.after(() => broker.stop())
  const target = await mqttPlace({ address: broker.address })
  await checkTooLarge(scope, target, 20_000, () => scope.use(target.reader()))
})

scenario('over the maxPacketSize of a connection that speaks MQTT 3.1.1, whose broker cannot say', async (scope) => {
  const broker = await startMosquitto({ conf: ['max_packet_size 4000'] })
  scope.after(() => broker.stop())
  const target = await mqttPlace({ address: broker.address, settings: 'protocolVersion: 4, maxPacketSize: 4000B' })
  await checkTooLarge(scope, target, 20_000, () => scope.use(target.reader()))
})

for (const through of ['kafka', 'amqp', 'mqtt'] as const) {
  scenario(`a Kafka tombstone stays one by way of ${through}, and comes back to Kafka as one`, async (scope) => {
    const [source, end] = [await kafkaPlace(), await kafkaPlace()]
    const middle = await { kafka: kafkaPlace, amqp: amqpPlace, mqtt: mqttPlace }[through]()
    const there = middle.to.replace('{payload.key}', '{key}')
    await scope
      .gateway(`
gateway: { id: ${unique('t')}, admin: false }
connections: { source: ${source.connection}, middle: ${middle.connection}, end: ${end.connection} }
routes:
  - { name: there, from: { connection: source, ${source.from} }, to: [{ connection: middle, ${there} }] }
  - { name: on, from: { connection: middle, ${middle.from} }, to: [{ connection: end, ${end.to} }] }
`)
      .ready()
    const { producer } = await kafkaClient(scope)
    await producer.send({
      topic: source.name,
      messages: [
        { key: 'gone', value: null, headers: { why: 'deleted' } },
        { key: 'empty', value: '' },
        { key: 'full', value: 'body' },
      ],
    })
    const reader = await scope.use(end.reader())
    await eventually(() => reader.got.length === 3, { what: 'all three' })
    const byKey = Object.fromEntries(
      reader.got.map(({ key, payload }) => [key, payload === null ? null : payload.toString()]),
    )
    expect(byKey).toEqual({ gone: null, empty: '', full: 'body' })
    expect(String(reader.got.find(({ key }) => key === 'gone')!.headers.why)).toBe('deleted')
  })
}
