import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { beginEvaluation, exhausted } from '../../../src/routing/meter.ts'
import { compileRegex } from '../../../src/routing/regex.ts'
import { fastestCpuMs } from '../../support/fastest.ts'
import { thrownBy } from './subjects.ts'

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

test.each([
  ['a', 65_536],
  ['a.{30}$', 22_058],
])('a text longer than its pattern can be searched in within 50 ms is too costly: %s', (pattern, length) => {
  const search = compileRegex(pattern)
  expect(search('a'.repeat(length))).toBe(true)
  expect(thrownBy(() => search('a'.repeat(length + 1)))).toBe(exhausted)
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
    for (const text of [`${'a'.repeat(65_535)}!`, `${'xa'.repeat(32_000)}!`]) {
      beginEvaluation()
      try {
        search(text)
      } catch (error) {
        expect(error).toBe(exhausted)
      }
    }
  }
  expect(fastestCpuMs(searches)).toBeLessThan(100)
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
