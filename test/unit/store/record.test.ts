import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { Envelope } from '../../../src/envelope/envelope.ts'
import { PermanentError } from '../../../src/errors.ts'
import { decodeEnvelope, encodeFields } from '../../../src/store/record.ts'
import { envelopes } from '../protocols/codec-envelopes.ts'
import { append, message, open, readAll, temporaryDirectory } from './stores.ts'

const kept = (envelope: Envelope) => decodeEnvelope({ fields: encodeFields(envelope), payload: envelope.payload })

test('any envelope comes back as it was', () => {
  fc.assert(
    fc.property(envelopes(Date.parse('2026-11-23T20:00:00Z')), (envelope) => {
      expect(comparable(kept(envelope))).toStrictEqual(comparable(envelope))
    }),
    { numRuns: 1000 },
  )
})

test('any envelope comes back from the file as it was', async () => {
  const store = open(temporaryDirectory())
  store.outbox.route('first', ['a'])
  const all = fc.sample(envelopes(Date.parse('2026-11-23T20:00:00Z')), 300).map((each) => each.with({ priority: 0 }))
  for (const envelope of all) append(store, { envelope, key: envelope.key })
  await store.flushed()
  const found = readAll(store).map(({ envelope }) => comparable(envelope))
  expect(found).toStrictEqual(all.map(comparable))
})

test.each([
  ['numbers that JSON lacks', { ttlMs: Number.NaN, retryCount: -0, priority: Number.POSITIVE_INFINITY }],
  ['halves of surrogate pairs', { messageId: '\ud800', source: 'a\udc00b', key: '\udfff' }],
  ['names that mean something to JavaScript', { headers: headers({ ['__proto__']: 'x', toString: 'y' }) }],
  ['names that V8 takes for each other', { headers: headers({ '\\': '1', '"': '2', '\\"': '3' }) }],
  ['a table apart from an array', { headers: headers({ a: ['1', ['2']], b: { 0: '1', $bytes: 'AA==' }, c: [] }) }],
  ['a malformed body', { malformed: new PermanentError('MESSAGE_MALFORMED', 'not valid JSON') }],
  ['types of AMQP', { headers: headers({ a: 5 }), headerTypes: '^a=l' }],
  ['extensions', { extensions: headers({ traceparent: '00', sequence: 7, sampled: true }) }],
  ['a key of bytes', { key: new Uint8Array([0, 255]) }],
  ['an empty payload', { payload: new Uint8Array(0) }],
  ['no payload', { payload: null }],
  ['the retain flag', { retain: true }],
  ['empty texts', { destination: '', contentType: '', hops: '', replyTo: '', key: '' }],
])('keeps %s', (_, fields) => {
  const envelope = message(fields as object)
  expect(comparable(kept(envelope))).toStrictEqual(comparable(envelope))
})

test.each(['', '{', '{}', '"x"', 'null'])('fields that nobody wrote are told: %s', (fields) => {
  expect(() => decodeEnvelope({ fields, payload: null })).toThrow(expect.objectContaining({ code: 'STORE_DAMAGED' }))
})

function headers(table: object): Record<string, unknown> {
  return Object.assign(Object.create(null), table)
}

/** Byte arrays of any class as hex, headers by name; -0 and NaN stay. */
function comparable(envelope: Envelope): unknown {
  const { malformed, ...fields } = envelope
  return plain({ ...fields, malformed: malformed && [malformed.code, malformed.message] })
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return { hex: Buffer.from(value).toString('hex') }
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return new Map(Object.entries(value).map(([name, inner]) => [name, plain(inner)]))
}
