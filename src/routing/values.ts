/**
 * What CEL's operators do with values of messages. Undefined stands for CEL's error: a field that is not there, types that
 * do not go together. Whole numbers of rules are bigint, numbers of JSON are number, and they mix freely.
 */
import { Duration, UnsignedInt } from '@marcbachmann/cel-js/evaluator'
import { HeaderBag } from '../envelope/envelope.ts'
import { charge, chargeCopy, chargeText } from './meter.ts'

const { isArray } = Array // the tests' own global objects are slow to reach
const { isFinite: isFiniteNumber } = Number
const { getPrototypeOf, hasOwn, keys } = Object

export type Arithmetic = '+' | '-' | '*' | '/' | '%'
export type Ordering = '<' | '<=' | '>' | '>='

/** CEL's equality: numbers by value, containers by content, different kinds are not equal. */
export function equal(a: unknown, b: unknown): boolean {
  if (typeof a === 'string') return typeof b === 'string' && equalTexts(a, b)
  if (a === b) return true
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return equalNumbers(a, b)
  if (isArray(a)) return isArray(b) && equalLists(a, b)
  if (a instanceof Uint8Array) return b instanceof Uint8Array && equalBytes(a, b)
  const kind = kindOf(a)
  if (kind !== undefined) return kind === kindOf(b) && a.valueOf() === b.valueOf()
  return kindOf(b) === undefined && !isArray(b) && equalMaps(a, b)
}

function equalNumbers(a: unknown, b: unknown): boolean {
  if (a instanceof UnsignedInt) return equalNumbers(a.valueOf(), b)
  if (b instanceof UnsignedInt) return equalNumbers(a, b.valueOf())
  const isMixed = (typeof a === 'bigint' && typeof b === 'number') || (typeof a === 'number' && typeof b === 'bigint')
  if (!isMixed) return a === b
  // biome-ignore lint/suspicious/noDoubleEquals: exact for a bigint and a number
  return a == b
}

function equalTexts(a: string, b: string): boolean {
  if (a.length > shortText && a.length === b.length) chargeCopy(a.length)
  return a === b
}

/** Not worth a look at the meter. */
export const shortText = 64

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  chargeCopy(a.length)
  return Buffer.compare(a, b) === 0
}

function equalLists(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false
  return a.every((item, index) => {
    charge(2)
    return equal(item, b[index])
  })
}

function equalMaps(a: object, b: object): boolean {
  const names = namesOf(a)
  if (names.length !== namesOf(b).length) return false
  const [ofA, ofB] = [a as Record<string, unknown>, b as Record<string, unknown>]
  return names.every((name) => hasOwn(b, name) && equal(ofA[name], ofB[name]))
}

/** The names of a map, which cost as many steps. */
export function namesOf(map: object): string[] {
  const names = keys(map)
  charge(names.length * costOfName)
  return names
}

const costOfName = 6

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
      if (typeof a === 'string') chargeCopy(Math.min(a.length, (b as string).length))
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
      if (typeof a === 'string' && typeof b === 'string') return joined(a, b)
      if (isArray(a) && isArray(b)) return chained(a, b)
    }
    return otherwise(a, b)
  }
}

function joined(a: string, b: string): string {
  chargeText(a.length + b.length)
  return a + b
}

function chained(a: readonly unknown[], b: readonly unknown[]): unknown[] {
  charge(a.length + b.length)
  return a.concat(b)
}

const maxInt = 2n ** 63n - 1n

const isInt64 = (value: bigint) => value <= maxInt && value >= -maxInt - 1n

/** CEL's int has 64 bits; what does not fit is an error. */
export function int64(value: bigint | undefined): bigint | undefined {
  return value !== undefined && isInt64(value) ? value : undefined
}

/** A value as messages carry it: times as text, whole numbers as numbers where they fit; undefined where there is no such form. */
export function toData(value: unknown): unknown {
  charge(2)
  switch (typeof value) {
    case 'string':
      if (value.length > shortText) chargeText(value.length)
      return value
    case 'boolean':
      return value
    case 'number':
      return isFiniteNumber(value) ? value : undefined
    case 'bigint':
      return value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER ? Number(value) : value
    case 'object':
      return objectToData(value)
    default:
      return undefined
  }
}

function objectToData(value: object | null): unknown {
  if (value === null) return value
  if (value instanceof Uint8Array) return bytesToData(value)
  if (isArray(value)) return listToData(value)
  if (value instanceof Date) return value.toISOString()
  if (value instanceof Duration) return value.toString()
  if (value instanceof UnsignedInt) return toData(value.valueOf())
  return plainPrototypes.has(getPrototypeOf(value)) ? mapToData(value as Record<string, unknown>) : undefined
}

function bytesToData(bytes: Uint8Array): Uint8Array {
  chargeCopy(bytes.length)
  return bytes
}

/** The list itself where all of it is data already. */
function listToData(list: readonly unknown[]): unknown {
  let changed: unknown[] | undefined
  for (let index = 0; index < list.length; index += 1) {
    const item = toData(list[index])
    if (item === undefined) return undefined
    if (item !== list[index] && changed === undefined) changed = list.slice()
    if (changed !== undefined) changed[index] = item
  }
  return changed ?? list
}

function mapToData(map: Record<string, unknown>): unknown {
  const names = namesOf(map)
  let changed: Record<string, unknown> | undefined
  for (const name of names) {
    const member = toData(map[name])
    if (member === undefined) return undefined
    if (member !== map[name]) changed ??= Object.fromEntries(Object.entries(map))
    if (changed !== undefined) Object.defineProperty(changed, name, { ...ofData, value: member })
  }
  return changed ?? map
}

/** Defined, since a name such as `__proto__` would not be set. */
const ofData = { enumerable: true, writable: true, configurable: true }
const plainPrototypes: ReadonlySet<unknown> = new Set([null, Object.prototype, HeaderBag.prototype])
