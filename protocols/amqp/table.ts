/** Header values as amqplib's tables can hold them, and what they must not hold. */
import type { HeaderTable, HeaderValue } from '../../src/envelope/envelope.ts'
import type { Extras } from '../../src/envelope/extras.ts'
import { bytesOf, isShallow, tooDeep, toText } from '../../src/envelope/typed.ts'

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

/** True for names that mean something to the broker, to us or to the driver, and for those a table cannot hold. */
export function isReserved(name: string): boolean {
  return reserved.has(name) || isLong(name) || name.startsWith('cloudEvents_') || name.startsWith('cloudEvents:')
}

function isLong(name: string): boolean {
  return name.length > 85 && Buffer.byteLength(name) > 255
}

/**
 * Writes a custom header in the table's own types, else as tagged text, else into `trvheaders`. Throws a PermanentError for
 * a value nested too deep.
 */
export function writeHeader(headers: Record<string, unknown>, extras: Extras, name: string, value: HeaderValue): void {
  if (isReserved(name)) return extras.spill(name, value)
  if (!isShallow(value)) throw tooDeep() // a table could hold it; who reads it would call it malformed
  const native = nativeOf(value)
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
  if (typeof value === 'bigint') return undefined // amqplib reads 64 bits as a number
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array) return bytesOf(value)
  if (Array.isArray(value)) return nativeArray(value)
  return nativeTable(value as HeaderTable)
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

function nativeArray(values: readonly HeaderValue[]): unknown[] | undefined {
  const natives = values.map(nativeOf)
  return natives.includes(undefined) ? undefined : natives
}

function nativeTable(table: HeaderTable): object | undefined {
  if ('!' in table) return isTyped(table) ? table : undefined
  const natives: Record<string, unknown> = Object.create(null)
  for (const name of Object.keys(table)) {
    const value = table[name]
    const native = value === undefined || name === '__proto__' || isLong(name) ? undefined : nativeOf(value)
    if (native === undefined) return undefined
    natives[name] = native
  }
  return natives
}

/** True for the driver's own form of a timestamp or a decimal, as it came from a table. */
function isTyped(table: HeaderTable): boolean {
  const { '!': type, value } = table as { '!': unknown; value: unknown }
  if (Object.keys(table).length !== 2) return false
  if (type === 'timestamp') return Number.isSafeInteger(value) && (value as number) >= 0
  if (type !== 'decimal' || typeof value !== 'object' || value === null || Object.keys(value).length !== 2) return false
  const { places, digits } = value as { places?: unknown; digits?: unknown }
  return isUnsigned(places, 0xff) && isUnsigned(digits, 0xffff_ffff)
}

function isUnsigned(value: unknown, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max
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
  return value instanceof Uint8Array ? 5 + value.byteLength : 5 + tableBytes(value)
}

function exactBytes(value: unknown): number {
  if (typeof value === 'string') return 5 + Buffer.byteLength(value)
  if (typeof value !== 'object' || value === null) return 9
  if (value instanceof Uint8Array) return 5 + value.byteLength
  let sum = 9
  for (const name in value) {
    const nameBytes = Array.isArray(value) ? 0 : 1 + Buffer.byteLength(name)
    sum += nameBytes + exactBytes((value as Record<string, unknown>)[name])
  }
  return sum
}
