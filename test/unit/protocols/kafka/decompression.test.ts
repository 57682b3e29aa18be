import { gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, it } from '@jest/globals'
import { decompress, isShortOfMemory } from '../../../../protocols/kafka/client/compression.ts'
import { lz4Decompress } from '../../../../protocols/kafka/client/lz4.ts'
import { snappyDecompress } from '../../../../protocols/kafka/client/snappy.ts'

const maxBytes = 1000

describe('snappy', () => {
  // length 11; literal 'ab' (tag 4); copy of 9 from 2 back (tag (9-1)<<2|2, two bytes of distance)
  const block = Buffer.from([11, 4, 0x61, 0x62, 0x22, 2, 0])

  it('unfolds literals and overlapping copies', () => {
    expect(snappyDecompress(block, maxBytes).toString()).toBe('abababababa')
  })

  it("reads the Java client's framing", () => {
    const magic = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    const frame = Buffer.from([...magic, 0, 0, 0, block.length, ...block, 0, 0, 0, block.length, ...block])
    expect(snappyDecompress(frame, maxBytes).toString()).toBe('abababababaabababababa')
  })

  it.each([
    ['claims more than is allowed', [0xff, 0xff, 3, 0]],
    ['copies from before its beginning', [4, 0, 0x61, 0x0a, 9, 0]],
    ['ends too early', [11, 4, 0x61, 0x62]],
  ])('refuses a block that %s', (_, bytes) => {
    expect(() => snappyDecompress(Buffer.from(bytes), maxBytes)).toThrow(RangeError)
  })
})

describe('lz4', () => {
  const frame = (block: number[]) =>
    Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0, block.length, 0, 0, 0, ...block, 0, 0, 0, 0])

  it('unfolds literals and overlapping copies', () => {
    // two literals and a copy of 4 + 5 from 2 back; then one literal ends the block
    expect(lz4Decompress(frame([0x25, 0x61, 0x62, 2, 0, 0x10, 0x63]), maxBytes).toString()).toBe('abababababac')
  })

  it('refuses a copy from before its beginning', () => {
    expect(() => lz4Decompress(frame([0x15, 0x61, 9, 0, 0x10, 0x63]), maxBytes)).toThrow(RangeError)
  })
})

describe('decompress', () => {
  it.each([
    ['gzip', 1, gzipSync],
    ['zstd', 4, zstdCompressSync],
  ])('refuses %s that unfolds to more than 128 MiB, as a fault of the batch', async (_, code, compress) => {
    const unfolding = decompress(code, compress(Buffer.alloc(129 * 1024 * 1024)))
    const error: unknown = await unfolding.catch((cause: unknown) => cause)
    expect(error).toMatchObject({ message: 'it unfolds to more than 128 MiB' })
    expect(isShortOfMemory(error)).toBe(false)
  })

  it('tells a machine without memory from a batch that is too large', () => {
    expect(isShortOfMemory(new RangeError('Array buffer allocation failed'))).toBe(true)
    expect(isShortOfMemory(Object.assign(new Error('insufficient memory'), { code: 'Z_MEM_ERROR' }))).toBe(true)
  })
})
