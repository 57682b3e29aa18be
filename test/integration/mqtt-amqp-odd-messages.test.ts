/** Messages as only a rule with a mistake, or a bug, makes them: each fails alone or arrives, and the connection holds. */

import { afterEach, describe, expect, test } from '@jest/globals'
import type { Outbound, Outcome, Sink } from '../../src/adapter/contract.ts'
import { Envelope, type EnvelopeFields, formats } from '../../src/envelope/envelope.ts'
import * as amqp from '../support/contexts/amqp.ts'
import { never } from '../support/contexts/messages.ts'
import { cleanUp, place } from '../support/contexts/mqtt-broker.ts'
import * as mqtt from '../support/contexts/mqtt-client.ts'
import { unique } from '../support/names.ts'

const benches = [new amqp.Bench(), new mqtt.Bench()]
afterEach(async () => {
  for (const bench of benches) await bench.end()
  await cleanUp()
})

const long = 'x'.repeat(70_000)
const nested = (depth: number) => {
  let value: unknown = 'inside'
  for (let level = 0; level < depth; level += 1) value = level % 2 ? [value] : { value }
  return value
}
const circular: Record<string, unknown> = {}
circular.self = circular

const oddHeaders: Record<string, unknown> = {
  'a value nested 60 deep': { deep: nested(60) },
  'a value nested 100,000 deep': { deep: nested(100_000) },
  'a value within itself': { circular },
  'a name with NUL': { 'a\0b': 'x', 'c\0d': 1, in: { 'e\0f': 'x' } },
  'a name of 70,000 bytes': { [long]: 'x', in: { [long]: 1 } },
  'an empty name': { '': 'x', in: { '': 'x' } },
  'a name that is half a character': { '\ud800': 'x', '\ud801': 1 },
  'values that are half a character': { a: 'x\ud800y', b: ['\udfff', '\ud800'], c: { d: '\udfff' } },
  'a value of 70,000 bytes': { a: long, b: [long], c: Buffer.from(long) },
  'huge numbers': { a: 1e300, b: -1e300, c: 2 ** 63, d: -(2 ** 64), e: [Number.NaN, 2 ** 53 + 2], f: Infinity, g: -0 },
  'big integers': { a: 2n ** 200n, b: -(2n ** 70n), c: [1n, { d: 2n ** 64n }] },
  'values of no kind a header has': { a: Symbol('x'), b: () => 1, c: new Date(0), d: [undefined], e: undefined },
  'half of a typed value': { a: { '!': 'timestamp', value: 'now' }, b: { '!': 'decimal' }, c: { '!': 7, value: 1 } },
}
const oddFields: Record<string, unknown> = {
  'a content type of 70,000 bytes': { contentType: long },
  'a content type with NUL': { contentType: 'text/\0plain' },
  'a content type that is no text': { contentType: 7 },
  'fields that are half a character': { contentType: '\ud800', eventType: '\ud800', source: '\ud800', key: '\ud800' },
  'an id of 70,000 bytes': { messageId: long, correlationId: long, eventType: long },
  'empty fields': {
    messageId: '',
    correlationId: '',
    eventType: '',
    contentType: '',
    key: '',
    source: '',
    replyTo: '',
  },
  'answers to nowhere': { replyTo: `amqp:${long}` },
  'answers to a topic that is none': { replyTo: 'mqtt:a/#/\0' },
  'a priority beyond a byte': { priority: 1e9 },
  'a priority below 0': { priority: -1.5 },
  'time to live for ever': { ttlMs: 1e300 },
  'a time to live that is no number': { ttlMs: Number.NaN },
  'half a millisecond to live': { ttlMs: 1e9 + 0.5, timestamp: new Date().toISOString() },
  'a time that is none': { timestamp: 'yesterday', ttlMs: 1_000 },
  'a payload that is no bytes': { payload: 'text' },
  'a payload that throws': {
    get payload() {
      throw new Error('a bug of ours')
    },
  },
}
const odd: readonly (readonly [string, object])[] = [
  ...Object.entries(oddHeaders).map(([name, headers]) => [name, { headers }] as const),
  ...Object.entries(oddFields).map(([name, fields]) => [name, fields as object] as const),
]

function envelopeOf(fields: object): Envelope {
  const plain = { messageId: '1', timestamp: '2026-02-03T04:05:06Z', source: 's', payload: Buffer.from('{"a":1}') }
  const envelope = new Envelope(plain as EnvelopeFields)
  return Object.defineProperties(envelope, Object.getOwnPropertyDescriptors(fields))
}

/** Each odd message between two plain ones, in every format. */
function batchOf<Target>(target: Target): { readonly names: readonly string[]; readonly batch: Outbound<Target>[] } {
  const names = ['plain']
  const batch: Outbound<Target>[] = [{ envelope: envelopeOf({}), target, format: undefined }]
  for (const format of [undefined, ...formats]) {
    for (const [name, fields] of odd) {
      names.push(`${format}: ${name}`, 'plain')
      batch.push(
        { envelope: envelopeOf(fields), target, format },
        { envelope: envelopeOf({}), target, format: undefined },
      )
    }
  }
  return { names, batch }
}

async function sendOdd<Target>(sink: Sink<Target>, target: Target): Promise<Record<string, string>> {
  const { names, batch } = batchOf(target)
  let isLost = false
  void sink.lost().then(() => {
    isLost = true
  })
  const outcomes = await sink.send(batch, never)
  const told: Record<string, string> = {}
  for (const [i, outcome] of outcomes.entries()) {
    const text = textOf(outcome)
    if (names[i] === 'plain' ? text !== 'delivered' : outcome.kind === 'retryable') told[`${i} ${names[i]}`] = text
  }
  const again = await sink.send(batch.slice(0, 1), never)
  return { ...told, lost: String(isLost), afterwards: textOf(again[0]!) }
}

const textOf = (outcome: Outcome) =>
  outcome.kind === 'delivered' ? 'delivered' : `${outcome.kind} ${outcome.error.code}: ${outcome.error.message}`
const allWell = { lost: 'false', afterwards: 'delivered' }

describe('odd messages', () => {
  test.each([5, 4])('of MQTT, version %i', async (protocolVersion) => {
    const sink = await (benches[1] as mqtt.Bench).sink(mqtt.connectionOf({ protocolVersion }))
    expect(await sendOdd(sink, mqtt.outbound(unique('odd'), '').target)).toEqual(allWell)
  })

  test('of the embedded MQTT broker', async () => {
    const sink = await (await place()).sink()
    expect(await sendOdd(sink, mqtt.outbound('odd', '').target)).toEqual(allWell)
  })

  test('of AMQP', async () => {
    const bench = benches[0] as amqp.Bench
    const sink = await bench.sink()
    expect(await sendOdd(sink, amqp.targetOf({ queue: await bench.queue() }))).toEqual(allWell)
  })
})
