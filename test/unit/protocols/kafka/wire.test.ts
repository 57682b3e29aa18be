import { expect, it } from '@jest/globals'
import { Writer } from '../../../../protocols/kafka/client/wire.ts'

const texts = ['', 'x', '\0', 'é', '€', 'xy', 'é'.repeat(22), 'x'.repeat(64), '€'.repeat(64)]

function written(text: string, size: number): Buffer {
  const writer = new Writer(size)
  writer.buffer.fill(0xc3)
  const start = writer.begin(0)
  return writer.int8(7).text(text).text('z').endWithLength(start).written
}

it.each(texts)('a text and what is around it are written alike, wherever the room ends (case %#)', (text) => {
  const expected = written(text, 10_000)
  expect(expected.includes(Buffer.from(text))).toBe(true)
  const sizes = Array.from({ length: 300 }, (_, size) => size)
  expect(sizes.filter((size) => !written(text, size).equals(expected))).toEqual([])
})
