import { describe, expect, test } from '@jest/globals'
import type { FilterClause } from '../../../src/config/schema/types.ts'
import { ClauseError, compileFilter } from '../../../src/routing/filter.ts'
import { scopeWith, subjectOf, thrownBy } from './subjects.ts'

const scope = scopeWith('site')
const subject = subjectOf(
  { text: 'hello', n: 5, f: 5.5, list: [1, 'a', { x: 1 }], o: { 'odd-name': { 0: 'zero' } }, no: null, yes: true },
  { eventType: 'Order', priority: 4, headers: { 'x-a.b': 'c', tags: ['t1', 't2'] }, params: { site: 'berlin' } },
)
const passes = (...clauses: FilterClause[]) => compileFilter(clauses, scope, { count: 0 })(subject)

test.each<[boolean, string, FilterClause['operator'], unknown]>([
  [true, 'payload.text', 'equals', 'hello'],
  [false, 'payload.text', 'equals', 'Hello'],
  [true, 'payload.n', 'equals', 5],
  [false, 'payload.n', 'equals', '5'],
  [true, 'payload.no', 'equals', null],
  [true, 'payload.list.2', 'equals', { x: 1 }],
  [true, 'payload.n', 'not_equals', 6],
  [true, 'payload.no', 'not_equals', 6],
  [true, 'payload.none', 'not_equals', 6],
  [false, 'payload.none', 'not_equals', null],
  [true, 'payload.none', 'equals', null],
  [false, 'payload.none', 'equals', 6],
  [false, 'payload.none', 'contains', 6],
  [false, 'payload.none', 'starts_with', 'a'],
  [false, 'payload.none', 'greater_than', 0],
  [false, 'payload.none', 'less_than', 0],
  [false, 'payload.none', 'in', [null]],
  [false, 'payload.none', 'matches_regex', '.*'],
  [true, 'payload.text', 'contains', 'ell'],
  [true, 'payload.list', 'contains', 'a'],
  [true, 'headers.tags', 'contains', 't2'],
  [false, 'payload.n', 'contains', 5],
  [true, 'payload.text', 'starts_with', 'he'],
  [false, 'payload.n', 'starts_with', '5'],
  [true, 'payload.f', 'greater_than', 5],
  [false, 'payload.n', 'greater_than', 5],
  [false, 'payload.text', 'greater_than', 5],
  [true, 'payload.text', 'greater_than', 'h'],
  [true, 'headers.priority', 'less_than', 4.5],
  [false, 'payload.no', 'less_than', 5],
  [true, 'payload.n', 'in', [4, 5]],
  [false, 'payload.n', 'in', []],
  [true, 'params.site', 'in', ['berlin']],
  [true, 'payload.no', 'exists', undefined],
  [false, 'payload.none', 'exists', undefined],
  [false, 'payload.text.length', 'exists', undefined],
  [false, 'payload.list.length', 'exists', undefined],
  [false, 'payload.constructor', 'exists', undefined],
  [true, 'payload.o.odd-name.0', 'equals', 'zero'],
  [true, 'headers.x-a.b', 'equals', 'c'],
  [true, 'eventType', 'matches_regex', '^O.*r$'],
  [false, 'payload.n', 'matches_regex', '5'],
])('%s: %s %s %j', (expected, field, operator, value) => {
  expect(passes(value === undefined ? { field, operator } : { field, operator, value })).toBe(expected)
})

test('any clause lets a message pass, and no clause lets all pass', () => {
  const no: FilterClause = { field: 'payload.n', operator: 'equals', value: 6 }
  const yes: FilterClause = { field: 'payload.n', operator: 'equals', value: 5 }
  expect(passes()).toBe(true)
  expect(passes(no, no)).toBe(false)
  expect(passes(no, yes)).toBe(true)
})

test('fields that are not there are counted, except where that is the question', () => {
  const misses = { count: 0 }
  const clauses: FilterClause[] = [
    { field: 'payload.none', operator: 'equals', value: 1 },
    { field: 'payload.none', operator: 'exists' },
    { field: 'payload.none', operator: 'not_equals', value: null },
    { field: 'payload.n', operator: 'equals', value: 6 },
  ]
  expect(compileFilter(clauses, scope, misses)(subject)).toBe(false)
  expect(misses.count).toBe(1)
  const differs: FilterClause = { field: 'payload.none', operator: 'not_equals', value: 1 }
  expect(compileFilter([differs], scope, misses)(subject)).toBe(true)
  expect(misses.count).toBe(2)
})

describe('a mistake', () => {
  test.each<[string, FilterClause['operator'], unknown, 'field' | 'value', string]>([
    ['paylod.x', 'exists', undefined, 'field', "unknown name 'paylod'"],
    ['payload..x', 'exists', undefined, 'field', 'a name is missing'],
    ['params.sit', 'exists', undefined, 'field', "unknown capture 'sit'"],
    ['params', 'exists', undefined, 'field', "unknown capture ''"],
    ['eventType.x', 'exists', undefined, 'field', "'eventType' has no parts"],
    ['eventType', 'equals', 5, 'value', 'eventType is a string'],
    ['params.site', 'in', ['a', 5], 'value', 'params.site is a string'],
    ['payload.x', 'equals', undefined, 'value', 'a value is missing'],
    ['payload.x', 'in', 'abc', 'value', 'expected a list'],
    ['payload.x', 'starts_with', 5, 'value', 'expected a string'],
    ['payload.x', 'greater_than', true, 'value', 'expected a number'],
    ['payload.x', 'matches_regex', '(a', 'value', 'not a regular expression'],
    ['payload.x', 'matches_regex', 'a(?=b)', 'value', 'not a regular expression'],
  ])('%s %s %j', (field, operator, value, setting, message) => {
    const clause = value === undefined ? { field, operator } : { field, operator, value }
    const error = thrownBy(() => compileFilter([clause], scope, { count: 0 }))
    expect(error).toBeInstanceOf(ClauseError)
    expect(error).toMatchObject({ setting, message: expect.stringContaining(message) })
  })
})
