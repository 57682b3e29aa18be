/** Against the CloudEvents project's own library, in both directions. */
import { describe, expect, it, test } from '@jest/globals'
import { CloudEvent, type CloudEventV1, HTTP, Kafka, MQTT } from 'cloudevents'
import fc from 'fast-check'
import * as amqp from '../../../protocols/amqp/codec.ts'
import * as http from '../../../protocols/http/codec.ts'
import * as kafka from '../../../protocols/kafka/codec.ts'
import * as mqtt from '../../../protocols/mqtt/codec.ts'
import { Envelope, type ExtensionValue, type Format, HeaderBag } from '../../../src/envelope/envelope.ts'
import { amqpWire, kafkaWire, mqttWire } from './codec-wire.ts'
import { pairsOf } from './kafka/batches.ts'

const word = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 20 })
const attribute = fc
  .string({ unit: fc.constantFrom(...'abcdefghijkxyz0189'), minLength: 3, maxLength: 12 })
  .map((text) => `x${text}`)
const json = fc.dictionary(word, fc.oneof(word, fc.integer(), fc.boolean()), { maxKeys: 4 })
const events = fc.record({
  id: word,
  source: fc.webUrl(),
  type: word,
  time: fc.constantFrom('2026-11-23T20:00:00.123Z', '2026-11-23T20:00:00.000Z'),
  subject: word,
  extensions: fc.dictionary(attribute, word, { maxKeys: 3 }),
  data: json,
})
type Event = typeof events extends fc.Arbitrary<infer T> ? T : never

const kafkaPlace = { connection: 'events', topic: 'telemetry', partition: 3 }
const mqttPlace = { connection: 'devices', version: 5 } as const
const runs = { numRuns: 500 }

function cloudEvent({ extensions, ...event }: Event): CloudEvent<unknown> {
  return new CloudEvent({ specversion: '1.0', datacontenttype: 'application/json', ...event, ...extensions })
}

function envelope({ id, source, type, time, subject, extensions, data }: Event): Envelope {
  const headers = Object.assign(new HeaderBag(), { subject })
  const fields = {
    messageId: id,
    source,
    eventType: type,
    timestamp: time,
    headers,
    extensions: Object.assign(new HeaderBag() as Record<string, string>, extensions),
    payload: Buffer.from(JSON.stringify(data)),
  }
  return new Envelope({ ...fields, contentType: 'application/json' })
}

function expectSame(received: Envelope, event: Event): void {
  const sent = envelope(event)
  const { headers, extensions, payload, ...fields } = received
  const { headers: sentHeaders, extensions: sentExtensions, payload: sentPayload, ...sentFields } = sent
  expect({ ...fields, key: undefined }).toEqual({ ...sentFields })
  expect({ ...headers }).toEqual({ ...sentHeaders })
  expect({ ...extensions }).toEqual({ ...sentExtensions })
  expect(JSON.parse(String(payload))).toEqual(JSON.parse(String(sentPayload)))
}

function expectEvent(received: CloudEventV1<unknown> | CloudEventV1<unknown>[], event: Event): void {
  const { id, source, type, time, subject, extensions, data } = event
  expect(received).toMatchObject({
    id,
    source,
    type,
    time,
    subject,
    ...extensions,
    datacontenttype: 'application/json',
  })
  expect((received as CloudEventV1<unknown>).data).toEqual(data)
}

function ourKafka(event: Event, format: Format) {
  const { headers, value } = kafka.encode({ envelope: envelope(event), target: { key: undefined }, format })
  const texts = Object.fromEntries(pairsOf(headers).map(([name, each]) => [name, Buffer.from(each ?? '').toString()]))
  return { headers: texts, value: Buffer.from(value ?? ''), key: undefined, body: undefined }
}

