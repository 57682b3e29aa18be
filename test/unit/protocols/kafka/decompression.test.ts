import { gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, it } from '@jest/globals'
import { codeOf, compress, decompress, isFaultOfMachine } from '../../../../protocols/kafka/client/compression.ts'
import { libraryOf } from '../../../../protocols/kafka/client/library.ts'
import { lz4Compress, lz4Decompress } from '../../../../protocols/kafka/client/lz4.ts'
import { decodeBatches, type InBatch, unfold } from '../../../../protocols/kafka/client/record-set.ts'
import { snappyCompress, snappyDecompress } from '../../../../protocols/kafka/client/snappy.ts'
import { recordsOf } from './batches.ts'

const maxBytes = 1000
const mib = 1024 * 1024
const failureOf = (attempt: Promise<unknown>) => attempt.catch((cause: unknown) => cause)

describe('snappy', () => {
  // length 11; literal 'ab' (tag 4); copy of 9 from 2 back (tag (9-1)<<2|2, two bytes of distance)
  const block = Buffer.from([11, 4, 0x61, 0x62, 0x22, 2, 0])
  const magic = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]

  it('unfolds literals and overlapping copies', async () => {
    expect(String(await snappyDecompress(block, maxBytes))).toBe('abababababa')
  })

  it("reads the Java client's framing", async () => {
    const frame = Buffer.from([...magic, 0, 0, 0, block.length, ...block, 0, 0, 0, block.length, ...block])
    expect(String(await snappyDecompress(frame, maxBytes))).toBe('abababababaabababababa')
  })

  it.each([
    ['claims more than is allowed', [0xff, 0xff, 3, 0]],
    ['claims 4 GiB', [0xff, 0xff, 0xff, 0xff, 0x0f, 0]],
    ['has no length', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
    ['copies from before its beginning', [4, 0, 0x61, 0x0a, 9, 0]],
    ['ends too early', [11, 4, 0x61, 0x62]],
    ['is cut off in its framing', [...magic, 0, 0, 0, 9, ...block]],
    ['is empty', []],
  ])('refuses a block that %s, as a fault of the batch', async (_, bytes) => {
    const error = await failureOf(snappyDecompress(Buffer.from(bytes), maxBytes))
    expect(error).toHaveProperty('message')
    expect(isFaultOfMachine(error)).toBe(false)
  })

  it('counts all blocks together before it unfolds the one too many', async () => {
    const frame = Buffer.from([...magic, 0, 0, 0, block.length, ...block, 0, 0, 0, block.length, ...block])
    await expect(snappyDecompress(frame, 21)).rejects.toThrow('it unfolds to more than 21 bytes')
  })
})

describe('lz4', () => {
  const frame = Buffer.from('04224d1860408230000000', 'hex') // as Java begins one

  it('has blocks of their own, as Java demands', async () => {
    const written = await lz4Compress(Buffer.from('a'))
    expect(written.readUInt32LE(0)).toBe(0x184d2204)
    expect(written.readUInt8(4) & 0x20).toBe(0x20)
  })

  it('refuses by its blocks what may be more than is allowed, before it unfolds them', async () => {
    const zeros = await lz4Compress(Buffer.alloc(10 * mib))
    expect(zeros.length).toBeLessThan(mib / 10)
    await expect(lz4Decompress(zeros, 9 * mib)).rejects.toThrow('may unfold to more')
    expect(await lz4Decompress(zeros, 12 * mib)).toHaveLength(10 * mib)
  })

  it.each([
    ['no frame', Buffer.from('no frame')],
    ['empty', Buffer.alloc(0)],
    ['cut off', frame],
    [
      'a block that copies from before its beginning',
      Buffer.from('04224d1860408206000000156109001063ff00000000', 'hex'),
    ],
  ])('refuses what is %s, as a fault of the batch', async (_, bytes) => {
    const error = await failureOf(lz4Decompress(bytes, 100_000))
    expect(error).toHaveProperty('message')
    expect(isFaultOfMachine(error)).toBe(false)
  })
})

/** Batches as Kafka 4.1's own producer wrote them, of two lines of text. */
const fromJava = {
  snappy:
    'AAAAAAAAAAAAAAByAAAAAAL8RYtfAAIAAAABAAABojG1Q7MAAAGiMbVEWQAAAAAAAAJQAAAAAAAAAAAAAoJTTkFQUFkAAAAAAQAAAAEAAAAtV0BgAAAAAVRmcm9tIEphdmEsIHoLAEAASgDMAgIBPGFuZCBhZ2FpblIxAAAA',
  lz4: 'AAAAAAAAAAAAAABwAAAAAAJbAHCEAAMAAAABAAABojG1TVAAAAGiMbVNfAAAAAAAAAJRAAAAAAAAAAAAAgQiTRhgQIIwAAAA/wJgAAAAAVRmcm9tIEphdmEsIAsADP0BAEgAWAIBPGFuZCBhZ2FpbjAAUEphdmEAAAAAAA==',
}

describe('decompress', () => {
  it.each(Object.entries(fromJava))("reads what Java's producer wrote with %s", async (kind, base64) => {
    const [batch] = decodeBatches(Buffer.from(base64, 'base64')) as [InBatch]
    expect(batch.compression).toBe(codeOf(kind as keyof typeof fromJava))
    const texts = recordsOf(batch, 0, await unfold(batch)).map(({ value }) => String(value))
    expect(texts).toEqual(['from Java, from Java, from Java, from Java', 'and again from Java, from Java'])
  })

  it.each([
    ['gzip', gzipSync],
    ['snappy', snappyCompress],
    ['lz4', lz4Compress],
    ['zstd', zstdCompressSync],
  ] as const)('refuses %s that unfolds to more than 128 MiB, as a fault of the batch', async (kind, pack) => {
    const error = await failureOf(decompress(codeOf(kind), await pack(Buffer.alloc(129 * mib))))
    expect(error).toMatchObject({ message: expect.stringMatching(/unfolds? to more than (128 MiB|134217728 bytes)/) })
    expect(isFaultOfMachine(error)).toBe(false)
  })

  it.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)('gives back what %s made small', async (kind) => {
    const data = Buffer.from('{"temperature":31.5}'.repeat(10_000))
    const packed = await compress(kind, data)
    expect(packed.length < data.length / 10 || kind === 'none').toBe(true)
    expect(await decompress(codeOf(kind), packed)).toEqual(data)
  })

  it('tells a machine without memory or without a library from a batch that is too large', async () => {
    expect(isFaultOfMachine(new RangeError('Array buffer allocation failed'))).toBe(true)
    expect(isFaultOfMachine(Object.assign(new Error('insufficient memory'), { code: 'Z_MEM_ERROR' }))).toBe(true)
    const load = libraryOf('snappy', () => Promise.reject(new Error('Cannot find module')))
    const error = await failureOf(load())
    expect(error).toMatchObject({ message: expect.stringContaining('the package snappy has no library for') })
    expect(isFaultOfMachine(error)).toBe(true)
  })
})
