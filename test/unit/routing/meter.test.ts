import { describe, expect, test } from '@jest/globals'
import { PermanentError } from '../../../src/errors.ts'
import { compileCondition, compileValue } from '../../../src/routing/expression.ts'
import { compileFilter } from '../../../src/routing/filter.ts'
import { compileTransform } from '../../../src/routing/transform.ts'
import { fastestCpuMs } from '../../support/fastest.ts'
import { scopeWith, subjectOf, thrownBy } from './subjects.ts'

const scope = scopeWith('site')
const numbers = Array.from({ length: 20_000 }, (_, index) => index)
const texts = Array.from({ length: 20_000 }, (_, index) => `text ${index}`)
const long = 'a'.repeat(200_000)
const nested = (levels: number): unknown => Array.from({ length: levels }).reduce((inner) => [inner, inner], 1)
const payload = {
  items: numbers,
  allowed: texts,
  texts,
  long,
  same: `${long}`,
  nearly: `${long.slice(1)}b`,
  objects: numbers.map((n) => ({ n })),
  map: Object.fromEntries(texts.map((text) => [text, 1])),
  csv: texts.join(','),
  deep: nested(14),
  deepToo: nested(14),
  times: numbers.map(() => '2026-01-01T00:00:00Z'),
}
const headers = Object.fromEntries(texts.map((text) => [text, 1]))
const subject = subjectOf(Buffer.from(JSON.stringify(payload)), { headers })
void subject.envelope.json

/** Texts of `v + v` in each other: 2 to the power of `doublings` characters. */
function doubled(doublings: number, body: string): string {
  const names = Array.from({ length: doublings + 1 }, (_, index) => `v${index}`)
  const binds = names.slice(1).map((name, index) => `cel.bind(${name}, ${names[index]} + ${names[index]}, `)
  return `cel.bind(v0, 'ab', ${binds.join('')}${body}${')'.repeat(doublings + 1)}`
}

describe('ends as too costly within 50 ms', () => {
  test.each([
    'payload.items.all(i, i in payload.allowed || true)',
    'payload.items.map(i, payload.items)',
    'payload.items.map(i, payload.items).map(i, i)',
    'payload.items.all(a, payload.items.all(b, a + b >= 0))',
    'payload.items.exists(a, payload.items.exists(b, payload.items.exists(c, a + b + c < 0)))',
    'payload.items.all(i, payload.long == payload.same)',
    'payload.items.all(i, payload.long <= payload.same)',
    'payload.items.all(i, payload.deep == payload.deepToo)',
    'payload.items.all(i, payload.map == payload.map.map(n, n) || payload.objects == payload.objects.map(o, o))',
    'payload.items.all(i, payload.map.exists(name, true))',
    'payload.items.all(i, size(payload.map) > 1)',
    'payload.items.all(i, size(payload.long) > 1)',
    'payload.items.all(i, size(headers) > 0)',
    'payload.items.map(i, payload.long + payload.long)',
    'payload.items.map(i, payload.items + payload.items)',
    "payload.items.map(i, {'a': i, 'b': i, 'c': [i]}).map(i, {'d': i})",
    "payload.items.map(i, payload.long).join('')",
    'payload.items.map(i, string(i)).join(payload.long)',
    "payload.items.map(i, payload.csv.split(','))",
    "payload.items.all(i, payload.csv.split(',').size() > 1)",
    "payload.long.replace('a', payload.long)",
    "payload.items.all(i, payload.long.contains('ab') || true)",
    'payload.items.all(i, payload.long.startsWith(payload.long))',
    'payload.long.lastIndexOf(payload.nearly.substring(100000)) > 0',
    "payload.items.all(i, payload.long.indexOf('aab') < 0)",
    "payload.texts.all(i, payload.csv.substring(0, 2000).matches('a.{30}$') || true)",
    "payload.long.matches('b')",
    'payload.items.all(i, payload.long.lowerAscii() == payload.long)',
    'payload.items.all(i, bytes(payload.long) == bytes(payload.same))',
    'payload.items.all(i, bytes(payload.csv).json() == null)',
    'payload.items.map(i, base64(payload.long))',
    'payload.texts.all(t, int(t) == 1 || true)',
    "payload.times.all(t, timestamp(t).getHours('Europe/Berlin') == 1)",
    'payload.texts.all(t, duration(t) == duration(t) || true)',
    doubled(26, 'size(v26) > 0'),
    doubled(24, 'v24.contains("ba")'),
  ])('%s', (text) => {
    const read = compileValue(text, scope)
    const run = () => expect(thrownBy(() => read(subject))).toMatchObject({ code: 'EXPRESSION_BUDGET' })
    expect(fastestCpuMs(run)).toBeLessThan(50)
  })

  test('a duration of many digits is none, without a long look', () => {
    const digits = subjectOf({ text: '9'.repeat(500_000) })
    const read = compileValue('duration(payload.text)', scope)
    expect(fastestCpuMs(() => expect(read(digits)).toBeUndefined())).toBeLessThan(50)
  })

  test('says which rule', () => {
    const text = 'payload.items.map(i, payload.items)'
    const error = thrownBy(() => compileValue(text, scope)(subject))
    expect(error).toBeInstanceOf(PermanentError)
    expect((error as Error).message).toBe(`'${text}' would take more than 50 ms of work or 64 MiB for this message`)
  })

  test('an entry of set', () => {
    const change = compileTransform(new Map([['payload.copy', 'payload.items.map(i, payload.items)']]), scope)
    expect(thrownBy(() => change?.(subject))).toMatchObject({ code: 'EXPRESSION_BUDGET' })
  })

  test.each([{ field: 'payload.long', operator: 'matches_regex', value: 'b' }] as const)(
    'a filter: $operator',
    (clause) => {
      const passes = compileFilter([clause], scope, { count: 0 })
      expect(fastestCpuMs(() => expect(thrownBy(() => passes(subject))).toBeDefined())).toBeLessThan(50)
    },
  )
})

describe('has room for', () => {
  test.each([
    'payload.items.all(i, i >= 0)',
    'payload.items.exists(i, i == 19999)',
    'payload.items.filter(i, i % 2 == 0).size() == 10000',
    'payload.items.map(i, i * 2).exists(i, i == 38)',
    'payload.objects.exists(o, o.n == 19999)',
    'payload.objects.map(o, o.n) == payload.items',
    "'text 19999' in payload.allowed",
    "'text 19999' in payload.map",
    'payload.deep == payload.deepToo',
    'payload.long == payload.same',
    'size(payload.long) == 200000',
    "payload.csv.split(',').size() == 20000",
    "payload.texts.join(',') == payload.csv",
    "payload.csv.contains('text 19999')",
    "payload.csv.replace('text', 't').size() > 0",
    "payload.csv.matches('text 19999') || true".replace('payload.csv', 'payload.csv.substring(0, 60000)'),
    "payload.texts.exists(t, t.matches('^text 19999$'))",
  ])('%s', (text) => {
    expect(compileCondition(text, scope)(subject)).toBe(true)
  })
})
