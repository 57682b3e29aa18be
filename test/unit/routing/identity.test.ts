import { expect, test } from '@jest/globals'
import { compileIdentity } from '../../../src/routing/identity.ts'
import { RuleError } from '../../../src/routing/rule-error.ts'
import { message } from '../store/stores.ts'

const scope = { captures: new Set(['site']) }
const params = { site: 'berlin' }
const of = (by: string | undefined, payload: unknown = {}, fields = {}) =>
  compileIdentity(
    by,
    scope,
  )({ envelope: message({ payload: Buffer.from(JSON.stringify(payload)), ...fields }), params, receivedAt: 0 })

test('a message is known by its messageId, or by what an expression makes of it', () => {
  expect(of(undefined, {}, { messageId: 'm-7' })).toBe('m-7')
  expect(of('payload.id', { id: 'm-7' })).toBe('m-7')
  expect(of("params.site + '/' + payload.id", { id: 'm-7' })).toBe('berlin/m-7')
})

test('one that has nothing to be known by is compared with none', () => {
  for (const payload of [{}, { id: null }, { id: '' }]) expect(of('payload.id', payload)).toBeUndefined()
  expect(of('payload.id.of.something', { id: 1 })).toBeUndefined()
})

test('values of different kinds are different, equal ones the same', () => {
  const values = ['1', 1, 1.5, true, 'true', [1], ['1'], [1, 2], '[1]', { a: 1 }]
  const texts = values.map((id) => of('payload.id', { id }))
  expect(new Set(texts).size).toBe(values.length)
  expect(values.map((id) => of('payload.id', { id }))).toEqual(texts)
})

test('a long text takes up little', () => {
  const long = 'x'.repeat(60_000)
  expect(of(undefined, {}, { messageId: long })).toBe(of('payload.id', { id: long }))
  expect(of(undefined, {}, { messageId: long })?.length).toBeLessThan(64)
  expect(of(undefined, {}, { messageId: `${long}y` })).not.toBe(of(undefined, {}, { messageId: long }))
})

test('a wrong expression is told as the file is read', () => {
  expect(() => compileIdentity('payload.', scope)).toThrow(RuleError)
})
