import { describe, expect, it } from '@jest/globals'
import { decodeBatches } from '../../../../protocols/kafka/client/record-set.ts'
import { decode, encode } from '../../../../protocols/kafka/codec.ts'
import { Envelope, type EnvelopeFields, type Format } from '../../../../src/envelope/envelope.ts'
import { encodeBatch, pairsOf, recordsOf } from './batches.ts'

const place = { connection: 'events', topic: 'telemetry', partition: 3 }
const bytes = Buffer.from([0xff, 0, 0xfe])

/** Through Kafka to a target with a key of its own. */
async function carry(fields: Partial<EnvelopeFields>, key: string, format: Format) {
  const timestamp = new Date().toISOString()
  const envelope = new Envelope({ messageId: 'm', timestamp, source: 's', payload: Buffer.from('{}'), ...fields })
  const record = encode({ envelope, target: { key }, format })
  const [batch] = decodeBatches(await encodeBatch([record]))
  if (batch === undefined) throw new Error('no batch')
  const [read] = recordsOf(batch)
  if (read === undefined) throw new Error('no record')
  return { record, arrived: decode(read, place) }
}

describe("kafka codec, beside a target's own key", () => {
  describe.each<Format>(['binary', 'envelope', 'cloudevents'])('in %s', (format) => {
    it.each([
      ['text', '7'],
      ['no text', bytes],
    ])("keeps the envelope's key that is %s", async (_what, key) => {
      const { record, arrived } = await carry({ key, headers: { flag: true } }, 'berlin', format)
      expect(record.key).toBe('berlin')
      expect(arrived.key).toEqual(key)
      expect({ ...arrived.headers }).toEqual({ flag: true })
    })

    it("takes the record's key where the envelope has none", async () => {
      expect((await carry({}, 'berlin', format)).arrived.key).toBe('berlin')
    })
  })

  it('writes bytes as base64 with a mark, as the other protocols do', async () => {
    const { record } = await carry({ key: bytes }, 'berlin', 'binary')
    expect(pairsOf(record.headers)).toContainEqual(['ce_partitionkey', bytes.toString('base64')])
    expect(pairsOf(record.headers)).toContainEqual(['ce_trvtypes', ':key=b'])
  })
})
