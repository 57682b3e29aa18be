import { describe, expect, it } from '@jest/globals'
import { murmur2, partitionOfKey, Sticky } from '../../../../protocols/kafka/client/partitioner.ts'

/** Computed by org.apache.kafka.common.utils.Utils of kafka-clients 4.1.0: hash, and partition among twelve. */
const vectors: readonly (readonly [key: string, hash: number, partition: number])[] = [
  ['', 275646681, 9],
  ['a', -1563381124, 4],
  ['ab', 316155434, 2],
  ['abc', 479470107, 3],
  ['abcd', -1323649548, 8],
  ['21', -973932308, 0],
  ['foobar', -790332482, 6],
  ['a-little-bit-long-string', -985981536, 8],
  ['a-little-bit-longer-string', -1486304829, 11],
  ['sensors/berlin/7', -1815213562, 10],
  ['Zürich', -1551140815, 1],
  ['東京', -1368386005, 7],
  ['device-0001', -580787201, 3],
]

describe('partition of a key', () => {
  it.each(vectors)('is the one of the Java client for %j', (key, hash, partition) => {
    expect(murmur2(Buffer.from(key))).toBe(hash)
    expect(partitionOfKey(Buffer.from(key), 12)).toBe(partition)
    expect(partitionOfKey(key, 12)).toBe(partition)
  })

  it('takes bytes above 127 as the Java client does', () => {
    expect(murmur2(Uint8Array.of(0, 0xff, 0x80, 1, 2, 0xfe, 0x7f))).toBe(-505981495)
  })
})

it('Sticky goes round the usable partitions, one a batch', () => {
  const sticky = new Sticky()
  const chosen = Array.from({ length: 6 }, () => sticky.choose('t', [0, 2, 5]))
  expect(new Set(chosen.slice(0, 3))).toEqual(new Set([0, 2, 5]))
  expect(chosen.slice(3)).toEqual(chosen.slice(0, 3))
})
