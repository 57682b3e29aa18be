import { describe, expect, it } from '@jest/globals'
import type { InRecord } from '../../../protocols/kafka/client/record-set.ts'
import { decode, encode } from '../../../protocols/kafka/codec.ts'
import { Envelope, type EnvelopeFields, type Format } from '../../../src/envelope/envelope.ts'
import { mediaTypes } from '../../../src/envelope/formats.ts'
import { pairsOf } from './kafka/batches.ts'

const at = { connection: 'events', topic: 'telemetry', partition: 3 }
const nowMs = Date.parse('2026-11-23T20:00:05.000Z')
const fields = {
  messageId: 'm-1',
  timestamp: '2026-11-23T20:00:00.123Z',
  source: 'mqtt://devices/a',
  payload: Buffer.from('{}'),
}

function receive(parts: Partial<InRecord>, format?: Format): Envelope {
  const bare = {
    key: null,
    value: Buffer.from('{"a":1}'),
    headers: undefined,
    timestampMs: 1_763_928_000_123,
    offset: 991,
  }
  return decode({ ...bare, ...parts }, { ...at, format })
}

function send(changes: Partial<EnvelopeFields>, format?: Format, key?: string, hops?: string) {
  return encode({ envelope: new Envelope({ ...fields, ...changes }), target: { key }, format, hops }, nowMs)
}

function textsOf({ headers }: ReturnType<typeof send>): [string, string][] {
  return pairsOf(headers).map(([name, value]) => [name, value === null ? 'null' : Buffer.from(value).toString()])
}

describe('kafka decode', () => {
  it('names a bare record by its place and time', () => {
    const value = Buffer.from('{"a":1}')
    const envelope = receive({ value, key: '7' })
    expect(envelope).toMatchObject({ messageId: 'telemetry/3/991', source: 'kafka://events/telemetry', key: '7' })
    expect(envelope.timestamp).toBe('2025-11-23T20:00:00.123Z')
    expect(envelope.payload).toBe(value)
    expect(Object.keys(envelope.headers)).toEqual([])
  })

  it('keeps a key and a header that are no text as bytes', () => {
    const bytes = Buffer.from([0xff, 0])
    expect(receive({ key: bytes, headers: { sig: bytes } })).toMatchObject({ key: bytes, headers: { sig: bytes } })
  })

  it('keeps repeated headers in order, and null', () => {
    const headers = { tag: ['b', 'a'], gone: null }
    expect({ ...receive({ headers }).headers }).toEqual({ tag: ['b', 'a'], gone: null })
  })

  it('takes the time of now where a record has none', () => {
    const { timestamp } = receive({ timestampMs: -1 })
    expect(Math.abs(Date.parse(timestamp) - Date.now())).toBeLessThan(10_000)
  })

  it('takes the first of an attribute that is repeated', () => {
    expect(receive({ headers: { ce_id: ['first', 'second'] } }).messageId).toBe('first')
  })

  it('keeps the bytes of attributes that are no UTF-8, as text', () => {
    const ce_correlationid = Buffer.from('fffe', 'hex')
    expect(receive({ headers: { ce_correlationid } }).correlationId).toBe('base64:__4')
  })

  it('makes unknown attributes extensions, and those that CloudEvents does not know custom headers', () => {
    const { headers, extensions } = receive({ headers: { ce_subject: 's', ce_foo: 'f', foo: 'g', 'ce_a-b': 'c' } })
    expect({ ...headers }).toEqual({ subject: 's', foo: 'g', 'a-b': 'c' })
    expect({ ...extensions }).toEqual({ foo: 'f' })
  })

  it('takes everything as payload in raw format', () => {
    const headers = { ce_id: 'x', 'content-type': mediaTypes.envelope }
    expect(receive({ headers, key: 'k' }, 'raw')).toMatchObject({ messageId: 'telemetry/3/991', key: 'k' })
    expect(receive({ headers }, 'raw').contentType).toBeUndefined()
  })

  it.each([
    ['no JSON', mediaTypes.envelope, '{'],
    ['no object', mediaTypes.envelope, '[]'],
    ['a field of another type', mediaTypes.envelope, '{"messageId":{}}'],
    ['no id', mediaTypes.cloudevents, '{"specversion":"1.0","source":"s","type":"t"}'],
    ['another specversion', mediaTypes.cloudevents, '{"specversion":"0.3","id":"1","source":"s","type":"t"}'],
    ['a batch', 'application/cloudevents-batch+json', '[]'],
    ['another character set', 'application/cloudevents+json; charset=utf-16', '{}'],
  ])('calls a body malformed that claims a format and has %s', (_what, contentType, body) => {
    const envelope = receive({ headers: { 'content-type': contentType }, value: Buffer.from(body) })
    expect(envelope.malformed?.code).toBe('MESSAGE_MALFORMED')
    expect(envelope.contentType).toBe(contentType)
    expect(String(envelope.payload)).toBe(body)
  })
})

