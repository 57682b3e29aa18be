import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { parseJson, stringifyJson } from '../../../src/envelope/json.ts'
import { fastestCpuMs } from '../../support/fastest.ts'

const parse = (text: string) => parseJson(Buffer.from(text))

test.each([
  ['9007199254740993', 9007199254740993n],
  ['-9007199254740993', -9007199254740993n],
  ['{"a":[1,{"id":12345678901234567890}]}', { a: [1, { id: 12345678901234567890n }] }],
  ['[0.12345678901234567890]', [0.12345678901234568]],
  ['"12345678901234567890"', '12345678901234567890'],
  ['1e400', Number.POSITIVE_INFINITY],
  ['9007199254740991', 9007199254740991],
])('%s', (text, expected) => {
  expect(parse(text)).toEqual(expected)
})

test.each(['', '{', 'nope', '\u0000'])('%j is no JSON', (text) => {
  expect(parse(text)).toBeUndefined()
})

test('no whole number is lost, wherever it stands', () => {
  const whole = fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n })
  const padding = fc.nat(40).map((count) => ' '.repeat(count))
  fc.assert(
    fc.property(fc.array(fc.tuple(padding, whole), { minLength: 1 }), (items) => {
      const text = `[${items.map(([space, value]) => space + value).join(',')}]`
      const parsed = parse(text) as (number | bigint)[]
      expect(parsed.map((value) => BigInt(value))).toEqual(items.map(([, value]) => value))
      expect(stringifyJson(parsed)).toBe(text.replaceAll(' ', ''))
    }),
    { numRuns: 2_000 },
  )
})

test('long runs of digits take no long time', () => {
  const parsing = () => {
    parse(`"${'1'.repeat(2_000_000)}"`)
    parse('1'.repeat(500_000))
  }
  expect(fastestCpuMs(parsing)).toBeLessThan(1_000)
})

test('what has no JSON form is an error', () => {
  expect(() => stringifyJson(undefined)).toThrow(TypeError)
})
