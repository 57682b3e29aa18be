import type { FilterClause, FilterOperator } from '../config/schema/types.ts'
import type { Condition, Misses, Scope } from './expression.ts'
import { elementOf, fieldTypes, isFieldName, type Read, readField, readHeader } from './fields.ts'
import { fieldHint } from './hints.ts'
import { didYouMean } from './nearest.ts'
import { hasItem } from './operators.ts'
import { compileRegex } from './regex.ts'
import { RuleError } from './rule-error.ts'
import { chargeSearch } from './texts.ts'
import { equal, ordering } from './values.ts'

/** Which setting of a clause is at fault; the offsets of `error` point into its text. */
export class ClauseError extends RuleError {
  readonly setting: 'field' | 'value'
  constructor(
    setting: 'field' | 'value',
    error: { message: string; offset?: number; length?: number; hint?: string | undefined },
  ) {
    super(error.message, { offset: error.offset ?? 0, length: error.length ?? 0, hint: error.hint })
    this.setting = setting
  }
}

/** True when any clause holds; an empty filter lets all pass. Throws ClauseError. */
export function compileFilter(clauses: readonly FilterClause[], scope: Scope, misses: Misses): Condition {
  const tests = clauses.map((clause) => compileClause(clause, scope, misses))
  if (tests.length === 0) return () => true
  return (subject) => tests.some((test) => test(subject))
}

/**
 * Throws ClauseError. A field that is not there equals null alone and passes no other operator than `not_equals`; it adds to
 * `misses`, except where that is the question: `exists`, a comparison with null.
 */
export function compileClause(clause: FilterClause, scope: Scope, misses: Misses): Condition {
  const read = compileField(clause, scope)
  if (clause.operator === 'exists') return (subject) => read(subject) !== undefined
  const test = compileTest(clause)
  const { operator, value: operand } = clause
  const ofAbsent = (operator === 'equals' && operand === null) || (operator === 'not_equals' && operand !== null)
  const isMiss = !(operator === 'equals' || operator === 'not_equals') || operand !== null
  return (subject) => {
    const value = read(subject)
    if (value !== undefined) return test(value)
    if (isMiss) misses.count += 1
    return ofAbsent
  }
}

/** A path such as `payload.items.0.price`: names and numbers, parted by dots; a header's name is all that follows `headers.`. */
function compileField({ field, value, operator }: FilterClause, scope: Scope): Read {
  const [root = '', ...names] = field.split('.')
  if (!isFieldName(root)) {
    const hint = fieldHint(root, scope.captures)
    throw new ClauseError('field', { message: `unknown name '${root}'`, offset: 0, length: root.length, hint })
  }
  if (names.includes(''))
    throw new ClauseError('field', { message: 'a name is missing', offset: 0, length: field.length })
  if (root === 'headers' && names.length > 0) return readHeader(field.slice('headers.'.length))
  if (root === 'params') checkCapture(names, scope)
  else if (root !== 'payload' && root !== 'extensions' && names.length > 0) {
    throw new ClauseError('field', {
      message: `'${root}' has no parts`,
      offset: root.length,
      length: field.length - root.length,
    })
  }
  if (operator !== 'exists' && isTextField(root)) checkText(field, value)
  return names.reduce<Read>((owner, name) => partOf(owner, name), readField(root))
}

function partOf(owner: Read, name: string): Read {
  const index = /^\d+$/.test(name) ? Number(name) : undefined
  return (subject) => {
    const value = owner(subject)
    return elementOf(value, index !== undefined && Array.isArray(value) ? index : name)
  }
}

function checkCapture(names: readonly string[], { captures }: Scope): void {
  const [name] = names
  if (names.length === 1 && name !== undefined && captures.has(name)) return
  const shown = names.join('.')
  const hint =
    didYouMean(shown, captures) ?? `the address of the route captures ${[...captures].join(', ') || 'nothing'}`
  throw new ClauseError('field', {
    message: `unknown capture '${shown}'`,
    offset: 'params.'.length,
    length: shown.length,
    hint,
  })
}

const isTextField = (root: keyof typeof fieldTypes) => fieldTypes[root] === 'string' || root === 'params'

/** A number never equals a text: the author who leaves the quotes away would wait for ever. */
function checkText(field: string, value: unknown): void {
  const wrong = (Array.isArray(value) ? value : [value]).find(
    (item) => typeof item === 'number' || typeof item === 'boolean',
  )
  if (wrong === undefined) return
  throw new ClauseError('value', { message: `${field} is a string`, hint: `write '${String(wrong)}' in quotes` })
}

type Test = (value: unknown) => boolean

const tests: Readonly<Record<Exclude<FilterOperator, 'exists'>, (operand: unknown) => Test>> = {
  equals: (operand) => (value) => equal(value, operand),
  not_equals: (operand) => (value) => !equal(value, operand),
  contains: (operand) => (value) =>
    typeof value === 'string' ? typeof operand === 'string' && includes(value, operand) : isItem(value, operand),
  starts_with: (operand) => {
    const start = textOperand(operand)
    return (value) => typeof value === 'string' && value.startsWith(start)
  },
  greater_than: (operand) => ordered('>', operand),
  less_than: (operand) => ordered('<', operand),
  in: (operand) => {
    if (!Array.isArray(operand)) throw new ClauseError('value', { message: 'expected a list of values' })
    return (value) => isItem(operand, value)
  },
  matches_regex: (operand) => {
    const search = regexOf(textOperand(operand))
    return (value) => typeof value === 'string' && search(value)
  },
}

function compileTest({ operator, value }: FilterClause): Test {
  return tests[operator as Exclude<FilterOperator, 'exists'>](given(value))
}

function given(operand: unknown): unknown {
  if (operand === undefined) throw new ClauseError('value', { message: 'a value is missing' })
  return operand
}

function textOperand(operand: unknown): string {
  if (typeof operand !== 'string') throw new ClauseError('value', { message: 'expected a string', hint: 'quote it' })
  return operand
}

const isItem = (list: unknown, item: unknown) => Array.isArray(list) && hasItem(list, item)

function includes(text: string, part: string): boolean {
  chargeSearch(text)
  return text.includes(part)
}

function ordered(operator: '<' | '>', operand: unknown): Test {
  if (typeof operand !== 'number' && typeof operand !== 'string' && typeof operand !== 'bigint') {
    throw new ClauseError('value', { message: 'expected a number or a string' })
  }
  const compare = ordering(operator)
  return (value) => compare(value, operand) === true
}

function regexOf(pattern: string) {
  try {
    return compileRegex(pattern)
  } catch (error) {
    throw new ClauseError('value', { message: (error as Error).message, length: pattern.length })
  }
}
