import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { compileRegex } from '../../../src/routing/regex.ts'
import { fastestMs } from '../../support/fastest.ts'

test('searches anywhere, as CEL has it', () => {
  expect(compileRegex('b+')('abbc')).toBe(true)
  expect(compileRegex('^b')('abbc')).toBe(false)
  expect(compileRegex('(?i)ALARM')('an alarm')).toBe(true)
})

test.each([
  ['(?=a)', 'not a regular expression'],
  ['(a)\\1', 'not a regular expression'],
  ['[', 'not a regular expression'],
  ['a'.repeat(1_001), 'longer than'],
  ['(a{0,30}){0,30}', 'repeats too much'],
])('refuses %s', (pattern, message) => {
  expect(() => compileRegex(pattern)).toThrow(message)
})

test('a text longer than 64 KiB is not searched', () => {
  expect(compileRegex('a')('a'.repeat(65_536))).toBe(true)
  expect(compileRegex('a')('a'.repeat(65_537))).toBeUndefined()
})

test.each([
  '(a+)+$',
  '(a|a)*$',
  '(a|aa)+$',
  '(.*a){20}$',
  '(x+x+)+y',
  '(a?){60}a{60}',
  '(.*)(.*)(.*)[^a]$',
  '((a*)*)*b',
])('a pattern that brings others to a standstill ends soon: %s', (pattern) => {
  const search = compileRegex(pattern)
  const searches = () => {
    for (const text of [`${'a'.repeat(65_535)}!`, `${'xa'.repeat(32_000)}!`]) search(text)
  }
  expect(fastestMs(searches)).toBeLessThan(1_000)
})

test('agrees with the language for simple patterns', () => {
  const piece = fc.constantFrom('a', 'b', '.', 'a*', 'b+', 'a?', '(a|b)', '[ab]', '^', '$')
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 6 }), fc.stringMatching(/^[abc]{0,12}$/), (pieces, text) => {
      const pattern = pieces.join('')
      expect(compileRegex(pattern)(text)).toBe(new RegExp(pattern).test(text))
    }),
    { numRuns: 2_000 },
  )
})
