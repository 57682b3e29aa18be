import { describe, expect, test } from '@jest/globals'
import { Environment } from '@marcbachmann/cel-js'
import { Envelope } from '../../../src/envelope/envelope.ts'
import { compileValue } from '../../../src/routing/expression.ts'
import { functionRows } from '../../../src/routing/functions.ts'
import type { RuleError } from '../../../src/routing/rule-error.ts'
import { scopeWith, subjectOf, thrownBy } from './subjects.ts'

const scope = scopeWith()
const evaluate = (text: string, subject = subjectOf({})) => compileValue(text, scope)(subject)

describe('the table of functions', () => {
  test.each(functionRows.map(({ example, gives }) => [example, gives]))(
    'has examples that are true: %s',
    (text, gives) => {
      const value = evaluate(text as string)
      if (gives === undefined) expect(value).toBeDefined()
      else expect(value).toEqual(gives)
    },
  )

  test('has all of the library, but its optional values', () => {
    const names = new Environment().getDefinitions().functions.map(({ name }) => name)
    const optional = ['hasValue', 'value', 'none', 'of', 'or', 'orValue']
    const known = functionRows.map(({ name }) => name)
    expect(names.filter((name) => !known.includes(name) && !optional.includes(name))).toEqual([])
  })
})

test.each([
  ['round(2.5)', 3],
  ['round(-2.5)', -3],
  ['round(1.005, 2)', 1.01],
  ['round(0.1 + 0.2, 1)', 0.3],
  ['round(123456.789, 0)', 123457],
  ['round(1e300, 3)', 1e300],
  ['round(7)', 7],
  ['round(7, 2)', 7],
  ['round(payload.x, 1)', 21.4],
  ['floor(payload.x)', 21],
  ['ceil(payload.x)', 22],
  ['abs(-payload.x)', 21.37],
  ['abs(-9223372036854775807)', 9223372036854775807n],
  ["'aaa'.replace('a', 'b', 2)", 'bba'],
  ["'aaa'.replace('', 'b')", 'aaa'],
  ["'a.b'.replace('.', '')", 'ab'],
  ["'x'.base64()", 'eA=='],
  ["base64(bytes('ö'))", 'w7Y='],
  ["size('😀a')", 2],
  ['size(payload)', 1],
  ["'a,b,c'.split(',', 2)", ['a', 'b,c']],
  ["'a,b'.split(',', 0)", []],
  ["bytes('[1]').json()", [1]],
])('%s', (text, expected) => {
  expect(evaluate(text, subjectOf({ x: 21.37 }))).toEqual(expected)
})

test.each([
  'round(payload.t)',
  'round(payload.x, 16)',
  'round(payload.x, -1)',
  'abs(payload.t)',
  'payload.x.replace("a", "b")',
  'base64(payload.x)',
  'size(payload.x)',
  'size(true ? timestamp(0) : timestamp(0))',
])('%s has no value', (text) => {
  const read = () => compileValue(text, scope)(subjectOf({ x: 1.5, t: 'a' }))
  let value: unknown
  try {
    value = read()
  } catch (error) {
    expect(error).toMatchObject({ name: 'RuleError' })
  }
  expect(value).toBeUndefined()
})

test('now and uuid are the same however often a message is decided upon, and others for others', () => {
  const [one, again] = [subjectOf({}), subjectOf({})]
  const other = { ...one, envelope: new Envelope({ ...one.envelope, messageId: 'other' }), receivedAt: 0 }
  for (const text of ['now()', 'uuid()']) {
    expect(evaluate(text, one)).toEqual(evaluate(text, again))
    expect(evaluate(text, one)).not.toEqual(evaluate(text, other))
  }
  expect(evaluate('uuid()')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
})

test.each([
  ['rund(payload.x)', 'round'],
  ['payload.x.lower()', 'lowerAscii'],
  ['payload.x.toUpperCase()', 'upperAscii'],
  ['length(payload.x)', 'size'],
  ['payload.x.substr(1)', 'substring'],
  ['payload.x.startswith("a")', 'startsWith'],
  ['payload.x.replaceAll("a", "b")', 'replace'],
  ['guid()', 'uuid'],
  ['ceiling(payload.x)', 'ceil'],
  ['payload.x.includes("a")', 'contains'],
])('an unknown function names its nearest: %s', (text, nearest) => {
  const error = thrownBy(() => compileValue(text, scope)) as RuleError
  expect(error.message).toContain('no such function')
  expect(error.hint).toBe(`did you mean '${nearest}'?`)
})

test('a function that resembles none is told where they stand', () => {
  expect((thrownBy(() => compileValue('frobnicate(1)', scope)) as RuleError).hint).toContain('expressions.md')
})

test.each([
  ["base64.encode(payload.x) == 'a'", "did you mean 'base64(…)'?"],
  ["strings.upperAscii(payload.x) == 'A'", "did you mean 'upperAscii(…)'?"],
  ['payload.x == math.abs(payload.y)', "did you mean 'abs(…)'?"],
  ['device.name(payload.y)', "did you mean 'payload.device'? Strings need quotes inside an expression"],
])('a function of another dialect of CEL is told by its name here: %s', (text, hint) => {
  expect((thrownBy(() => compileValue(text, scope)) as RuleError).hint).toBe(hint)
})
