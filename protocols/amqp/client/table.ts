/** Header values as amqplib's tables can hold them, and what they must not hold. */
import { markedBytes } from '../../../src/envelope/binary-text.ts'
import type { HeaderTable, HeaderValue } from '../../../src/envelope/envelope.ts'
import type { Extras } from '../../../src/envelope/extras.ts'
import { bytesOf, isShallow, tooDeep, toText } from '../../../src/envelope/typed.ts'
import { isDecimal, isInt64, isTimestamp, isWithin, shownTypes } from './types.ts'

/** amqplib encodes a table into a buffer of 64 KiB and throws a RangeError beyond; some room for its own. */
export const maxTableBytes = 65_000

const reserved: ReadonlySet<string> = new Set([
  'trivium-hops',
  'x-message-id',
  'x-correlation-id',
  'x-reply-to-topic',
  // RabbitMQ would send copies to where a message's own headers say
  'CC',
  'BCC',
  // RabbitMQ counts and decides by these
  'x-death',
  'x-delivery-count',
  'x-first-death-exchange',
  'x-first-death-queue',
  'x-first-death-reason',
  'x-last-death-exchange',
  'x-last-death-queue',
  'x-last-death-reason',
  // an assignment on the receiving side sets the table's prototype
  '__proto__',
])

/** What is read as an attribute of an event. */
const attribute = /^(?:cloudEvents[_:]|ce-)/

/** True for names that mean something to the broker, to us or to the driver, and for those a table cannot hold. */
export function isReserved(name: string): boolean {
  return reserved.has(name) || isLong(name) || attribute.test(name)
}

function isLong(name: string): boolean {
  return name.length > 85 && (markedBytes(name)?.length ?? Buffer.byteLength(name)) > 255
}

/**
 * Writes a custom header in the types it came with, where `types` tells them, or in the table's own, else as tagged text,
 * else into `trvheaders`. Throws a PermanentError for a value nested too deep.
 */
export function writeHeader(
  headers: Record<string, unknown>,
  extras: Extras,
  [name, value]: readonly [name: string, value: HeaderValue],
  types: string | undefined,
): void {
  if (isReserved(name)) return extras.spill(name, value)
  if (!isShallow(value)) throw tooDeep() // a table could hold it; who reads it would call it malformed
  const native = (types === undefined ? undefined : typedOf(value, { types, at: 0 })) ?? nativeOf(value)
  if (native !== undefined) {
    headers[name] = native
    return
  }
  const { text, tag } = toText(value)
  extras.tag(name, tag)
  headers[name] = text
}

/** undefined: a table cannot hold it so that it comes back the same. */
function nativeOf(value: HeaderValue): unknown {
  if (typeof value === 'number') return nativeNumber(value)
  if (typeof value === 'bigint') return isInt64(value) ? { '!': 'int64', value } : undefined
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array) return bytesOf(value)
  if (Array.isArray(value)) return nativeList(value, nativeOf)
  const table = value as HeaderTable
  if (isTimestamp(table)) return { '!': 'timestamp', value: unsigned(table.value as number | bigint) }
  if (isDecimal(table)) return { '!': 'decimal', value: unsignedDecimal(table.value as unknown as Decimal) }
  return nativeTable(table, nativeOf)
}

/** amqplib's writer takes 64 bits without a sign alone. */
function unsigned(value: number | bigint): number | bigint {
  return value < 0 ? BigInt.asUintN(64, BigInt(value)) : value
}

interface Decimal {
  readonly places: number
  readonly digits: number
}

function unsignedDecimal({ places, digits }: Decimal): Decimal {
  return { places, digits: digits >>> 0 }
}

/**
 * amqplib guesses the type of a number; beyond 2^50 and for -0 its guess loses it or throws. RabbitMQ closes the
 * connection (541) for a double that is not finite.
 */
function nativeNumber(value: number): unknown {
  if (!Number.isFinite(value)) return undefined
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) return value
  if (!Number.isInteger(value) && Math.abs(value) < 2 ** 50) return value
  return { '!': 'double', value }
}

