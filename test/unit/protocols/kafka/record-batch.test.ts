import { createRequire } from 'node:module'
import { describe, expect, it } from '@jest/globals'
import { crc32c, crc32cByTable } from '../../../../protocols/kafka/client/crc32c.ts'
import { encodeBatch, type OutRecord } from '../../../../protocols/kafka/client/record-batch.ts'
import { committedBatches, decodeBatches, type InBatch, unfold } from '../../../../protocols/kafka/client/record-set.ts'
import { recordsOf } from './batches.ts'

const load = createRequire(import.meta.url)
const sequence = { producerId: 4711n, epoch: 3, first: 12 }
const records: readonly OutRecord[] = [
  { key: Buffer.from('k'), value: Buffer.from('v'), headers: [], timestampMs: 1_700_000_000_000 },
  {
    key: null,
    value: null,
    headers: [
      ['empty', null],
      ['constructor', 'a'],
      ['constructor', 'b'],
    ],
    timestampMs: 1_700_000_000_500,
  },
  {
    key: Buffer.alloc(0),
    value: Buffer.alloc(70_000, 7),
    headers: [
      ['colour', 'red'],
      ['größe', Buffer.from([0, 255])],
      ['colour', 'blue'],
    ],
    timestampMs: 1_699_000_000_000,
  },
]

async function roundTrip(compression: 'none' | 'gzip' | 'zstd', from = 0) {
  const bytes = await encodeBatch(records, sequence, compression)
  const [batch] = decodeBatches(bytes)
  return recordsOf(batch as InBatch, from, await unfold(batch as InBatch))
}

describe('record batch', () => {
  it.each(['none', 'gzip', 'zstd'] as const)('gives back what was written, compression %s', async (compression) => {
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
