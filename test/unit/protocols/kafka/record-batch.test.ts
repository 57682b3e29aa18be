import { createRequire } from 'node:module'
import { describe, expect, it } from '@jest/globals'
import type { Compression } from '../../../../protocols/kafka/client/compression.ts'
import { crc32c, crc32cByTable } from '../../../../protocols/kafka/client/crc32c.ts'
import { BatchBuilder, type OutRecord } from '../../../../protocols/kafka/client/record-batch.ts'
import { committedBatches, decodeBatches, type InBatch, unfold } from '../../../../protocols/kafka/client/record-set.ts'
import { encodeBatch, recordsOf } from './batches.ts'

const load = createRequire(import.meta.url)
const sequence = { producerId: 4711n, epoch: 3, first: 12 }
const records: readonly OutRecord[] = [
  { key: Buffer.from('k'), value: Buffer.from('v'), headers: [], timestampMs: 1_700_000_000_000 },
  {
    key: null,
    value: null,
    headers: ['empty', null, 'constructor', 'a', 'constructor', 'b'],
    timestampMs: 1_700_000_000_500,
  },
  {
    key: Buffer.alloc(0),
    value: Buffer.alloc(70_000, 7),
    headers: ['colour', 'red', 'größe', Buffer.from([0, 255]), 'colour', 'blue'],
    timestampMs: 1_699_000_000_000,
  },
]

async function roundTrip(compression: Compression, from = 0) {
  const bytes = await encodeBatch(records, sequence, compression)
  const [batch] = decodeBatches(bytes)
  return recordsOf(batch as InBatch, from, await unfold(batch as InBatch))
}

describe('record batch', () => {
  it.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)(
    'gives back what was written, compression %s',
    async (compression) => {
      const [first, second, third] = await roundTrip(compression)
      expect(first).toEqual({
        offset: 0,
        timestampMs: 1_700_000_000_000,
        key: 'k',
        value: Buffer.from('v'),
        headers: undefined,
      })
      expect(second).toMatchObject({ offset: 1, timestampMs: 1_700_000_000_500, key: null, value: null })
      expect({ ...second?.headers }).toEqual({ empty: null, constructor: ['a', 'b'] })
      expect(third).toMatchObject({ timestampMs: 1_699_000_000_000, key: '', value: Buffer.alloc(70_000, 7) })
      expect({ ...third?.headers }).toEqual({ colour: ['red', 'blue'], größe: Buffer.from([0, 255]) })
    },
  )

  it.each([0, 1, 20, 21, 22, 62, 63, 64, 65, 127, 128, 8191, 8192, 70_000])(
    'gives back texts and bytes of length %d, whatever room was left for the length',
    async (length) => {
      for (const text of ['x'.repeat(length), 'é'.repeat(length), '€'.repeat(length)]) {
        const record = { key: text, value: Buffer.from(text), headers: [text, text], timestampMs: 0 }
        const [batch] = decodeBatches(await encodeBatch([record, record]))
        const expected = { key: text, value: Buffer.from(text), headers: expect.objectContaining({ [text]: text }) }
        expect(recordsOf(batch as InBatch)).toMatchObject([expected, expected])
      }
    },
  )

  it('ends before the record that would make it too large, and takes the first whatever its size', async () => {
    const record = { key: null, value: Buffer.alloc(100), headers: [], timestampMs: 0 }
    const batch = new BatchBuilder(0)
    expect([1, 2, 3].map(() => batch.add(record, 300))).toEqual([true, true, false])
    expect(batch.count).toBe(2)
    const bytes = await batch.finish(sequence, 'none')
    expect(bytes.length).toBeLessThanOrEqual(300)
    expect(recordsOf(decodeBatches(bytes)[0] as InBatch)).toHaveLength(2)
    expect(new BatchBuilder(0).add(record, 10)).toBe(true)
  })

  it('leaves out what lies before the offset asked for', async () => {
    expect((await roundTrip('none', 2)).map(({ offset }) => offset)).toEqual([2])
  })

  it('is read by kafkajs', async () => {
    const decode = load('kafkajs/src/protocol/recordBatch/v0/decoder') as (decoder: unknown) => Promise<{
      producerId: string
      firstSequence: number
      records: readonly { key: Buffer | null; value: Buffer | null }[]
    }>
    const Decoder = load('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => unknown
    const batch = await decode(new Decoder(await encodeBatch(records, sequence, 'gzip')))
    expect(batch).toMatchObject({ producerId: '4711', producerEpoch: 3, firstSequence: 12 })
    expect(batch.records.map(({ value }) => value?.length ?? null)).toEqual([1, null, 70_000])
  })

  it('is refused when a bit has changed', async () => {
    const bytes = await encodeBatch(records, sequence, 'none')
    bytes[200] = (bytes[200] as number) ^ 1
    const [batch] = decodeBatches(bytes)
    expect(batch).toMatchObject({
      lastOffset: 2,
      fault: { reason: expect.stringContaining('checksum'), mayPass: true },
    })
  })

  it('is left out when the response cuts it off', async () => {
    const whole = await encodeBatch(records, sequence, 'none')
    expect(decodeBatches(Buffer.concat([whole, whole.subarray(0, whole.length - 1)]))).toHaveLength(1)
  })
})

it('committedBatches leaves out control batches and what was aborted', () => {
  const batch = (firstOffset: number, producerId: bigint, kind: 'plain' | 'transactional' | 'abort') => ({
    firstOffset,
    lastOffset: firstOffset,
    producerId,
    isTransactional: kind !== 'plain',
    isControl: kind === 'abort',
    count: kind === 'abort' ? 1 : 0,
    firstTimestamp: 0,
    appendTimestamp: undefined,
    compression: 0,
    bytes: Buffer.alloc(0),
    fault: undefined,
    // length 10, attributes, time, offset, key of four bytes (version 0, type 0: abort), value null, no headers
    records: Buffer.from([20, 0, 0, 0, 8, 0, 0, 0, 0, 1, 0]),
  })
  const batches = [
    batch(0, 1n, 'transactional'),
    batch(1, 2n, 'transactional'),
    batch(2, 3n, 'plain'),
    batch(3, 1n, 'abort'),
    batch(4, 1n, 'transactional'),
  ]
  const kept = committedBatches(batches, [{ producerId: 1n, firstOffset: 0 }])
  expect(kept.map(({ firstOffset }) => firstOffset)).toEqual([1, 2, 4])
})

it.each([crc32c, crc32cByTable])('%p equals the published check value', (checksum) => {
  expect(checksum(Buffer.from('123456789'))).toBe(0xe3069283)
})
