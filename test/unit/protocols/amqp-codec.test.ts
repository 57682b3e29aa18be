import { describe, expect, it } from '@jest/globals'
import { decode, encode } from '../../../protocols/amqp/codec.ts'
import { Envelope, type EnvelopeFields, type Format } from '../../../src/envelope/envelope.ts'
import { mediaTypes } from '../../../src/envelope/formats.ts'
import { throughAmqp } from './codec-wire.ts'

const at = { connection: 'orders', queue: 'alarms' }
const nowMs = Date.parse('2026-11-23T20:00:05.000Z')
const fields = {
  messageId: 'm-1',
  timestamp: '2026-11-23T20:00:00.123Z',
  source: 'mqtt://devices/a',
  payload: Buffer.from('{}'),
}

function receive(properties: object, format?: Format): Envelope {
  const message = { content: Buffer.from('{"a":1}'), properties } as unknown as Parameters<typeof decode>[0]
  return decode(message, { ...at, format })
}

function send(changes: Partial<EnvelopeFields>, format?: Format) {
  return encode({ envelope: new Envelope({ ...fields, ...changes }), target: {}, format }, nowMs)
}

describe('amqp decode', () => {
  it('reads the native properties', () => {
    const native = { messageId: 'x', timestamp: 1763928000, type: 'Hot', correlationId: 'c', priority: 9 }
    expect(receive({ ...native, replyTo: 'q', expiration: '60000', contentType: 'a/b', headers: {} })).toMatchObject({
      messageId: 'x',
      timestamp: '2025-11-23T20:00:00.000Z',
      source: 'amqp://orders/alarms',
      eventType: 'Hot',
      correlationId: 'c',
      priority: 9,
      replyTo: 'amqp:q',
      ttlMs: 60_000,
      contentType: 'a/b',
    })
  })

  it('gives a message without an id a UUIDv7', () => {
    expect(receive({}).messageId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/)
    expect(receive({ headers: { 'x-message-id': 'long' } }).messageId).toBe('long')
  })

  it('reads attributes under both prefixes and in native types', () => {
    const headers = {
      'cloudEvents:id': 'i',
      cloudEvents_time: { '!': 'timestamp', value: 1763928000 },
      cloudEvents_trvpriority: 7,
    }
    expect(receive({ headers })).toMatchObject({ messageId: 'i', timestamp: '2025-11-23T20:00:00.000Z', priority: 7 })
  })

  it('keeps the bytes of attributes that are no UTF-8, as text', () => {
    const headers = { cloudEvents_correlationid: Buffer.from('fffe', 'hex'), cloudEvents_id: Buffer.from('base64:__4') }
    expect(receive({ headers })).toMatchObject({ correlationId: 'base64:__4', messageId: 'base64:__4' })
  })

  it('reads the attributes of the SDKs for RabbitMQ', () => {
    const headers = {
      'ce-specversion': '1.0',
      'ce-id': 'i',
      'ce-source': '/s',
      'ce-type': 't',
      'ce-sequence': '7',
      'ce-a-b': 'c',
    }
    const envelope = receive({ headers })
    expect(envelope).toMatchObject({ messageId: 'i', source: '/s', eventType: 't' })
    expect({ ...envelope.extensions }).toEqual({ sequence: '7' })
    expect({ ...envelope.headers }).toEqual({ 'a-b': 'c' })
    const sent = send({ headers: { 'ce-id': 'of a header' } }).options.headers
    expect(sent).toMatchObject({ cloudEvents_trvheaders: '{"ce-id":"of a header"}' })
  })

  it.each([1796091771935, 1796091771935000000n, '1796091771935', { '!': 'timestamp', value: 1796091771 }])(
    'makes RFC 3339 of the time %p',
    (cloudEvents_time) => {
      expect(receive({ headers: { cloudEvents_time } }).timestamp).toMatch(/^2026-12-01T02:22:51\.(935|000)Z$/)
    },
  )

  it('carries content_encoding, app_id, cluster_id and user_id as headers, and writes the first three as properties', () => {
    const native = { contentEncoding: 'gzip', appId: 'billing', clusterId: 'c1', userId: 'guest' }
    const { headers } = receive({ ...native, headers: {} })
    const names = { 'content-encoding': 'gzip', 'app-id': 'billing', 'cluster-id': 'c1', 'user-id': 'guest' }
    expect({ ...headers }).toEqual(names)
    const { options } = send({ headers })
    expect(options).toMatchObject({ contentEncoding: 'gzip', appId: 'billing', clusterId: 'c1' })
    expect(options).not.toHaveProperty('userId')
    expect(options.headers).toMatchObject({ 'user-id': 'guest' })
    expect(Object.keys(options.headers)).not.toEqual(expect.arrayContaining(['app-id']))
    const long = 'x'.repeat(256)
    expect(send({ headers: { 'app-id': long } }).options).toMatchObject({ headers: { 'app-id': long } })
  })

  it('looks into no body that its properties call encoded', () => {
    expect(receive({ contentType: 'application/json', contentEncoding: 'gzip' }).json).toBeUndefined()
    expect(receive({ contentType: 'application/json', contentEncoding: 'UTF-8' }).json).toEqual({ a: 1 })
  })

  it.each([
    [1701385889, '2023-11-30T23:11:29.000Z'],
    [1701385889123, '2023-11-30T23:11:29.123Z'],
    [1701385889123456, '2023-11-30T23:11:29.123Z'],
    [1701385889123456789n, '2023-11-30T23:11:29.123Z'],
    [-86_400, '1969-12-31T00:00:00.000Z'],
  ])('reads the timestamp %p in seconds or what it can only be', (timestamp, text) => {
    expect(receive({ timestamp }).timestamp).toBe(text)
  })

  it('counts the deliveries that RabbitMQ counted', () => {
    expect(receive({ headers: { 'x-delivery-count': 2 } }).retryCount).toBe(2)
    expect(receive({ headers: { 'x-death': [{ count: 2 }, { count: 1 }] } }).retryCount).toBe(3)
    expect(receive({ headers: { 'x-delivery-count': 2, cloudEvents_trvretry: '5' } }).retryCount).toBe(7)
  })

  it('takes a header under its own name for newer than one of that name in trvheaders', () => {
    const spilled = JSON.stringify({ 'x-death': [{ count: 1 }], CC: 'kept' })
    const { headers } = receive({ headers: { 'x-death': [{ count: 2 }], cloudEvents_trvheaders: spilled } })
    expect({ ...headers }).toEqual({ 'x-death': [{ count: 2 }], CC: 'kept' })
  })

  it('takes everything as payload in raw format', () => {
    const envelope = receive({ messageId: 'x', contentType: mediaTypes.envelope, headers: { a: 'b' } }, 'raw')
    expect(envelope.messageId).not.toBe('x')
    expect(Object.keys(envelope.headers)).toEqual([])
  })

  it('calls a message malformed whose headers are nested too deep', () => {
    let value: unknown = 1
    for (let i = 0; i < 100; i++) value = [value]
    expect(receive({ headers: { deep: value } }).malformed?.code).toBe('MESSAGE_MALFORMED')
  })
})

