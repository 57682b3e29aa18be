/**
 * Types of a table's values: one letter each, of a list or table followed by those of what is in it. An envelope notes them
 * (`headerTypes`) where the value alone would be written as another type: a `long` of 5 comes out as a `long`.
 */
import type { HeaderTable, HeaderValue } from '../../../src/envelope/envelope.ts'

const maxInt64 = 2n ** 63n - 1n
const minInt64 = -(2n ** 63n)

/** The types a value is written as when nothing is noted. A value that no table holds has no letter that fits. */
export function shownTypes(value: HeaderValue): string {
  if (typeof value === 'string') return 'S'
  if (typeof value === 'number') return numberType(value)
  if (typeof value === 'boolean') return 't'
  if (typeof value === 'bigint') return isInt64(value) ? 'l' : '?'
  if (value === null) return 'V'
  if (value instanceof Uint8Array) return 'x'
  if (Array.isArray(value)) return value.reduce((types: string, each: HeaderValue) => types + shownTypes(each), 'A')
  const table = value as HeaderTable
  if (isTimestamp(table)) return 'T'
  if (isDecimal(table)) return 'D'
  return Object.values(table).reduce((types: string, each) => types + shownTypes(each), 'F')
}

function numberType(value: number): string {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) return 'd'
  if (value >= -0x80 && value < 0x80) return 'b'
  if (value >= -0x8000 && value < 0x8000) return 's'
  return value >= -0x8000_0000 && value < 0x8000_0000 ? 'I' : 'l'
}

/** True for what 64 bits give back as it is: a bigint only where a number would not do. */
export function isInt64(value: unknown): value is number | bigint {
  if (typeof value !== 'bigint') return Number.isSafeInteger(value) && !Object.is(value, -0)
  return value >= minInt64 && value <= maxInt64 && !Number.isSafeInteger(Number(value))
}

/** The driver's own form of a timestamp, in seconds, as it came from a table. */
export function isTimestamp(table: HeaderTable): boolean {
  const { '!': type, value } = table as { '!'?: unknown; value?: unknown }
  return type === 'timestamp' && Object.keys(table).length === 2 && isInt64(value)
}

/** The driver's own form of a decimal; its digits are signed, as Java and Python have them. */
export function isDecimal(table: HeaderTable): boolean {
  const { '!': type, value } = table as { '!'?: unknown; value?: unknown }
  if (type !== 'decimal' || Object.keys(table).length !== 2) return false
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 2) return false
  const { places, digits } = value as { places?: unknown; digits?: unknown }
  return isWithin(places, 0, 0xff) && isWithin(digits, -0x8000_0000, 0x7fff_ffff)
}

export function isWithin(value: unknown, min: number, max: number): value is number {
  return Number.isInteger(value) && !Object.is(value, -0) && (value as number) >= min && (value as number) <= max
}

/** Adds the types of one header to those noted so far. */
export function noteType(noted: string | undefined, name: string, types: string): string {
  const entry = `^${encodeURIComponent(name.toWellFormed())}=${types}`
  return noted === undefined ? entry : `${noted};${entry}`
}

const entry = /^\^([^=;]*)=([A-Za-z]+)$/

/** What is noted, by name. */
export function notedTypes(noted: string): ReadonlyMap<string, string> {
  const types = new Map<string, string>()
  for (const text of noted.split(';')) {
    const [, name, letters] = entry.exec(text) ?? []
    if (name === undefined || letters === undefined) continue
    try {
      types.set(decodeURIComponent(name), letters)
    } catch {} // not as it was written here
  }
  return types
}
