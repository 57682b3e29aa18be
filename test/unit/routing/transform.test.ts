import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { PermanentError } from '../../../src/errors.ts'
import { spliceJson } from '../../../src/routing/json-splice.ts'
import { compileTransform, SetError } from '../../../src/routing/transform.ts'
import { scopeWith, subjectOf, thrownBy } from './subjects.ts'

const scope = scopeWith('site')
const transform = (set: Record<string, string>) => compileTransform(new Map(Object.entries(set)), scope)!
const payloadAfter = (set: Record<string, string>, text: string) =>
  Buffer.from(transform(set)(subjectOf(Buffer.from(text))).payload ?? []).toString()

describe('a splice', () => {
  test.each([
    ['{}', ['a'], '{"a":1}'],
    ['{ }', ['a'], '{ "a":1}'],
    ['{"b":2}', ['a'], '{"b":2,"a":1}'],
    ['{"a":[1,{"a":2}],"b":"}"}', ['a'], '{"a":1,"b":"}"}'],
    ['{"x":{"a":2},"a":{"y":"\\"}"}}', ['a'], '{"x":{"a":2},"a":1}'],
    ['{"a":1,"a":2}', ['a'], '{"a":1,"a":1}'],
    ['{"\\u0061":5}', ['a'], '{"\\u0061":1}'],
    ['{"a":{"b":true , "c":null}}', ['a', 'b'], '{"a":{"b":1, "c":null}}'],
    ['{"a":{}}', ['a', 'b', 'c'], '{"a":{"b":{"c":1}}}'],
    ['\n{"a"\t:\r5 }', ['a'], '\n{"a"\t:\r1}'],
  ])('of %s', (text, path, expected) => {
    expect(spliceJson(text, path, '1')).toBe(expected)
  })

  test.each([
    ['5', ['a']],
    ['[]', ['a']],
    ['{"a":5}', ['a', 'b']],
    ['{"a":null}', ['a', 'b']],
  ])('through what is no object gives nothing: %s', (text, path) => {
    expect(spliceJson(text, path, '1')).toBeUndefined()
  })

  test('sets just that value, whatever the document', () => {
    const name = fc.constantFrom('a', 'b', 'c"d', 'é\\', '')
    const object = fc.dictionary(name, fc.jsonValue())
    fc.assert(
      fc.property(
        object,
        fc.array(name, { minLength: 1, maxLength: 3 }),
        fc.jsonValue(),
        fc.constantFrom(0, 1, 2),
        (document, path, value, indent) => {
          const text = JSON.stringify(document, null, indent)
          const expected = setIn(JSON.parse(text), path, JSON.parse(JSON.stringify(value)))
          const spliced = spliceJson(text, path, JSON.stringify(value))
          expect(spliced === undefined ? undefined : JSON.parse(spliced)).toEqual(expected)
        },
      ),
      { numRuns: 5_000 },
    )
  })
})

/** The plain way; undefined where the path leads through something else than an object. */
function setIn(target: unknown, [name = '', ...rest]: readonly string[], value: unknown): unknown {
  if (typeof target !== 'object' || target === null || Array.isArray(target)) return undefined
  const inner =
    rest.length === 0
      ? value
      : setIn((target as Record<string, unknown>)[name] ?? (name in target ? null : {}), rest, value)
  return inner === undefined ? undefined : { ...target, [name]: inner }
}

test('nothing to set is no transform', () => {
  expect(compileTransform(new Map(), scope)).toBeUndefined()
})

test('the message as it came is left alone', () => {
  const subject = subjectOf({ a: { b: 1 } }, { headers: { x: '1' }, eventType: 'Old' })
  const changed = transform({ 'payload.a.b': '2', 'headers.y': "'2'", eventType: "'New'" })(subject)
  expect(changed).toMatchObject({ eventType: 'New', json: { a: { b: 2 } }, headers: { x: '1', y: '2' } })
  expect(subject.envelope).toMatchObject({ eventType: 'Old', json: { a: { b: 1 } }, headers: { x: '1' } })
})

test('a payload that is not set is the same bytes', () => {
  const subject = subjectOf(Buffer.from('{ "a" : 1.0 }'))
  expect(transform({ key: 'string(payload.a)' })(subject).payload).toBe(subject.envelope.payload)
})

