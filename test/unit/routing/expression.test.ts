import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { compileCondition, compileValue } from '../../../src/routing/expression.ts'
import type { RuleError } from '../../../src/routing/rule-error.ts'
import { scopeWith, subjectOf, thrownBy } from './subjects.ts'

const scope = scopeWith('site', 'device')
const evaluate = (text: string, subject = subjectOf({})) => compileValue(text, scope)(subject)
const holds = (text: string, payload: unknown = {}) => compileCondition(text, scope)(subjectOf(payload))
const errorOf = (text: string) => thrownBy(() => compileCondition(text, scope)) as RuleError

describe('a value', () => {
  test.each([
    ['1 + 2', 3],
    ['7 / 2', 3],
    ['7.0 / 2', 3.5],
    ['7 % 4', 3],
    ['-7', -7],
    ['1 + 1.5', 2.5],
    ["'a' + 'b'", 'ab'],
    ['[1, 2] + [3]', [1, 2, 3]],
    ["{'a': 1, 'b': [2]}", { a: 1, b: [2] }],
    ['1 == 1.0', true],
    ['5u + 1u', 6],
    ["size('äö')", 2],
    ["'abc'.substring(1)", 'bc'],
    ["'a,b'.split(',')", ['a', 'b']],
    ["string(1.5) + 'x'", '1.5x'],
    ["int('12') + 1", 13],
    ["timestamp('2026-01-01T00:00:00Z') + duration('1h')", '2026-01-01T01:00:00.000Z'],
    ["type('a') == string", true],
    ['cel.bind(x, 3, x * x)', 9],
    ['[1, 2, 3].filter(i, i > 1).map(i, i * 2)', [4, 6]],
    ['[1, 2, 3].map(i, i > 1, i * 2)', [4, 6]],
    ['[1, 2].all(i, [3, 4].exists(j, j == i + 2))', true],
    ['[1, 1].exists_one(i, i == 1)', false],
    ["{'a': 1}.exists(name, name == 'a')", true],
    ['true ? 1 : 2', 1],
    ['9007199254740993', 9007199254740993n],
  ])('%s', (text, expected) => {
    expect(evaluate(text)).toEqual(expected)
  })

  test.each([
    '1 / 0',
    '1 % 0',
    '1.0 / 0.0',
    '9223372036854775807 + 1',
    "int('x')",
    '[1][5]',
    '[1].map(i, i / 0)',
    'string',
  ])('%s has no value', (text) => {
    expect(evaluate(text)).toBeUndefined()
  })

  test('reads every field of the message by the name users know', () => {
    const fields = {
      destination: 'd',
      eventType: 'e',
      version: 'v',
      correlationId: 'c',
      replyTo: 'r',
      key: 'k',
      contentType: 'text/plain',
      priority: 4,
      ttlMs: 5,
      retryCount: 6,
      headers: { custom: 'x', priority: 'not this one' },
    }
    const subject = subjectOf({ a: [1] }, { ...fields, params: { site: 'berlin' } })
    const text =
      '[messageId, timestamp, source, destination, eventType, version, correlationId, replyTo, key, headers.contentType, headers.priority, headers.ttl, headers.retryCount, headers.custom, params.site, payload.a]'
    expect(evaluate(text, subject)).toEqual([
      'm',
      '2026-01-02T03:04:05Z',
      's',
      'd',
      'e',
      'v',
      'c',
      'r',
      'k',
      'text/plain',
      4,
      5,
      6,
      'x',
      'berlin',
      [1],
    ])
    expect(evaluate('headers', subject)).toEqual({
      custom: 'x',
      contentType: 'text/plain',
      priority: 4,
      ttl: 5,
      retryCount: 6,
    })
  })

  test('keeps whole numbers of the payload that a double cannot hold', () => {
    const subject = subjectOf(Buffer.from('{"id":9007199254740993}'))
    expect(evaluate('payload.id', subject)).toBe(9007199254740993n)
    expect(evaluate('string(payload.id)', subject)).toBe('9007199254740993')
  })

  test('mixes the numbers of JSON and of the rule in all arithmetic and comparison', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, min: -(2 ** 52), max: 2 ** 52 }), fc.integer({ min: 1 }), (t, n) => {
        const subject = subjectOf({ t })
        const given = JSON.parse(JSON.stringify(t)) as number
        for (const [operator, result] of [
          ['+', given + n],
          ['-', given - n],
          ['*', given * n],
          ['/', given / n],
          ['%', given % n],
        ] as const) {
          expect(evaluate(`payload.t ${operator} ${n}`, subject)).toEqual(Number.isFinite(result) ? result : undefined)
        }
        expect(evaluate(`payload.t > ${n}`, subject)).toBe(given > n)
        expect(evaluate(`${n} >= payload.t`, subject)).toBe(n >= given)
        expect(evaluate(`payload.t == ${n}`, subject)).toBe(given === n)
      }),
    )
  })
})

test('arithmetic on whole numbers beyond 64 bits, which JSON has and CEL has not, is that of doubles', () => {
  expect(evaluate('payload * 2', subjectOf(Buffer.from('100000000000000000000')))).toBe(2e20)
})