describe('kafka encode', () => {
  it('writes the attributes of the CloudEvents binding', () => {
    const record = send(
      { contentType: 'application/json', eventType: 'Hot', key: '7' },
      undefined,
      undefined,
      'plant-7',
    )
    expect(textsOf(record)).toEqual([
      ['ce_specversion', '1.0'],
      ['ce_id', 'm-1'],
      ['ce_time', fields.timestamp],
      ['ce_source', 'mqtt://devices/a'],
      ['ce_type', 'Hot'],
      ['content-type', 'application/json'],
      ['trivium-hops', 'plant-7'],
    ])
    expect(record).toMatchObject({ key: '7', timestampMs: Date.parse(fields.timestamp) })
    expect(record.value).toBe(fields.payload)
  })

  it("prefers the target's key and keeps the message's own as attribute", () => {
    const record = send({ key: '7' }, undefined, 'berlin')
    expect(record.key).toBe('berlin')
    expect(textsOf(record)).toContainEqual(['ce_partitionkey', '7'])
  })

  it('writes a tombstone in binary and raw format', () => {
    expect(send({ payload: null }).value).toBeNull()
    expect(send({ payload: null }, 'raw')).toMatchObject({ value: null, headers: [] })
  })

  it.each([
    ['in another year', '1999-01-01T00:00:00.000Z'],
    ['an hour ahead', '2026-11-23T21:00:05.000Z'],
    ['no time', 'yesterday'],
  ])("gives the record the time of sending where the sender's clock is %s", (_what, timestamp) => {
    const record = send({ timestamp })
    expect(record.timestampMs).toBe(nowMs)
    expect(textsOf(record)).toContainEqual(['ce_time', timestamp])
  })

  it('spills a header whose name is reserved', () => {
    const headers = { ce_id: 'x', 'content-type': 'y', flag: true, list: ['one'] }
    const texts = textsOf(send({ headers }))
    expect(texts).toContainEqual(['ce_trvheaders', '{"ce_id":"x","content-type":"y"}'])
    expect(texts).toContainEqual(['ce_trvtypes', 'flag=f;list=j'])
    expect(texts).toContainEqual(['list', '["one"]'])
  })

  it('refuses what has expired', () => {
    expect(() => send({ ttlMs: 4000 })).toThrow(expect.objectContaining({ code: 'MESSAGE_EXPIRED', retryable: false }))
  })

  it('embeds JSON in a structured body byte for byte', () => {
    const json = '{ "big": 12345678901234567890, "b": 1.0,\t"a": "\\u0041" }'
    for (const format of ['envelope', 'cloudevents'] as const) {
      const { value, headers } = send({ payload: Buffer.from(json), contentType: 'application/json' }, format)
      expect(String(value)).toContain(`:${json}}`)
      const received = receive({
        value: Buffer.from(value ?? ''),
        headers: Object.fromEntries(pairsOf(headers)) as never,
      })
      expect(String(received.payload)).toBe(json)
    }
  })
})
