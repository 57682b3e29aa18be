/**
 * Header values where the carrier knows fewer types. In JSON: what JSON cannot say is an object with one key that
 * starts with `$`. In text: the text, and a tag of one letter that goes to `trvtypes`.
 */
import { PermanentError } from '../errors.ts'
import type { HeaderTable, HeaderValue } from './envelope.ts'

type Json = string | number | boolean | null | Json[] | { [name: string]: Json }

/** Levels that a header's value may have. */
export const maxDepth = 64
const marks = new Set(['$bytes', '$int', '$number', '$table'])

export function bytesOf(value: Uint8Array): Buffer {
  return Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}

/** Throws a PermanentError for a value nested too deep. */
export function toJson(value: HeaderValue, depth = 0): Json {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return value
  if (typeof value === 'number') return isJsonNumber(value) ? value : { $number: numberText(value) }
  if (typeof value === 'bigint') return { $int: String(value) }
  if (value instanceof Uint8Array) return { $bytes: bytesOf(value).toString('base64') }
  if (depth === maxDepth) throw tooDeep()
  if (Array.isArray(value)) return value.map((each: HeaderValue) => toJson(each, depth + 1))
  const table = tableToJson(value as HeaderTable, depth)
  return isMarked(table) ? { $table: table } : table
}

function tableToJson(table: HeaderTable, depth: number): { [name: string]: Json } {
  const json: { [name: string]: Json } = Object.create(null)
  for (const name of Object.keys(table)) {
    const value = table[name]
    if (value !== undefined) json[name] = toJson(value, depth + 1)
  }
  return json
}

/** Throws a PermanentError for a value nested too deep or a broken mark. */
export function fromJson(json: unknown, depth = 0): HeaderValue {
  if (typeof json === 'string') return json.toWellFormed()
  if (typeof json !== 'object' || json === null) return json as number | boolean | null
  if (depth === maxDepth) throw tooDeep()
  if (Array.isArray(json)) return json.map((each) => fromJson(each, depth + 1))
  if (!isMarked(json)) return tableFromJson(json, depth)
  const [mark, value] = Object.entries(json)[0] as [string, unknown]
  if (mark === '$table' && typeof value === 'object' && value !== null) return tableFromJson(value, depth)
  if (mark === '$bytes' && typeof value === 'string') return Buffer.from(value, 'base64')
  if (mark === '$int' && typeof value === 'string' && integer.test(value)) return BigInt(value)
  if (mark === '$number' && typeof value === 'string') return Number(value)
  return tableFromJson(json, depth)
}

function tableFromJson(json: object, depth: number): HeaderTable {
  const table: Record<string, HeaderValue> = Object.create(null)
  for (const [name, value] of Object.entries(json)) table[name.toWellFormed()] = fromJson(value, depth + 1)
  return table
}

function isMarked(table: object): boolean {
  const names = Object.keys(table)
  return names.length === 1 && marks.has(names[0] as string)
}

/** False where JSON has no such number, loses it, or gives an integer beyond 2^53 back as a bigint. */
function isJsonNumber(value: number): boolean {
  if (Number.isInteger(value)) return Number.isSafeInteger(value) && !Object.is(value, -0)
  return Number.isFinite(value)
}

function numberText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value)
}

/** True when a value is nested no deeper than headers may be. */
export function isShallow(value: HeaderValue, depth = 0): boolean {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return true
  if (depth === maxDepth) return false
  for (const name in value) if (!isShallow((value as HeaderTable)[name] as HeaderValue, depth + 1)) return false
  return true
}

export function tooDeep(): PermanentError {
  return new PermanentError('MESSAGE_MALFORMED', `its headers are nested deeper than ${maxDepth} levels`)
}

/** n number, f flag, l integer of any size, b bytes, 0 null, j JSON, h a header as it stands, which else were taken for an attribute. */
export type Tag = 'n' | 'f' | 'l' | 'b' | '0' | 'j' | 'h'

/** A value that is no string, as text for carriers of text. */
export function toText(value: HeaderValue): { text: string; tag: Tag } {
  if (typeof value === 'number') return { text: numberText(value), tag: 'n' }
  if (typeof value === 'boolean') return { text: String(value), tag: 'f' }
  if (typeof value === 'bigint') return { text: String(value), tag: 'l' }
  if (value === null) return { text: '', tag: '0' }
  if (value instanceof Uint8Array) return { text: bytesOf(value).toString('base64'), tag: 'b' }
  return { text: JSON.stringify(toJson(value)), tag: 'j' }
}

const integer = /^-?\d{1,1000}$/

/** The value a tagged text stands for; the text itself where it is not what its tag says. */
export function fromText(text: string, tag: string): HeaderValue {
  if (tag === 'n') return Number.isNaN(Number(text)) && text !== 'NaN' ? text : Number(text)
  if (tag === 'f') return text === 'true' || text === 'false' ? text === 'true' : text
  if (tag === 'l') return integer.test(text) ? BigInt(text) : text
  if (tag === '0') return text === '' ? null : text
  if (tag === 'b') return Buffer.from(text, 'base64')
  if (tag === 'j') return jsonOf(text)
  return text
}

function jsonOf(text: string): HeaderValue {
  try {
    return fromJson(JSON.parse(text))
  } catch {
    return text
  }
}