describe('a missing field', () => {
  test('makes only its own comparison false, on either side', () => {
    expect(holds('payload.a == 1 OR payload.b == 2', { a: 1 })).toBe(true)
    expect(holds('payload.a == 1 OR payload.b == 2', { b: 2 })).toBe(true)
    expect(holds('payload.a == 1 AND payload.b == 2', { a: 1 })).toBe(false)
  })

  test.each([
    'payload.a == 1',
    'payload.a.b.c > 1',
    'payload.list[7] == 1',
    'eventType == "x"',
    'headers.priority > 0',
    'headers["x"] == "y"',
    'params.site == "x"',
    'payload.a',
    'payload.a ? true : false',
    'payload.a in [1]',
    '1 in payload.a',
    'payload.a in [null]',
    'size(payload.a) == 0',
    'size(payload.a) != 0',
    'payload.a + 1 == 1',
    'payload.a + 1 != 1',
    'payload.a.startsWith("x")',
    'payload.a.contains("x")',
    'payload.a.matches("x")',
    'payload.a.all(i, true)',
    'payload.list.exists(i, i.x == 1) || payload.a == 1',
    '[{"y": 1}].exists(i, i.x == 1)',
    '[{"y": 1}].all(i, i.x == 1)',
    'payload.a < payload.b',
    'cel.bind(x, payload.a, x > 1)',
    '[payload.a] == [payload.a]',
    'payload.a.exists(i, true)',
  ])('makes a condition false and is counted: %s', (text) => {
    const misses = { count: 0 }
    expect(compileCondition(text, scope, misses)(subjectOf({ list: [] }))).toBe(false)
    expect(misses.count).toBe(1)
  })

  test.each([
    'payload.a != 1',
    'eventType != "x"',
    'params.site != "x"',
    'payload.list[7] != 1',
    '1 != payload.a',
    '!(payload.a == 1)',
    'NOT payload.a == 1',
    'NOT payload.a > 1',
    'NOT payload.a <= 1',
    'NOT payload.a in [1]',
    'NOT payload.a',
    'NOT size(payload.a) == 0',
    'NOT size(payload.a) != 0',
    'NOT payload.a.startsWith("x")',
    'NOT payload.a.matches("x")',
    'NOT payload.a.exists(i, true)',
    'NOT (payload.a == 1 AND payload.b == 2)',
    'NOT (payload.a == 1 OR payload.b == 2)',
    'payload.a > 1 ? false : true',
    '(payload.a > 1) == false',
    '[payload.a == 1] == [false]',
    '[{"y": 1}].all(i, i.x != 1)',
    'size([{"y": 1}, {"x": 1}].filter(i, i.x == 1)) == 1',
    '[{"y": 1}, {"x": 1}].exists_one(i, i.x == 1)',
    '(true ? payload.a : payload.b) != 1',
    'cel.bind(x, payload.a, x != 1)',
    'payload.a != null || true ? NOT payload.a > 1 : false',
  ])('lets hold what denies it, and is counted: %s', (text) => {
    const misses = { count: 0 }
    expect(compileCondition(text, scope, misses)(subjectOf({ list: [] }))).toBe(true)
    expect(misses.count).toBe(1)
  })

  test.each([
    ['payload.a == null', true],
    ['payload.a != null', false],
    ['null == payload.a', true],
    ['payload.a == payload.b', true],
    ['payload.a != payload.b', false],
    ['eventType == null', true],
    ['eventType != null', false],
    ['headers.x == null', true],
    ['headers.priority == null', true],
    ['payload.list == null', false],
    ['payload.nothing == null', true],
    ['payload.a == payload.nothing', true],
  ])('is null: %s', (text, expected) => {
    const misses = { count: 0 }
    expect(compileCondition(text, scope, misses)(subjectOf({ list: [], nothing: null }))).toBe(expected)
    expect(misses.count).toBe(0)
  })

  test('is false in a value as in a condition', () => {
    expect(evaluate('payload.a > 1')).toBe(false)
    expect(evaluate("{'hot': payload.a > 1, 'known': payload.a != 1}")).toEqual({ hot: false, known: true })
    expect(evaluate('payload.a')).toBeUndefined()
    expect(evaluate("{'a': payload.a}")).toBeUndefined()
  })

  test('is not counted where the rest decides', () => {
    const misses = { count: 0 }
    expect(compileCondition('payload.a == 1 OR payload.b == 2', scope, misses)(subjectOf({ b: 2 }))).toBe(true)
    expect(compileCondition('payload.a == 1 AND payload.b == 2', scope, misses)(subjectOf({ b: 3 }))).toBe(false)
    expect(misses.count).toBe(0)
  })

  test('is what has() asks for', () => {
    expect(holds('has(payload.a)', { a: null })).toBe(true)
    expect(holds('has(payload.a)', {})).toBe(false)
    expect(holds('has(eventType)')).toBe(false)
    expect(holds('has(payload.a.b)', { a: 1 })).toBe(false)
  })

  test.each(['constructor', 'toString', '__proto__', 'hasOwnProperty', 'length'])(
    'is what objects inherit: %s',
    (name) => {
      expect(
        holds(`has(payload['${name}']) || has(payload.list['${name}']) || has(headers['${name}'])`, { list: [1] }),
      ).toBe(false)
    },
  )

  test('is a tombstone, and nothing in a payload that is no JSON', () => {
    expect(compileCondition('has(payload.not)', scope)(subjectOf(Buffer.from('{not json')))).toBe(false)
    const condition = compileCondition('has(payload)', scope)
    expect(condition(subjectOf(null))).toBe(false)
    expect(condition(subjectOf(0))).toBe(true)
  })
})