describe('the CloudEvents library', () => {
  it('reads what the Kafka codec writes in binary mode', () => {
    fc.assert(
      fc.property(events, (event) => {
        expectEvent(Kafka.toEvent(ourKafka(event, 'binary') as never) as CloudEventV1<unknown>, event)
      }),
      runs,
    )
  })

  it('reads what the Kafka codec writes in structured mode', () => {
    fc.assert(
      fc.property(events, (event) => {
        expectEvent(Kafka.toEvent(ourKafka(event, 'cloudevents') as never) as CloudEventV1<unknown>, event)
      }),
      runs,
    )
  })

  it('reads what the MQTT codec writes in binary and structured mode', () => {
    fc.assert(
      fc.property(events, fc.constantFrom<Format>('binary', 'cloudevents'), (event, format) => {
        const { payload, properties } = mqtt.encode({ envelope: envelope(event), target: {}, format }, 5)
        const isBinary = format === 'binary'
        const message = {
          PUBLISH: { 'Content Type': properties?.contentType },
          headers: isBinary ? { ...properties?.userProperties, datacontenttype: properties?.contentType } : {},
          body: isBinary ? JSON.parse(String(payload)) : String(payload),
        }
        expectEvent(MQTT.toEvent(message as never) as CloudEventV1<unknown>, event)
      }),
      runs,
    )
  })
})

/** As Node's own server hands headers to the library. */
function ourHttp(event: Event, format: Format) {
  const { headers, body } = http.encode({ envelope: envelope(event), format })
  const pairs = headers.flatMap((name, at) => (at % 2 === 0 ? [[name, headers[at + 1]]] : []))
  return { headers: Object.fromEntries(pairs) as Record<string, string>, body: Buffer.from(body).toString() }
}

