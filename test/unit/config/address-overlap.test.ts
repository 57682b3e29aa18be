import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { levelsOfPattern, levelsOfTemplate, overlap } from '../../../src/config/checks/address-overlap.ts'
import { compilePattern } from '../../../src/routing/pattern.ts'

const pattern = (text: string) => ({ text, separator: '/', one: '+', rest: '#' }) as const
const mayMeet = (template: string, text: string, staysInLevel: (expression: string) => boolean = () => true) =>
  overlap(levelsOfTemplate(template, '/', staysInLevel), levelsOfPattern(pattern(text)))

describe('overlap', () => {
  test.each([
    ['a/b', 'a/b', true],
    ['a/b', 'a/c', false],
    ['a/b', 'a/+', true],
    ['a/b/c', 'a/+', false],
    ['a', 'a/#', true],
    ['a/{params.x}', 'a/b', true],
    ['a/{params.x}/c', 'a/+/d', false],
    ['a/x-{payload.id}', 'a/y', false],
    ['a/x-{payload.id}', 'a/x-7', true],
    ['a/{{b}}', 'a/b', false],
    ['{payload.x}/b', 'a/{site}', true],
    ["a/{payload.x == '}' ? 'b' : 'c'}", 'a/+', true],
  ])('of a message to %s and a reader of %s: %s', (template, text, expected) => {
    expect(mayMeet(template, text)).toBe(expected)
  })

  test('takes a value that may hold the separator for any number of levels', () => {
    expect(mayMeet('a/{payload.x}', 'a/b/c', () => true)).toBe(false)
    expect(mayMeet('a/{payload.x}', 'a/b/c', () => false)).toBe(true)
    const isOne = (expression: string) => expression === 'x'
    expect(mayMeet('a/{x}/{rest}', 'a/b/c/d', isOne)).toBe(true)
    expect(mayMeet('a/{x}/c/{rest}', 'a/b/e/d', isOne)).toBe(false)
  })

  test('says the same as the router of every literal address', () => {
    const level = fc.constantFrom('a', 'b', 'ab')
    const patternLevel = fc.constantFrom('a', 'b', 'ab', '+')
    const texts = fc
      .tuple(fc.array(patternLevel, { minLength: 1, maxLength: 4 }), fc.boolean())
      .map(([levels, hasRest]) => [...levels, ...(hasRest ? ['#'] : [])].join('/'))
    const addresses = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'))
    fc.assert(
      fc.property(texts, addresses, (text, address) => {
        expect(mayMeet(address, text)).toBe(compilePattern(pattern(text)).match(address) !== undefined)
      }),
    )
  })

  test('never denies what a template can give', () => {
    const level = fc.constantFrom('a', 'b', 'ab')
    const part = fc.oneof(level, fc.constant('{x}'), fc.constant('a{x}'), fc.constant('{x}b'))
    const patternLevel = fc.constantFrom('a', 'b', 'ab', 'aab', '+')
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1, maxLength: 4 }),
        fc.array(patternLevel, { minLength: 1, maxLength: 4 }),
        level,
        (parts, levels, value) => {
          const template = parts.join('/')
          const text = levels.join('/')
          const address = template.replaceAll('{x}', value)
          if (compilePattern(pattern(text)).match(address) !== undefined) expect(mayMeet(template, text)).toBe(true)
        },
      ),
    )
  })
})