test('a payload is not parsed for rules that do not look inside', () => {
  const subject = subjectOf(Buffer.from('{'))
  Object.defineProperty(subject.envelope, 'json', {
    get() {
      throw new Error('parsed')
    },
  })
  const misses = { count: 0 }
  expect(compileCondition("source == 's' AND !has(eventType)", scope, misses)(subject)).toBe(true)
})

const needsQuotes = 'Strings need quotes inside an expression'

describe('an error', () => {
  test.each([
    ['eventTyp == "a"', 'eventTyp', "did you mean 'eventType'?"],
    ['payload.x == 1 AND NOT params.sit == "a"', 'sit', "did you mean 'site'?"],
    ["params['sit'] == 'a'", 'sit', "did you mean 'site'?"],
    ['payload.a = 1', '=', "write '==' to compare"],
    ['payload.a & payload.b', '&', "write '&&', or AND"],
    ['payload.a | payload.b', '|', "write '||', or OR"],
    ['payload.a == 1 and true', 'and', "write 'AND' in capitals"],
    ['NOT (payload.a AND nonsense)', 'nonsense', `did you mean 'payload.nonsense'? ${needsQuotes}`],
    ['payload.a == ok', 'ok', `did you mean 'payload.ok'? ${needsQuotes}`],
    ['site == "a"', 'site', "did you mean 'params.site'?"],
    ['priority > 3', 'priority', "did you mean 'headers.priority'?"],
    ['payload.a == True', 'True', "did you mean 'true'?"],
    ['payload.a > AND true', 'AND', "a value is missing before 'AND'"],
    ['payload.a > && true', '&&', "a value is missing before '&&'"],
    ['payload.a NOT in [1]', 'NOT', "'NOT' stands before all that it negates: NOT a == b"],
    ['(payload.a', '', undefined],
    ['payload.a AND eventType > 5', 'eventType > 5', undefined],
    ["payload.a.matches('(x')", "'(x'", undefined],
    ['payload.a.matches(payload.b)', 'payload.b', undefined],
    ['1 + 1', '1 + 1', undefined],
  ])('points into the text of the author: %s', (text, shown, hint) => {
    const error = errorOf(text)
    expect(text.slice(error.offset, error.offset + error.length)).toBe(shown)
    expect(error.hint).toBe(hint)
  })

  test('is one of ours for any text, and stays within it', () => {
    const piece = fc.constantFrom(
      'AND',
      'OR ',
      'NOT ',
      'payload',
      '.a',
      ' == ',
      "'x'",
      '"',
      '(',
      ')',
      '1',
      '[',
      ']',
      '{',
      '}',
      ' ',
      '?',
      ':',
      'has',
      '.map(i, ',
      '$',
      '\n',
      'r"\\',
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join('')),
        ),
        (text) => {
          try {
            compileValue(text, scope)(subjectOf({ a: 1 }))
          } catch (error) {
            const { name, offset, length } = error as RuleError
            expect(name).toBe('RuleError')
            expect(offset).toBeGreaterThanOrEqual(0)
            expect(offset + length).toBeLessThanOrEqual(text.length)
          }
        },
      ),
      { numRuns: 3_000 },
    )
  })

  test.each([
    ['nested too deeply', `${'('.repeat(10_000)}1${')'.repeat(10_000)}`],
    ['too long', Array.from({ length: 10_000 }, (_, index) => `payload.a == ${index}`).join(' || ')],
  ])('refuses what is %s', (message, text) => {
    expect(errorOf(text).message).toContain(message)
  })
})

describe('a value of another kind', () => {
  const payload = { text: 'a', number: 5, list: [1], nothing: null }
  test.each([
    'payload.text > 1',
    'payload.number < "a"',
    'payload.nothing < 1',
    'payload.nothing >= 1',
    '1 in payload.number',
    'payload.number.startsWith("5")',
    'payload.number.matches("5")',
    'size(payload.number) == 1',
    'payload.number.exists(i, true)',
    'payload.text - 1 == 0',
    'payload.text',
  ])('makes its comparison false, and what denies it true: %s', (text) => {
    expect(holds(text, payload)).toBe(false)
    expect(holds(`NOT (${text})`, payload)).toBe(true)
    expect(holds(`${text} || true`, payload)).toBe(true)
  })
})

test('values nested deeper than the stack are no value', () => {
  const deep = Buffer.from(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)
  const subject = subjectOf(deep)
  expect(compileCondition('payload.a == payload.a || true', scope)(subject)).toBe(true)
  expect(evaluate('payload.a', subject)).toBeUndefined()
})
