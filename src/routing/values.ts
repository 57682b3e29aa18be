/**
 * What CEL's operators do with values of messages. Undefined stands for CEL's error: a field that is not there, types that
 * do not go together. Whole numbers of rules are bigint, numbers of JSON are number, and they mix freely.
 */
import { Duration, UnsignedInt } from '@marcbachmann/cel-js/evaluator'
import { HeaderBag } from '../envelope/envelope.ts'

export type Arithmetic = '+' | '-' | '*' | '/' | '%'
export type Ordering = '<' | '<=' | '>' | '>='

/** CEL's equality: numbers by value, containers by content, different kinds are not equal. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return equalNumbers(a, b)
  if (Array.isArray(a)) return Array.isArray(b) && equalLists(a, b)
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0
  const kind = kindOf(a)
  if (kind !== undefined) return kind === kindOf(b) && a.valueOf() === b.valueOf()
  return kindOf(b) === undefined && !Array.isArray(b) && equalMaps(a, b)
}

function equalNumbers(a: unknown, b: unknown): boolean {
  if (a instanceof UnsignedInt) return equalNumbers(a.valueOf(), b)
  if (b instanceof UnsignedInt) return equalNumbers(a, b.valueOf())
  const isMixed = (typeof a === 'bigint' && typeof b === 'number') || (typeof a === 'number' && typeof b === 'bigint')
  if (!isMixed) return a === b
  // biome-ignore lint/suspicious/noDoubleEquals: exact for a bigint and a number
  return a == b
}

function equalLists(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((item, index) => equal(item, b[index]))
}

function equalMaps(a: object, b: object): boolean {
  const entries = Object.entries(a)
  if (entries.length !== Object.keys(b).length) return false
  return entries.every(([name, value]) => Object.hasOwn(b, name) && equal(value, (b as Record<string, unknown>)[name]))
}

/** What can be ordered with its like; undefined for what has no order. */
function kindOf(value: unknown): string | undefined {
  switch (typeof value) {
    case 'number':
    case 'bigint':
      return 'number'
    case 'string':
    case 'boolean':
      return typeof value
    default:
      if (value instanceof Date) return 'timestamp'
      if (value instanceof Duration) return 'duration'
      return value instanceof UnsignedInt ? 'number' : undefined
  }
}

type Comparable = number
const orderings: Readonly<Record<Ordering, (a: Comparable, b: Comparable) => boolean>> = {
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
}

/** The comparison for two values; undefined for values that have no common order. */
export function ordering(operator: Ordering): (a: unknown, b: unknown) => boolean | undefined {
  const compare = orderings[operator]
  return (a, b) => {
    if (typeof a !== 'number' || typeof b !== 'number') {
      const kind = kindOf(a)
      if (kind === undefined || kind !== kindOf(b)) return undefined
    }
    return compare(a as Comparable, b as Comparable)
  }
}

const ofNumbers: Readonly<Record<Arithmetic, (a: number, b: number) => number>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
  '%': (a, b) => a % b,
}

const ofWholes: Readonly<Record<Arithmetic, (a: bigint, b: bigint) => bigint | undefined>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => (b === 0n ? undefined : a / b),
  '%': (a, b) => (b === 0n ? undefined : a % b),
}

/** Arithmetic on numbers, `+` also on text and lists; `otherwise` is asked for all else (times, bytes). */
export function arithmetic(
  operator: Arithmetic,
  otherwise: (a: unknown, b: unknown) => unknown,
): (a: unknown, b: unknown) => unknown {
  const numbers = ofNumbers[operator]
  const wholes = ofWholes[operator]
  return (a, b) => {
    if (typeof a === 'number') {
      if (typeof b === 'number') return numbers(a, b)
      if (typeof b === 'bigint') return numbers(a, Number(b))
    } else if (typeof a === 'bigint') {
      if (typeof b === 'bigint') return isInt64(a) && isInt64(b) ? int64(wholes(a, b)) : numbers(Number(a), Number(b))
      if (typeof b === 'number') return numbers(Number(a), b)
    } else if (operator === '+') {
      if (typeof a === 'string' && typeof b === 'string') return a + b
      if (Array.isArray(a) && Array.isArray(b)) return [...a, ...b]
    }
    return otherwise(a, b)
  }
}

const maxInt = 2n ** 63n - 1n

const isInt64 = (value: bigint) => value <= maxInt && value >= -maxInt - 1n

/** CEL's int has 64 bits; what does not fit is an error. */
export function int64(value: bigint | undefined): bigint | undefined {
  return value !== undefined && isInt64(value) ? value : undefined
}

/** A value as messages carry it: times as text, whole numbers as numbers where they fit; undefined where there is no such form. */
export function toData(value: unknown): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      return Number.isFinite(value) ? value : undefined
    case 'bigint':
      return value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER ? Number(value) : value
    case 'object':
      return objectToData(value)
    default:
      return undefined
  }
}

function objectToData(value: object | null): unknown {
  if (value === null || value instanceof Uint8Array) return value
  if (Array.isArray(value)) return allOrNothing(value.map(toData))
  if (value instanceof Date) return value.toISOString()
  if (value instanceof Duration) return value.toString()
  if (value instanceof UnsignedInt) return toData(value.valueOf())
  if (!plainPrototypes.has(Object.getPrototypeOf(value))) return undefined
  const entries = Object.entries(value).map(([name, member]) => [name, toData(member)] as const)
  return entries.some(([, member]) => member === undefined) ? undefined : Object.fromEntries(entries)
}

const plainPrototypes: ReadonlySet<unknown> = new Set([null, Object.prototype, HeaderBag.prototype])

function allOrNothing(items: unknown[]): unknown {
  return items.includes(undefined) ? undefined : items
}