test('every field can be set, and has its type', () => {
  const set = {
    messageId: "'id'",
    version: '2',
    correlationId: 'payload.id',
    destination: "'d'",
    replyTo: "'r'",
    key: "b'\\xff'",
    'headers.contentType': "'text/plain'",
    'headers.priority': 'payload.p',
    'headers.ttl': '60 * 1000',
    'headers.retryCount': '0',
    'headers.list': '[1, true]',
    'headers.with.dots': 'null',
  }
  expect(transform(set)(subjectOf({ id: 17, p: 9 }))).toMatchObject({
    messageId: 'id',
    version: '2',
    correlationId: '17',
    destination: 'd',
    replyTo: 'r',
    key: Uint8Array.of(255),
    contentType: 'text/plain',
    priority: 9,
    ttlMs: 60_000,
    retryCount: 0,
    headers: { list: [1, true], 'with.dots': null },
  })
})

test('paths into a payload that was set see the new one', () => {
  expect(payloadAfter({ payload: "{'a': {}}", 'payload.a.b': 'payload.x', 'payload.c': '2' }, '{"x":1}')).toBe(
    '{"a":{"b":1},"c":2}',
  )
})

test.each([
  ['a missing field', { eventType: 'payload.none' }, '{}', 'has no value'],
  ['a computation that fails', { 'payload.x': 'payload.a / 0.0' }, '{"a":1}', 'has no value'],
  ['a payload that is no JSON', { 'payload.x': '1' }, 'text', 'not JSON'],
  ['a payload that is no text', { 'payload.x': '1' }, Buffer.from('227aff22', 'hex'), 'not JSON|not valid'],
  ['a path through a list', { 'payload.a.b': '1' }, '{"a":[]}', 'not an object'],
  ['an object as a field', { eventType: 'payload' }, '{}', 'expected a string'],
  ['null as a field', { eventType: 'payload.n' }, '{"n":null}', 'expected a string'],
  ['a priority that is none', { 'headers.priority': 'payload.p' }, '{"p":2.5}', 'an integer'],
  ['bytes in JSON', { 'payload.x': "bytes('a')" }, '{}', 'JSON cannot hold bytes'],
  ['bytes deep in JSON', { 'payload.x': "[{'b': bytes('a')}]" }, '{}', 'JSON cannot hold bytes'],
  ['bytes deep in a new payload', { payload: "{'b': [bytes('a')]}" }, '{}', 'JSON cannot hold bytes'],
])('%s is a permanent error of this message', (_, set, payload, message) => {
  const error = thrownBy(() => transform(set as Record<string, string>)(subjectOf(Buffer.from(payload as string))))
  expect(error).toBeInstanceOf(PermanentError)
  expect(error).toMatchObject({ code: 'TRANSFORM_FAILED', message: expect.stringMatching(message) })
})

test.each([
  ['payload.__proto__.x', '1', true],
  ['payload.constructor', '1', true],
  ['headers.__proto__', '1', true],
  ['headers.a.prototype', '1', true],
  ['payload..x', '1', true],
  ['source', "'x'", true],
  ['header.x', '1', true],
  ['params.site', '1', true],
  ['eventType', 'nonsense', false],
  ['headers.priority', '300', false],
  ['headers.ttl', "'5s'", false],
  ['eventType', '[1]', false],
])('set %s to %s is a mistake in the rule', (path, text, isPath) => {
  const error = thrownBy(() => transform({ [path]: text }))
  expect(error).toBeInstanceOf(SetError)
  expect(error).toMatchObject({ path, isPath })
})

test('no payload pollutes a prototype', () => {
  const names = fc.constantFrom('__proto__', 'constructor', 'prototype', 'polluted', 'a')
  const document = fc.letrec<{ node: unknown }>((tie) => ({
    node: fc.oneof({ maxDepth: 4 }, fc.constant(true), fc.array(fc.tuple(names, tie('node')), { maxLength: 3 })),
  })).node
  const text = (node: unknown): string =>
    Array.isArray(node) ? `{${node.map(([name, inner]) => `"${name}":${text(inner)}`).join(',')}}` : 'true'
  const change = transform({ 'payload.a.polluted': "'yes'", 'payload.copy': 'payload', 'headers.copy': 'payload' })
  fc.assert(
    fc.property(document, (node) => {
      try {
        void change(subjectOf(Buffer.from(text(node)))).json
      } catch (error) {
        expect(error).toBeInstanceOf(PermanentError)
      }
      expect(({} as Record<string, unknown>).polluted).toBeUndefined()
      expect(Object.hasOwn(Object.prototype, 'a')).toBe(false)
    }),
    { numRuns: 5_000 },
  )
})
