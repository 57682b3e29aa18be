/** AMQP tables, written and read by the tests' own code, through each codec in each format, and the store. */
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { propertiesBytes } from '../../../protocols/amqp/client/publish-writer.ts'
import { readProperties } from '../../../protocols/amqp/client/reader.ts'
import { decode, encode } from '../../../protocols/amqp/codec.ts'
import type { Envelope } from '../../../src/envelope/envelope.ts'
import { decodeEnvelope, encodeFields } from '../../../src/store/record.ts'
import { readProperties as readRaw, type Table, writeTable } from '../../support/brokers/amqp-raw.ts'
import { cases, tables, withoutOurs } from '../../support/brokers/amqp-tables.ts'
import { amqpWire, kafkaWire, mqttWire, type Wire } from './codec-wire.ts'

const nowMs = Date.now()

function received(table: Table): Envelope {
  const properties = readProperties(Buffer.concat([Buffer.from([0x20, 0]), writeTable(table)]))
  return decode({ content: Buffer.from('{}'), properties: properties as never }, { connection: 'orders', queue: 'q' })
}

function sent(envelope: Envelope): Table {
  const { options } = encode({ envelope, target: {}, format: undefined }, nowMs)
  return withoutOurs(readRaw(propertiesBytes(options)).headers)
}

const store: Wire = {
  name: 'the store',
  carry: async (envelope) => decodeEnvelope({ fields: encodeFields(envelope), payload: envelope.payload }),
}
const direct: Wire = { name: 'nothing else', carry: async (envelope) => envelope }
const wires = [
  ...[direct, store, amqpWire('binary'), amqpWire('envelope'), amqpWire('cloudevents')],
  ...[kafkaWire('binary'), kafkaWire('envelope'), kafkaWire('cloudevents')],
  ...[mqttWire(5, 'binary'), mqttWire(5, 'envelope'), mqttWire(5, 'cloudevents')],
  ...[mqttWire(4, 'envelope'), mqttWire(4, 'cloudevents')],
]

describe.each(wires.map((wire) => [wire.name, wire] as const))('an AMQP table through %s', (_name, wire) => {
  const carried = async (table: Table) => sent(await wire.carry(received(table), nowMs))

  it('has every type as it was', async () => {
    for (const [name, field] of Object.entries(cases))
      expect(await carried({ [name]: field })).toEqual({ [name]: field })
  })

  it('is what it was, whatever it holds', async () => {
    await fc.assert(
      fc.asyncProperty(tables, async (table) => expect(await carried(table)).toEqual(table)),
      { numRuns: Number(process.env.TRIVIUM_TEST_RUNS ?? 300) },
    )
  })
})
