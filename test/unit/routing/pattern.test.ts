import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { AddressPattern } from '../../../src/adapter/protocol.ts'
import { AddressIndex } from '../../../src/routing/address-index.ts'
import { compilePattern } from '../../../src/routing/pattern.ts'
import type { RuleError } from '../../../src/routing/rule-error.ts'
import { fastestCpuMs } from '../../support/fastest.ts'
import { thrownBy } from './subjects.ts'

const mqtt = (text: string): AddressPattern => ({ text, separator: '/', one: '+', rest: '#' })
const amqp = (text: string): AddressPattern => ({ text, separator: '.', one: '*', rest: '#' })
const kafka = (text: string): AddressPattern => ({ text, separator: '.' })
const match = (pattern: AddressPattern, address: string) => compilePattern(pattern).match(address)

describe('an MQTT pattern', () => {
  test.each([
    ['a/b', 'a/b', {}],
    ['a/b', 'a/b/c', undefined],
    ['a/+', 'a/b', {}],
    ['a/+', 'a/', {}],
    ['a/+', 'a', undefined],
    ['a/#', 'a', {}],
    ['a/#', 'a/b/c', {}],
    ['a/#', 'ab', undefined],
    ['#', 'a/b', {}],
    ['#', '$SYS/a', undefined],
    ['+/a', '$SYS/a', undefined],
    ['{x}/a', '$SYS/a', undefined],
    ['$SYS/#', '$SYS/a', {}],
    ['+/+', '/x', {}],
    ['s/{site}/{device}/t', 's/berlin/7/t', { site: 'berlin', device: '7' }],
    ['s/{site}/{path#}', 's/berlin/a/b', { site: 'berlin', path: 'a/b' }],
    ['s/{site}/{path#}', 's/berlin', { site: 'berlin', path: '' }],
    ['s/{site}/#', 's', undefined],
  ])('%s and %s', (pattern, address, expected) => {
    expect(match(mqtt(pattern), address)).toEqual(expected)
  })
})

test('an AMQP pattern may have the rest anywhere', () => {
  expect(match(amqp('#.error.#'), 'a.b.error.c')).toEqual({})
  expect(match(amqp('{before#}.error.{after#}'), 'a.b.error.c')).toEqual({ before: 'a.b', after: 'c' })
  expect(match(amqp('*.#.x'), 'x')).toBeUndefined()
  expect(match(amqp('#.x'), 'x')).toEqual({})
})

test('a Kafka pattern has no wildcards of its own, and a pattern without levels is a literal', () => {
  expect(match(kafka('telemetry.{site}'), 'telemetry.berlin')).toEqual({ site: 'berlin' })
  expect(match(kafka('a.#'), 'a.b')).toBeUndefined()
  expect(match({ text: 'a.{x}', separator: undefined }, 'a.{x}')).toEqual({})
})

test.each([
  [mqtt('a/#/b'), '#', 'the rest must be the last'],
  [mqtt('a/{x#}/b'), '{x#}', 'the rest must be the last'],
  [kafka('{x#}.b'), '{x#}', 'the rest must be the last'],
  [mqtt('a+/b'), 'a+', 'must be a whole level'],
  [mqtt('x/a#'), 'a#', 'must be a whole level'],
  [mqtt('a/{x'), '{x', 'not closed'],
  [mqtt('a/x}'), 'x}', "'}' without '{'"],
  [mqtt('a/{}'), '{}', 'needs a name'],
  [mqtt('a/{x}/{x}'), '{x}', 'captured twice'],
  [mqtt('a/b-{x}'), 'b-{x}', 'a whole level'],
  [mqtt('a/{1x}'), '{1x}', 'is not a capture'],
  [mqtt('a/{__proto__}'), '{__proto__}', 'cannot be the name'],
  [mqtt(''), '', 'cannot be empty'],
])('refuses $text', (pattern, shown, message) => {
  const error = thrownBy(() => compilePattern(pattern)) as RuleError
  expect(error.message).toContain(message)
  expect(pattern.text.slice(error.offset, error.offset + error.length)).toBe(shown)
})

test('a second capture of a name is shown where it stands', () => {
  expect((thrownBy(() => compilePattern(mqtt('a/{x}/{x}'))) as RuleError).offset).toBe(6)
})

describe('an index', () => {
  const level = fc.constantFrom('a', 'b', '', '$x')
  const patternLevel = fc.oneof(level, fc.constantFrom('+', '*', '{x}', '{y}'))
  const levels = (separator: string, wildcard: string) =>
    fc
      .tuple(fc.array(patternLevel, { minLength: 1, maxLength: 4 }), fc.constantFrom('', '#', '{rest#}'))
      .map(([parts, rest]) => [...new Set(parts.map((part) => (/^[+*]$/.test(part) ? wildcard : part))), rest])
      .map((parts) => (parts.at(-1) === '' ? parts.slice(0, -1) : parts).join(separator) || 'a')
  const anyPattern = fc.oneof(
    levels('/', '+').map(mqtt),
    levels('.', '*').map(amqp),
    fc
      .array(fc.constantFrom('a', '#', '*', '{x}'), { minLength: 1, maxLength: 5 })
      .map((parts) => amqp(parts.map((part, index) => (part === '{x}' ? `{x${index}}` : part)).join('.'))),
  )

  test('finds what each pattern alone would match, in the order of the entries', () => {
    const address = fc
      .tuple(fc.array(level, { minLength: 1, maxLength: 5 }), fc.constantFrom('/', '.'))
      .map(([parts, separator]) => parts.join(separator))
    fc.assert(
      fc.property(
        fc.array(anyPattern, { maxLength: 8 }),
        fc.array(address, { maxLength: 8 }),
        (patterns, addresses) => {
          const index = new AddressIndex(patterns.map((pattern, value) => ({ pattern, value })))
          for (const found of addresses) {
            const expected = patterns.flatMap((pattern, value) => {
              const params = match(pattern, found)
              return params === undefined ? [] : [{ value, params }]
            })
            expect(index.lookup(found).map(({ value, params }) => ({ value, params }))).toEqual(expected)
          }
        },
      ),
      { numRuns: 3_000 },
    )
  })

  test('costs no more for patterns that do not match', () => {
    const entries = Array.from({ length: 50_000 }, (_, value) => ({ pattern: mqtt(`site-${value}/{device}/t`), value }))
    const index = new AddressIndex(entries)
    const lookups = () => {
      for (let turn = 0; turn < 10_000; turn += 1) index.lookup('site-777/x/t')
    }
    expect(fastestCpuMs(lookups)).toBeLessThan(500)
    expect(index.lookup('site-777/x/t')).toMatchObject([{ value: 777, params: { device: 'x' } }])
  })

  test('many wildcards do not multiply', () => {
    const text = Array(30).fill('#.a').join('.')
    const index = new AddressIndex([{ pattern: amqp(text), value: 1 }])
    const ms = fastestCpuMs(() => {
      expect(index.lookup(`${'a.'.repeat(29)}b`)).toEqual([])
      expect(match(amqp(text), `${'a.'.repeat(29)}b`)).toBeUndefined()
    })
    expect(ms).toBeLessThan(200)
  })
})