function nativeList(values: readonly HeaderValue[], native: (value: HeaderValue) => unknown): unknown[] | undefined {
  const natives = values.map(native)
  return natives.includes(undefined) ? undefined : natives
}

function nativeTable(table: HeaderTable, native: (value: HeaderValue) => unknown): object | undefined {
  const natives: Record<string, unknown> = Object.create(null)
  for (const name of Object.keys(table)) {
    const value = table[name]
    const written = value === undefined || name === '__proto__' || isLong(name) ? undefined : native(value)
    if (written === undefined) return undefined
    natives[name] = written
  }
  return '!' in natives ? { '!': 'object', value: natives } : natives // the driver's word for a table, not for a type
}

interface Types {
  readonly types: string
  at: number
}

const integers: Readonly<Record<string, readonly [type: string, min: number, max: number]>> = {
  b: ['int8', -0x80, 0x7f],
  B: ['uint8', 0, 0xff],
  s: ['int16', -0x8000, 0x7fff],
  u: ['uint16', 0, 0xffff],
  I: ['int32', -0x8000_0000, 0x7fff_ffff],
  i: ['uint32', 0, 0xffff_ffff],
}

/** The value in the types noted for it; undefined where they do not fit it: a rule may have changed it. */
function typedOf(value: HeaderValue, noted: Types): unknown {
  const letter = noted.types[noted.at] ?? ''
  noted.at += 1
  const inner = (each: HeaderValue) => typedOf(each, noted)
  if (letter === 'A') return Array.isArray(value) ? nativeList(value, inner) : undefined
  if (letter === 'F') return isTable(value) ? nativeTable(value, inner) : undefined
  return scalarOf(value, letter)
}

function scalarOf(value: HeaderValue, letter: string): unknown {
  const [type, min = 0, max = 0] = integers[letter] ?? []
  if (type !== undefined) return isWithin(value, min, max) ? { '!': type, value } : undefined
  if (letter === 'l') return isInt64(value) ? { '!': 'int64', value } : undefined
  if (letter === 'd') return Number.isFinite(value) ? { '!': 'double', value } : undefined
  if (letter === 'f')
    return Number.isFinite(value) && Math.fround(value as number) === value ? { '!': 'float', value } : undefined
  if (letter === 'S' && value instanceof Uint8Array) return { '!': 'string', value: bytesOf(value) }
  return shownTypes(value) === letter ? nativeOf(value) : undefined
}

function isTable(value: HeaderValue): value is HeaderTable {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

/** Bytes of a table on the wire, or more. */
export function tableBytes(table: object): number {
  let sum = 4
  for (const name in table) sum += 1 + name.length * 3 + valueBytes((table as Record<string, unknown>)[name])
  return sum <= maxTableBytes ? sum : exactBytes(table)
}

function valueBytes(value: unknown): number {
  if (typeof value === 'string') return 5 + value.length * 3
  if (typeof value !== 'object' || value === null) return 9
  if (value instanceof Uint8Array) return 5 + value.byteLength
  return '!' in value ? scalarBytes(value) : 5 + tableBytes(value)
}

/** Of a value in the driver's own form. */
function scalarBytes(typed: object): number {
  const { '!': type, value } = typed as { '!': unknown; value?: unknown }
  if (type === 'object') return 5 + tableBytes(value as object)
  return value instanceof Uint8Array ? 5 + value.byteLength : 9
}

function exactBytes(value: unknown): number {
  if (typeof value === 'string') return 5 + Buffer.byteLength(value)
  if (typeof value !== 'object' || value === null) return 9
  if (value instanceof Uint8Array) return 5 + value.byteLength
  if ('!' in value) return scalarBytes(value)
  let sum = 9
  for (const name in value) {
    const nameBytes = Array.isArray(value) ? 0 : 1 + Buffer.byteLength(name)
    sum += nameBytes + exactBytes((value as Record<string, unknown>)[name])
  }
  return sum
}
