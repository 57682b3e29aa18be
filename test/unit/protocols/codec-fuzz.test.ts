import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import * as amqp from '../../../protocols/amqp/codec.ts'
import * as kafka from '../../../protocols/kafka/codec.ts'
import * as mqtt from '../../../protocols/mqtt/codec.ts'
import { Envelope, formats } from '../../../src/envelope/envelope.ts'
import { PermanentError } from '../../../src/errors.ts'

const numRuns = 20_000
const text = fc.string({ unit: 'binary', maxLength: 12 })
const bytes = fc.uint8Array({ maxLength: 24 }).map((array) => Buffer.from(array))
const format = fc.option(fc.constantFrom(...formats), { nil: undefined })
const claims = fc.constantFrom(
  'application/cloudevents+json',
  'Application/CloudEvents-Batch+json',
  'application/cloudevents+json; charset=utf-16',
  'application/vnd.trivium.envelope+json; v=1',
  'application/json',
)
const contentType = fc.option(fc.oneof(claims, text), { nil: undefined })
const own = [
  'id',
  'source',
  'type',
  'specversion',
  'time',
  'expirytime',
  'partitionkey',
  'data',
  'data_base64',
  'trvspace',
]
const trivium = ['trvttl', 'trvpriority', 'trvretry', 'trvtypes', 'trvheaders', 'trvreply', 'trvhops', 'trivium-hops']
const canonical = [
  'headers',
  'payload',
  'payloadText',
  'payloadBase64',
  'payloadSpace',
  'key',
  'keyBase64',
  'messageId',
  'customHeaders',
]
const name = fc.oneof(fc.constantFrom(...own, ...trivium, ...canonical, '__proto__', 'constructor'), text)
const deep = '['.repeat(2000) + ']'.repeat(2000)
const said = fc.constantFrom(
  ...[
    '1.0',
    'x=l;y=j;:key=b;:payload=0',
    '%=n;%zz=b',
    '{"a":{"$bytes":1}}',
    '{"a":{"$int":"x"}}',
    '[1]',
    deep,
    `{"a":${deep}}`,
  ],
)
const value = fc.oneof(text, said)
const json = fc.constantFrom<unknown>(
  null,
  0,
  -1,
  1.5,
  1e300,
  true,
  '',
  [],
  {},
  [[1]],
  { $bytes: 'AA' },
  { $int: '' },
  { a: [null] },
)
const member = fc.oneof(json, value)
const required = { specversion: '1.0', id: '1', source: 's', type: 't' }
const body = fc.oneof(
  bytes,
  fc.dictionary(name, member, { maxKeys: 6 }).map((object) => Buffer.from(JSON.stringify(object))),
  fc.dictionary(name, member, { maxKeys: 6 }).map((object) => Buffer.from(JSON.stringify({ ...required, ...object }))),
  fc.constantFrom('', '{', 'null', '{}', deep, `{"headers":{"a":${deep}}}`).map((each) => Buffer.from(each)),
)

let checked = 0

/** An envelope it is, whatever came, and (looked at for one in ten) it can be sent on or is refused for good. */
function check(envelope: Envelope): void {
  if (!(envelope instanceof Envelope) || envelope.messageId === '' || envelope.source === '')
    throw new Error('no envelope')
  if (envelope.malformed !== undefined && envelope.malformed.code !== 'MESSAGE_MALFORMED') throw envelope.malformed
  checked += 1
  if (checked % 10 !== 0) return
  for (const each of formats) {
    const outbound = { envelope, target: { key: undefined }, format: each }
    for (const encode of [kafka.encode, amqp.encode, (out: typeof outbound) => mqtt.encode(out, 5)]) {
      try {
        encode(outbound)
      } catch (error) {
        if (!(error instanceof PermanentError)) throw error
      }
    }
  }
}

describe('a decoder given anything', () => {
  it('kafka: never throws', () => {
    const header = fc.oneof(
      bytes,
      value,
      fc.constant(null),
      fc.array(fc.oneof(bytes, text, fc.constant(null)), { minLength: 2, maxLength: 3 }),
    )
    const headers = fc.dictionary(
      fc.oneof(
        name,
        name.map((each) => `ce_${each}`),
        fc.constant('content-type'),
      ),
      fc.oneof(
        header,
        claims.map((each) => Buffer.from(each)),
      ),
      { maxKeys: 5 },
    )
    const message = fc.record({
      key: fc.option(bytes),
      value: fc.option(body),
      headers: fc.option(headers, { nil: undefined }),
      timestampMs: fc.oneof(fc.constantFrom(-1, Number.NaN, 1e99, 1_700_000_000_000), fc.double()),
      offset: fc.nat(),
    })
    fc.assert(
      fc.property(message, format, (each, wanted) => {
        check(kafka.decode(each, { connection: 'c', topic: 't', partition: 0, format: wanted }))
      }),
      { numRuns },
    )
    expect(true).toBe(true)
  })

  it('amqp: never throws', () => {
    const field = fc.oneof(value, json, bytes, fc.constant({ '!': 'timestamp', value: 1e300 }))
    const headers = fc.dictionary(
      fc.oneof(
        name,
        name.map((each) => `cloudEvents_${each}`),
        fc.constantFrom('x-death', 'x-delivery-count', 'cloudEvents:id'),
      ),
      field,
      { maxKeys: 5 },
    )
    const properties = fc.record(
      {
        contentType,
        headers: fc.option(headers, { nil: undefined }),
        priority: fc.option(fc.nat({ max: 255 }), { nil: undefined }),
        correlationId: fc.option(text, { nil: undefined }),
        replyTo: fc.option(text, { nil: undefined }),
        expiration: fc.option(fc.oneof(text, fc.constant('60000')), { nil: undefined }),
        messageId: fc.option(text, { nil: undefined }),
        timestamp: fc.oneof(fc.double(), fc.constantFrom(undefined, -1, 1.7e9, 1.7e12, 1e300)),
        type: fc.option(text, { nil: undefined }),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(body, properties, format, (content, each, wanted) => {
        const message = { content, properties: each } as unknown as Parameters<typeof amqp.decode>[0]
        check(amqp.decode(message, { connection: 'c', queue: 'q', format: wanted }))
      }),
      { numRuns },
    )
    expect(true).toBe(true)
  })

  it('mqtt: never throws', () => {
    const userProperties = fc.dictionary(name, fc.oneof(value, fc.array(text, { maxLength: 3 })), { maxKeys: 6 })
    const event = userProperties.map((each) => ({ ...each, ...required }))
    const properties = fc.record(
      {
        contentType,
        correlationData: bytes,
        responseTopic: text,
        messageExpiryInterval: fc.nat(),
        userProperties: fc.oneof(userProperties, event),
      },
      { requiredKeys: [] },
    )
    const packet = fc.record({
      topic: text,
      payload: fc.oneof(body, text),
      properties: fc.option(properties, { nil: undefined }),
      qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
      retain: fc.boolean(),
      dup: fc.boolean(),
    })
    fc.assert(
      fc.property(packet, format, fc.constantFrom(4 as const, 5 as const), (each, wanted, version) => {
        check(mqtt.decode(each as mqtt.MqttPacket, { connection: 'c', version, format: wanted }))
      }),
      { numRuns },
    )
    expect(true).toBe(true)
  })
})
