/** CEL's operators as closures. Undefined is CEL's error: `false && error` is false, `true || error` is true, else it stays. */
import type { Read } from './fields.ts'
import { memberOf } from './fields.ts'
import { equal } from './values.ts'

/** A part of an expression, ready to run; `isConstant`: the same for every message. */
export interface Code {
  readonly run: Read
  readonly isConstant: boolean
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

export function not(operand: Read): Read {
  return (subject) => {
    const value = operand(subject)
    return typeof value === 'boolean' ? !value : undefined
  }
}

export function choose(condition: Read, yes: Read, no: Read): Read {
  return (subject) => {
    const value = condition(subject)
    if (value === true) return yes(subject)
    return value === false ? no(subject) : undefined
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

export function equality(left: Read, right: Read): Read {
  return (subject) => {
    const a = left(subject)
    const b = right(subject)
    return a === undefined || b === undefined ? undefined : a === b || equal(a, b)
  }
}

/** `in`: an item of a list, a name of a map. */
export function membership(item: Read, collection: Code): Read {
  const known = collection.isConstant ? setOf(collection.run(noSubject)) : undefined
  if (known !== undefined)
    return strictUnary(item, (value) => known.has(typeof value === 'bigint' ? Number(value) : value))
  return strict(item, collection.run, isMember)
}

function isMember(item: unknown, collection: unknown): boolean | undefined {
  if (Array.isArray(collection)) return collection.some((candidate) => equal(item, candidate))
  if (typeof collection !== 'object' || collection === null) return undefined
  return typeof item === 'string' && memberOf(collection, item) !== undefined
}

/** The items of a constant list, where looking up by identity is the same as CEL's equality. */
function setOf(list: unknown): ReadonlySet<unknown> | undefined {
  if (!Array.isArray(list)) return undefined
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

/** A map from its keys and values in turn; keys are text, as in JSON. */
export function mapOf(parts: readonly Read[]): Read {
  return (subject) => {
    const map: Record<string, unknown> = Object.create(null)
    for (let index = 0; index < parts.length; index += 2) {
      const key = parts[index]?.(subject)
      const value = parts[index + 1]?.(subject)
      if (key === undefined || value === undefined) return undefined
      map[String(key)] = value
    }
    return map
  }
}
