/** What zod found, said so that the author of a configuration knows what to do. */
import type { z } from 'zod'
import { nearestName } from '../../routing/nearest.ts'
import type { DiagnosticCode } from '../report/codes.ts'
import type { Path } from '../report/diagnostic.ts'
import { keysOf, schemasAt, unionOptions } from './schema-walk.ts'

type Issue = z.core.$ZodIssue

/** A mistake in one part of the configuration; `path` starts at the value judged. */
export interface ShapeProblem {
  readonly code: DiagnosticCode
  readonly path: Path
  readonly on: 'key' | 'value'
  /** Key of an unknown-key or missing-key problem; its container is `path`. */
  readonly key?: string
  /** What was expected, for all others. */
  readonly expected?: string
  readonly suggestion?: string | undefined
  readonly allowed?: readonly string[]
}

/** The text of an issue whose schema brings no text of its own; given to zod so that such a text wins. */
export function expectationOf(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${typeNames[issue.expected as string] ?? issue.expected}, found ${foundIn(issue.expected as string, issue.input)}`
    case 'invalid_value':
      return `expected ${list(issue.values as readonly unknown[])}`
    case 'invalid_format':
      return issue.format === 'url' ? urlRule(issue.note) : `is not a valid ${issue.format}`
    case 'too_small':
      return sizeRule(issue.origin as string, 'at least', issue.minimum as number, issue.inclusive !== false)
    case 'too_big':
      return sizeRule(issue.origin as string, 'at most', issue.maximum as number, issue.inclusive !== false)
    case 'not_multiple_of':
      return `expected a multiple of ${issue.divisor}`
    case 'unrecognized_keys':
      return `unknown field: ${(issue.keys as readonly string[]).join(', ')}`
    case 'invalid_union':
      return issue.options
        ? `expected ${list(issue.options as readonly unknown[])}`
        : 'matches none of the allowed forms'
    default:
      return 'is not valid'
  }
}

/**
 * All problems of a value that did not fit `schema`; `issues` as `chosenIssues` gives them. `siblings`: keys of the
 * outermost object that are legal, but not this schema's.
 */
export function shapeProblems(
  issues: readonly Issue[],
  schema: z.core.$ZodType,
  value: unknown,
  siblings: readonly string[] = [],
): ShapeProblem[] {
  const problems = issues.flatMap((issue) => describe(issue, schema, value, siblings))
  // a key that is missing because it was misspelt is one mistake, not two
  const meant = new Set(problems.filter((p) => p.code === 'TRV2001').map((p) => `${p.path.join('.')}.${p.suggestion}`))
  return problems.filter((p) => p.code !== 'TRV2002' || !meant.has(`${p.path.join('.')}.${p.key}`))
}

/** Where a union failed, the issues of the option that was most probably meant, with paths from the root. */
export function chosenIssues(issues: readonly Issue[], schema: z.core.$ZodType, value: unknown): Issue[] {
  return issues.flatMap((issue) => {
    if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue]
    const here = at(value, issue.path)
    const options = schemasAt(schema, issue.path).flatMap(unionOptions)
    const costs = issue.errors.map((errors, i) => costOf(errors, options[i], here))
    const best = costs.indexOf(Math.min(...costs))
    if ((costs[best] ?? 0) >= otherType) return [noOptionFits(issue)]
    const option = options[best] ?? schema
    return chosenIssues(issue.errors[best] ?? [], option, here).map((inner) => ({
      ...inner,
      path: [...issue.path, ...inner.path],
    }))
  })
}

const otherType = 1000

/** How far a value is from an option: an option of another type is farthest, a key that looks misspelt is nearest. */
function costOf(issues: readonly Issue[], option: z.core.$ZodType | undefined, value: unknown): number {
  const keys = option ? keysOf(option) : []
  const present = new Set(isObject(value) ? Object.keys(value) : [])
  const costs = issues.map((issue) => {
    if (issue.path.length === 0 && /^invalid_(type|value)$/.test(issue.code)) return otherType
    if (issue.code === 'invalid_union' && issue.path.length === 0) {
      return Math.min(...issue.errors.map((errors) => costOf(errors, undefined, null)))
    }
    if (issue.code !== 'unrecognized_keys') return 1
    const free = keys.filter((key) => !present.has(key))
    return issue.keys.reduce((sum, key) => sum + (nearestName(key, free) === undefined ? 3 : 0.5), 0)
  })
  return costs.reduce((sum, cost) => sum + cost, 0)
}

function noOptionFits(issue: z.core.$ZodIssueInvalidUnion): Issue {
  const texts = issue.errors.flatMap((errors) => errors[0]?.message ?? []).map((text) => text.replace(/, found .*/, ''))
  const found = / found .*/.exec(issue.errors[0]?.[0]?.message ?? '')?.[0]
  const message = [...new Set(texts)].join(' or ').replaceAll(' or expected ', ' or ')
  return { code: 'custom', path: issue.path, message: found ? `${message},${found}` : message, params: { type: true } }
}

function describe(issue: Issue, schema: z.core.$ZodType, value: unknown, siblings: readonly string[]): ShapeProblem[] {
  const path = issue.path as Path
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => unknownKey(key, path, { schema, value, siblings }))
  if (isMissing(issue, value)) {
    return [{ code: 'TRV2002', path: path.slice(0, -1), on: 'key', key: String(path.at(-1)), expected: issue.message }]
  }
  const expected = issue.message
  if (issue.code === 'invalid_type') return [{ code: 'TRV2003', path, on: 'value', expected }]
  if (issue.code === 'custom' && issue.params?.type === true) return [{ code: 'TRV2003', path, on: 'value', expected }]
  if (issue.code !== 'invalid_value') return [{ code: 'TRV2005', path, on: 'value', expected }]
  const written = at(value, path)
  const allowed = issue.values.map(String)
  const suggestion = typeof written === 'string' ? nearestName(written, allowed) : undefined
  return [{ code: 'TRV2004', path, on: 'value', expected: cannotBe(written, issue.values), suggestion, allowed }]
}

/** The allowed values are told beside it. */
function cannotBe(written: unknown, values: readonly unknown[]): string {
  if (typeof written !== 'string') return `cannot be ${typeof written === 'number' ? written : kindOf(written)}`
  const quoted = `\`${written.length > 40 ? `${written.slice(0, 40)}…` : written}\``
  return values.some((value) => typeof value === 'string') ? `cannot be ${quoted}` : `cannot be the string ${quoted}`
}

