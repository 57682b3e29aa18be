/**
 * CEL's operators as closures. Undefined is what a message has no value for: a field that is not there, a computation that
 * does not go with what is there. In a test it counts as false, and stays undefined as long as the rest may decide.
 */
import { HeaderBag } from '../envelope/envelope.ts'
import type { Read } from './fields.ts'
import { memberOf } from './fields.ts'
import { charge, chargeCopy, missed } from './meter.ts'
import { equal, shortText } from './values.ts'

const { isArray } = Array

/** A part of an expression, ready to run. */
export interface Code {
  readonly run: Read
  /** The same for every message. */
  readonly isConstant: boolean
  /** It reads a field: undefined is a field that is not there, and equals null. */
  readonly isField?: boolean
  /** It is true or false: undefined is false. */
  readonly isTest?: boolean
}

/** Stands for a message where a constant is computed. */
export const noSubject = undefined as never

export function and(left: Read, right: Read): Read {
  return (subject) => {
    const a = left(subject)
    if (a === false) return false
    const b = right(subject)
    if (b === false) return false
    return a === true && b === true ? true : undefined
  }
}

export function or(left: Read, right: Read): Read {
  return (subject) => {
    const a = left(subject)
    if (a === true) return true
    const b = right(subject)
    if (b === true) return true
    return a === false && b === false ? false : undefined
  }
}

/** What a test gives where its answer is used: false for undefined. */
export function answerOf({ run, isTest }: Code): Read {
  return isTest === true ? (subject) => run(subject) ?? miss(false) : run
}

/** Notes that a comparison had nothing to compare. */
export function miss(answer: boolean): boolean {
  missed.any = true
  return answer
}

export function not(operand: Read): Read {
  return (subject) => {
    const value = operand(subject)
    return typeof value === 'boolean' ? !value : miss(true)
  }
}

export function choose(condition: Read, yes: Read, no: Read): Read {
  return (subject) => {
    const value = condition(subject)
    if (value === true) return yes(subject)
    if (value !== false) miss(false)
    return no(subject)
  }
}

/** An operator that fails where an operand does. */
export function strict(left: Read, right: Read, operator: (a: unknown, b: unknown) => unknown): Read {
  return (subject) => {
    const a = left(subject)
    if (a === undefined) return undefined
    const b = right(subject)
    return b === undefined ? undefined : operator(a, b)
  }
}

export function strictUnary(operand: Read, operator: (value: unknown) => unknown): Read {
  return (subject) => {
    const value = operand(subject)
    return value === undefined ? undefined : operator(value)
  }
}

/** A whole number of a rule as the number it will mostly be compared with: equality and order do not tell them apart. */
export function forComparison(code: Code): Read {
  if (!code.isConstant) return code.run
  const value = code.run(noSubject)
  const number = typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value
  return () => number
}

/** Of two values, computed with `forComparison`; `fields` says of each whether undefined is a field that is not there. */
export function equality(left: Read, right: Read, fields: readonly [boolean, boolean]): Read {
  return (subject) => {
    const a = left(subject)
    const b = right(subject)
    return a === undefined || b === undefined ? absentEquals(a, b, fields) : equal(a, b)
  }
}

export function inequality(left: Read, right: Read, fields: readonly [boolean, boolean]): Read {
  return (subject) => {
    const a = left(subject)
    const b = right(subject)
    if (a !== undefined && b !== undefined) return !equal(a, b)
    if (absentEquals(a, b, fields) === true) return false
    return isFailure(a, fields[0]) || isFailure(b, fields[1]) ? undefined : miss(true)
  }
}

const isFailure = (value: unknown, isField: boolean) => value === undefined && !isField

/** A field that is not there equals null and another that is not there, nothing else. */
function absentEquals(a: unknown, b: unknown, [isFieldA, isFieldB]: readonly [boolean, boolean]): true | undefined {
  if (isFailure(a, isFieldA) || isFailure(b, isFieldB)) return undefined
  return (a ?? null) === (b ?? null) ? true : undefined
}

/** `in`: an item of a list, a name of a map. */
export function membership(item: Read, collection: Code): Read {
  const known = collection.isConstant ? setOf(collection.run(noSubject)) : undefined
  if (known === undefined) return strict(item, collection.run, isMember)
  return strictUnary(item, (value) => {
    if (typeof value === 'string' && value.length > shortText) chargeCopy(value.length)
    return known.has(typeof value === 'bigint' ? Number(value) : value)
  })
}

function isMember(item: unknown, collection: unknown): boolean | undefined {
  if (isArray(collection)) return hasItem(collection, item)
  if (typeof collection !== 'object' || collection === null) return undefined
  return typeof item === 'string' && memberOf(collection, item) !== undefined
}

export function hasItem(list: readonly unknown[], item: unknown): boolean {
  for (const candidate of list) {
    charge(2)
    if (equal(item, candidate)) return true
  }
  return false
}

/** The items of a constant list, where looking up by identity is the same as CEL's equality. */
function setOf(list: unknown): ReadonlySet<unknown> | undefined {
  if (!isArray(list)) return undefined
  const items = list.map((item: unknown) => (typeof item === 'bigint' ? Number(item) : item))
  const isPlain = items.every((item) => typeof item === 'string' || Number.isSafeInteger(item))
  return isPlain ? new Set(items) : undefined
}

export function listOf(items: readonly Read[]): Read {
  return (subject) => {
    const values = items.map((item) => item(subject))
    return values.includes(undefined) ? undefined : values
  }
}

const costOfMap = 32
const costOfMember = 4

/** A map from its keys and values in turn; keys are text, as in JSON. */
export function mapOf(parts: readonly Read[]): Read {
  return (subject) => {
    charge(costOfMap + parts.length * costOfMember)
    const map: Record<string, unknown> = new HeaderBag()
    for (let index = 0; index < parts.length; index += 2) {
      const key = parts[index]?.(subject)
      const value = parts[index + 1]?.(subject)
      if (typeof key === 'object' || key === undefined || value === undefined) return undefined
      map[String(key)] = value
    }
    return map
  }
}