/** The library reads no percent-encoding, whatever the binding says. */
const isPlain = (event: Event) =>
  !/[ "%]/.test([event.id, event.source, event.type, event.subject, ...Object.values(event.extensions)].join(''))

describe('the CloudEvents library and HTTP', () => {
  it('reads what the codec writes in structured mode, and in binary mode but for what it cannot decode', () => {
    fc.assert(
      fc.property(events, fc.constantFrom<Format>('binary', 'cloudevents'), (event, format) => {
        fc.pre(format === 'cloudevents' || isPlain(event))
        expectEvent(HTTP.toEvent(ourHttp(event, format)), event)
      }),
      runs,
    )
  })

  it('writes what the codec reads, in binary, structured and batched mode', () => {
    const at = { connection: 'api', address: '/events' }
    const messageOf = ({ headers, body }: { headers: object; body: unknown }) => ({
      headers: Object.entries(headers).flat().map(String),
      body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
    })
    fc.assert(
      fc.property(events, (event) => {
        if (isPlain(event)) expectSame(http.decode(messageOf(HTTP.binary(cloudEvent(event))), at), event)
        expectSame(http.decode(messageOf(HTTP.structured(cloudEvent(event))), at), event)
        const body = ` [${JSON.stringify(cloudEvent(event))} ,\n${JSON.stringify(cloudEvent(event))} ]`
        const batch = http.decodeBatch(messageOf({ headers: {}, body }), at)
        expect(batch).toHaveLength(2)
        for (const each of batch) expectSame(each, event)
      }),
      runs,
    )
  })
})

describe('what the CloudEvents library writes', () => {
  const record = { key: null, timestampMs: 1_700_000_000_000, offset: 991 }

  it('is read by the Kafka codec in binary mode', () => {
    fc.assert(
      fc.property(events, (event) => {
        const { headers } = Kafka.binary(cloudEvent(event))
        const texts: Record<string, string> = Object.create(null)
        for (const [name, text] of Object.entries(headers)) if (text !== undefined) texts[name] = String(text)
        const value = Buffer.from(JSON.stringify(event.data))
        expectSame(kafka.decode({ ...record, value, headers: texts }, kafkaPlace), event)
      }),
      runs,
    )
  })

  it('is read by the Kafka codec in structured mode', () => {
    fc.assert(
      fc.property(events, (event) => {
        const { headers, body } = Kafka.structured(cloudEvent(event))
        const contentType = String(headers['content-type'])
        const message = { ...record, value: Buffer.from(String(body)), headers: { 'content-type': contentType } }
        expectSame(kafka.decode(message, kafkaPlace), event)
      }),
      runs,
    )
  })

  it('is read by the MQTT codec in binary and structured mode, with MQTT 3.1.1 by the word of the user', () => {
    fc.assert(
      fc.property(events, (event) => {
        const flags = { topic: 'a', qos: 1, retain: false, dup: false } as const
        const binary = MQTT.binary(cloudEvent(event)) as unknown as { headers: Record<string, string> }
        const user = Object.fromEntries(Object.entries(binary.headers).filter(([, value]) => typeof value === 'string'))
        const payload = Buffer.from(JSON.stringify(event.data))
        const properties = { contentType: 'application/json', userProperties: user }
        expectSame(mqtt.decode({ ...flags, payload, properties }, mqttPlace), event)
        const { body } = MQTT.structured(cloudEvent(event)) as { body: unknown }
        const text = Buffer.from(JSON.stringify(body))
        const claimed = { contentType: 'application/cloudevents+json' }
        expectSame(mqtt.decode({ ...flags, payload: text, properties: claimed }, mqttPlace), event)
        expectSame(mqtt.decode({ ...flags, payload: text }, { ...mqttPlace, version: 4, format: 'cloudevents' }), event)
      }),
      runs,
    )
  })
})

test('an extension stays one from protocol to protocol, beside a header of its name', async () => {
  const extensions = Object.assign(new HeaderBag() as Record<string, ExtensionValue>, {
    traceparent: '00-origin',
    sequence: 7,
  })
  const headers = Object.assign(new HeaderBag(), { traceparent: '00-hop' })
  const fields = { messageId: 'i', source: 's', timestamp: '2026-11-23T20:00:00.123Z', payload: Buffer.from('{}') }
  let envelope = new Envelope({ ...fields, eventType: 't', headers, extensions })
  for (const wire of [kafkaWire('binary'), mqttWire(5, 'binary'), amqpWire('binary'), mqttWire(4, 'cloudevents')]) {
    envelope = await wire.carry(envelope, Date.parse('2026-11-23T20:00:05.000Z'))
    expect({ ...envelope.extensions }).toEqual({ traceparent: '00-origin', sequence: 7 })
    expect({ ...envelope.headers }).toEqual({ traceparent: '00-hop' })
  }
  const { options } = amqp.encode({ envelope, target: {}, format: 'binary' })
  expect(options.headers).toMatchObject({
    cloudEvents_traceparent: '00-origin',
    cloudEvents_sequence: 7,
    traceparent: '00-hop',
  })
})

describe('format: cloudevents of a source', () => {
  const event = { specversion: '1.0', id: 'i', source: '/s', type: 't' }
  const structured = Buffer.from(JSON.stringify({ ...event, data: { a: 1 } }))
  const texts = (prefix: string) =>
    Object.fromEntries(Object.entries(event).map(([name, text]) => [prefix + name, text]))
  const format = 'cloudevents' as const
  const record = { key: null, timestampMs: 1_700_000_000_000, offset: 991 }
  const packet = { topic: 'a', qos: 1, retain: false, dup: false } as const
  const place = { ...kafkaPlace, format }
  const fromAmqp = (content: Buffer, properties: object) =>
    amqp.decode({ content, properties } as never, { connection: 'orders', queue: 'q', format })
  const binary = Buffer.from('{"a":1}')

  it.each([
    ['Kafka, binary', () => kafka.decode({ ...record, value: binary, headers: texts('ce_') }, place)],
    ['Kafka, structured', () => kafka.decode({ ...record, value: structured, headers: {} }, place)],
    ['AMQP, binary', () => fromAmqp(binary, { headers: texts('cloudEvents_'), contentType: 'application/json' })],
    ['AMQP, binary of an SDK', () => fromAmqp(binary, { headers: texts('ce-') })],
    [
      'AMQP, structured',
      () => fromAmqp(structured, { contentType: 'application/cloudevents+json', headers: texts('ce-') }),
    ],
    ['AMQP, structured without a content type', () => fromAmqp(structured, {})],
    [
      'MQTT 5, binary',
      () =>
        mqtt.decode(
          { ...packet, payload: binary, properties: { userProperties: texts('') } },
          { ...mqttPlace, format },
        ),
    ],
    [
      'MQTT 5, structured',
      () => mqtt.decode({ ...packet, payload: structured, properties: {} }, { ...mqttPlace, format }),
    ],
    [
      'MQTT 3.1.1',
      () => mqtt.decode({ ...packet, payload: structured }, { connection: 'devices', version: 4, format }),
    ],
  ])('takes the event of %s', (_what, decode) => {
    const envelope = decode()
    expect(envelope).toMatchObject({ messageId: 'i', source: '/s', eventType: 't', malformed: undefined })
    expect(String(envelope.payload)).toBe('{"a":1}')
  })

  it('calls what is neither malformed', () => {
    expect(fromAmqp(binary, { contentType: 'application/json', headers: { a: 'b' } }).malformed?.code).toBe(
      'MESSAGE_MALFORMED',
    )
  })
})