function unknownKey(
  key: string,
  path: Path,
  { schema, value, siblings }: { schema: z.core.$ZodType; value: unknown; siblings: readonly string[] },
): ShapeProblem {
  const own = schemasAt(schema, path).flatMap(keysOf)
  const allowed = [...new Set(path.length === 0 ? [...siblings, ...own] : own)]
  const present = at(value, path)
  return { code: 'TRV2001', path, on: 'key', key, suggestion: suggestKey(key, allowed, present), allowed }
}

/** Where a key belongs that is often written elsewhere. */
export const homeOf = (key: string): string | undefined => homes[key]

const homes: Readonly<Record<string, string>> = Object.assign(Object.create(null), {
  maxInFlight: 'it belongs under `from` (for one source) or `gateway` (for all of them)',
})

/** Keys that are not there yet are more probable than those that are. */
export function suggestKey(key: string, allowed: readonly string[], container: unknown): string | undefined {
  const free = allowed.filter((name) => !isObject(container) || !Object.hasOwn(container, name))
  return nearestName(key, free) ?? nearestName(key, allowed)
}

function isMissing(issue: Issue, value: unknown): boolean {
  return issue.path.length > 0 && at(value, issue.path) === undefined && !isUnionOf(issue)
}

function isUnionOf(issue: Issue): boolean {
  return issue.code === 'invalid_union' && issue.errors.length > 0
}

function at(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((inner, key) => (isObject(inner) ? inner[key as string] : undefined), value)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'an integer',
  boolean: 'true or false',
  object: 'a mapping (`key: value`)',
  record: 'a mapping (`key: value`)',
  array: 'a list',
}

/** A number that has to be an integer is no secret: it is shown. */
function foundIn(expected: string, value: unknown): string {
  return expected === 'int' && typeof value === 'number' ? String(value) : kindOf(value)
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a mapping'
  if (typeof value === 'number') return Number.isInteger(value) ? 'an integer' : 'a number'
  return typeof value === 'boolean' ? 'a boolean' : 'a string'
}

function list(values: readonly unknown[]): string {
  const names = values.map((value) => (typeof value === 'string' ? `\`${value}\`` : String(value)))
  const last = names.pop() ?? ''
  return names.length > 0 ? `${names.join(', ')} or ${last}` : last
}

function urlRule(note: unknown): string {
  return note === 'Invalid protocol' ? 'is a URL of the wrong scheme' : 'is not a URL'
}

function sizeRule(origin: string, bound: string, limit: number, isInclusive: boolean): string {
  const things: Readonly<Record<string, string>> = { string: 'character', array: 'entry', object: 'key', record: 'key' }
  const thing = things[origin]
  if (thing === undefined)
    return isInclusive
      ? `expected ${bound} ${limit}`
      : `expected ${bound === 'at least' ? 'more' : 'less'} than ${limit}`
  if (bound === 'at least' && limit === 1) return origin === 'string' ? 'must not be empty' : 'needs at least one entry'
  return `expected ${bound} ${limit} ${limit === 1 ? thing : thing.replace(/y$/, 'ie').concat('s')}`
}