describe('amqp encode', () => {
  it('fills native properties and attributes', () => {
    const { content, options } = send({
      eventType: 'Hot',
      priority: 9,
      ttlMs: 60_000,
      correlationId: 'c',
      replyTo: 'amqp:q',
    })
    expect(content).toBe(fields.payload)
    expect(options).toMatchObject({
      ...{ persistent: true, messageId: 'm-1', timestamp: 1795464000, type: 'Hot', priority: 9, correlationId: 'c' },
      ...{ replyTo: 'q', expiration: '55123' },
    })
    expect({ ...options.headers }).toEqual({
      cloudEvents_specversion: '1.0',
      cloudEvents_id: 'm-1',
      cloudEvents_time: fields.timestamp,
      cloudEvents_source: 'mqtt://devices/a',
      cloudEvents_type: 'Hot',
      cloudEvents_correlationid: 'c',
      cloudEvents_trvpriority: '9',
      cloudEvents_trvttl: '60000',
      cloudEvents_expirytime: '2026-11-23T20:01:00.123Z',
    })
  })

  it('moves ids longer than 255 bytes to the headers RabbitMQ uses', () => {
    const id = 'ü'.repeat(128)
    const { options } = send({ messageId: id, correlationId: id })
    expect(options.messageId).toBeUndefined()
    expect(options.headers).toMatchObject({ 'x-message-id': id, 'x-correlation-id': id })
    expect(receive({ headers: { 'x-message-id': id, 'x-correlation-id': id } })).toMatchObject({
      messageId: id,
      correlationId: id,
    })
  })

  it('answers to an MQTT topic by the header RabbitMQ uses, and never asks for direct replies', () => {
    expect(send({ replyTo: 'mqtt:devices/7' }).options.headers['x-reply-to-topic']).toBe('devices/7')
    expect(send({ replyTo: 'amqp:amq.rabbitmq.reply-to' }).options.replyTo).toBeUndefined()
  })

  it('keeps an expiration within the 32 bits RabbitMQ takes', () => {
    expect(send({ ttlMs: 2 ** 40 }).options.expiration).toBe('4294967295')
  })

  it('writes no number that makes RabbitMQ close the connection', () => {
    const { headers } = send({ headers: { a: Number.NaN, b: Number.NEGATIVE_INFINITY, list: [1, Number.NaN] } }).options
    expect(headers).toMatchObject({ a: 'NaN', b: '-Infinity', cloudEvents_trvtypes: 'a=n;b=n;list=j' })
  })

  it('does not let a header choose further queues', () => {
    const { options } = send({ headers: { CC: ['stolen'], BCC: ['stolen'], 'x-death': 'x', ok: 'yes' } })
    expect(Object.keys(options.headers)).not.toEqual(expect.arrayContaining(['CC']))
    expect(options.headers).toMatchObject({ ok: 'yes', cloudEvents_trvheaders: expect.stringContaining('stolen') })
  })

  it.each([
    ['one large header', { a: 'x'.repeat(70_000) }],
    ['many headers', Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`header ${i}`, 'x'.repeat(20)]))],
    ['a large nested table', { a: { b: Array.from({ length: 8000 }, () => 'x'.repeat(10)) } }],
  ])('sends %s in the envelope format, as the table is too small', (_what, headers) => {
    const message = throughAmqp(send({ headers }))
    expect(message.properties.contentType).toBe(mediaTypes.envelope)
    expect(JSON.stringify(decode(message, at).headers)).toBe(JSON.stringify(headers))
  })

  it('keeps as many headers as the table holds native', () => {
    const headers = { a: 'x'.repeat(64_000) }
    const message = throughAmqp(send({ headers }))
    expect(message.properties.headers?.a).toBe(headers.a)
  })

  it('sends the payload alone in raw format', () => {
    expect(send({ headers: { a: 'b' } }, 'raw')).toEqual({ content: fields.payload, options: { persistent: true } })
  })
})
