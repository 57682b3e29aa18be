import { describe, expect, it } from '@jest/globals'
import type { HeaderValue } from '../../../src/envelope/envelope.ts'
import { fromJson, fromText, isShallow, toJson, toText } from '../../../src/envelope/typed.ts'

function nested(depth: number): HeaderValue {
  let value: HeaderValue = 1
  for (let i = 0; i < depth; i++) value = [value]
  return value
}

describe('typed values', () => {
  it('refuse nesting beyond 64 levels, for good', () => {
    const refused = expect.objectContaining({ code: 'MESSAGE_MALFORMED', retryable: false })
    expect(fromJson(toJson(nested(64)))).toEqual(nested(64))
    expect(() => toJson(nested(65))).toThrow(refused)
    expect(() => fromJson(nested(65))).toThrow(refused)
    expect([isShallow(nested(64)), isShallow(nested(65))]).toEqual([true, false])
  })

  it('stay text where the text is not what its tag says', () => {
    for (const tag of ['n', 'f', 'l', '0', 'j', '?']) expect(fromText('x{', tag)).toBe('x{')
  })

  it('take a table that looks like a mark for a table', () => {
    for (const table of [{ $bytes: 'AA==' }, { $table: { a: 1 } }, { $int: 'x' }, { $number: 1 }]) {
      expect(fromJson(JSON.parse(JSON.stringify(toJson(table))))).toEqual(table)
    }
  })

  it.each([1.5, -0, Number.NaN, 2 ** 60, 12345678901234567890n, true, null])('keep %p as text and as JSON', (value) => {
    const { text, tag } = toText(value)
    expect(fromText(text, tag)).toBe(value)
    expect(fromJson(JSON.parse(JSON.stringify(toJson(value))))).toBe(value)
  })
})
