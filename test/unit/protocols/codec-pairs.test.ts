import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import type { Envelope } from '../../../src/envelope/envelope.ts'
import { envelopes } from './codec-envelopes.ts'
import { amqpWire, httpWire, kafkaWire, mqttWire, type Wire } from './codec-wire.ts'

const nowMs = Date.parse('2026-11-23T20:00:05.000Z')
const protocols: Readonly<Record<string, readonly Wire[]>> = {
  'MQTT 3.1.1': [mqttWire(4, 'envelope'), mqttWire(4, 'cloudevents')],
  'MQTT 5': [mqttWire(5, 'binary'), mqttWire(5, 'envelope'), mqttWire(5, 'cloudevents')],
  AMQP: [amqpWire('binary'), amqpWire('envelope'), amqpWire('cloudevents')],
  HTTP: [httpWire('binary'), httpWire('envelope'), httpWire('cloudevents')],
  Kafka: [kafkaWire('binary'), kafkaWire('envelope'), kafkaWire('cloudevents')],
}

/** All that two envelopes must share, in a form that compares bytes as bytes and -0 as -0. */
function shape(envelope: Envelope): object {
  const { headers, extensions, payload, key } = envelope
  const compared = { headers, extensions, payload, key }
  return {
    ...envelope,
    ...Object.fromEntries(Object.entries(compared).map(([name, each]) => [name, comparable(each)])),
  }
}

function comparable(value: unknown): unknown {
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('hex') }
  if (Array.isArray(value)) return value.map(comparable)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([name, each]) => [name, comparable(each)] as const)
  return { table: entries.toSorted(([a], [b]) => (a < b ? -1 : 1)) }
}

const runs = Number(process.env.TRIVIUM_TEST_RUNS ?? 1000)

describe('there and back through two protocols, in any of their formats', () => {
  for (const [first, firstWires] of Object.entries(protocols)) {
    for (const [second, secondWires] of Object.entries(protocols)) {
      it(`${first} and ${second} keep every field, header and byte`, async () => {
        const ways = fc.tuple(fc.constantFrom(...firstWires), fc.constantFrom(...secondWires))
        const keepsAll = fc.asyncProperty(envelopes(nowMs), ways, async (envelope, [there, back]) => {
          const arrived = await back.carry(await there.carry(envelope, nowMs), nowMs)
          expect(shape(arrived)).toStrictEqual(shape(envelope))
        })
        await fc.assert(keepsAll, { numRuns: runs })
      })
    }
  }
})
