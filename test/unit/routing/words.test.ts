import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { presenceMacro, rewriteWords, tokensOf } from '../../../src/routing/words.ts'
import { fastestCpuMs } from '../../support/fastest.ts'

test.each([
  ['a AND b OR c', 'a && b || c'],
  ['NOT a == b', '!( a == b)'],
  ['NOT a AND b', '!( a )&& b'],
  ['(NOT a) && b', '(!( a)) && b'],
  ['NOT NOT a', '!( !( a))'],
  ['NOT f(a, NOT b, c)', '!( f(a, !( b), c))'],
  ['NOT a ? b : NOT c', '!( a )? b : !( c)'],
  ["a == 'x AND y' AND b", "a == 'x AND y' && b"],
  ['a == """NOT " b""" OR c', 'a == """NOT " b""" || c'],
  ["a == 'it\\'s NOT' OR c", "a == 'it\\'s NOT' || c"],
  ['payload.OR == 1 OR payload.AND', 'payload.OR == 1 || payload.AND'],
  ['ANDROID OR NOTE', 'ANDROID || NOTE'],
  ['a // AND NOT\nOR b', 'a // AND NOT\n|| b'],
  ['a and b', 'a and b'],
  ['has(a.b)', `${presenceMacro}(a.b)`],
])('%s', (text, expected) => {
  expect(rewriteWords(text).text).toBe(expected)
})

test('every place of the result leads back to the place it came from', () => {
  const piece = fc.constantFrom('AND', 'OR', 'NOT', 'has', 'name', ' ', '(', ')', "'AND'", ',', '.', '==')
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const original = pieces.join('')
      const { text, originOf } = rewriteWords(original)
      for (const { text: token, offset } of tokensOf(text)) {
        if (!/^(name|'AND'|==|,)$/.test(token)) continue
        const origin = originOf(offset, offset + token.length)
        expect(original.slice(origin.offset, origin.offset + origin.length)).toBe(token)
      }
    }),
  )
})

test('no text takes long', () => {
  const rewrites = () => {
    for (const part of ["'", '"""', '\\', "r'", '//', 'NOT ', '(']) rewriteWords(`NOT ${part.repeat(20_000)}`)
  }
  expect(fastestCpuMs(rewrites)).toBeLessThan(2_000)
})
