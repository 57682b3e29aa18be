/** Tables of AMQP 0-9-1 with the types of RabbitMQ's errata; values have the types that amqplib chooses for them. */
import { PermanentError } from '../../../src/errors.ts'
import type { Writer } from './wire.ts'

/** Throws a PermanentError for a value of no type, or a name beyond 255 bytes. */
export function writeTable(writer: Writer, table: Readonly<Record<string, unknown>>): void {
  const sizeAt = writer.skipSize()
  for (const name in table) {
    const value = table[name]
    if (value === undefined) continue
    writer.markedText(name)
    writeValue(writer, value)
  }
  writer.fillSize(sizeAt)
}

function writeValue(writer: Writer, value: unknown): void {
  if (typeof value === 'string') {
    tag(writer, 'S')
    writer.longText(value)
  } else if (typeof value === 'number') writeNumber(writer, value)
  else if (typeof value === 'boolean') {
    tag(writer, 't')
    writer.byte(value ? 1 : 0)
  } else if (value === null) tag(writer, 'V')
  else if (typeof value !== 'object') throw unknownType(typeof value)
  else if (Array.isArray(value)) writeArray(writer, value)
  else if (value instanceof Uint8Array) writeBytes(writer, 'x', value)
  else if (Object.hasOwn(value, '!')) writeTyped(writer, value as Typed)
  else {
    tag(writer, 'F')
    writeTable(writer, value as Record<string, unknown>)
  }
}

function writeArray(writer: Writer, values: readonly unknown[]): void {
  tag(writer, 'A')
  const sizeAt = writer.skipSize()
  for (const value of values) writeValue(writer, value)
  writer.fillSize(sizeAt)
}

function writeBytes(writer: Writer, letter: string, bytes: Uint8Array): void {
  tag(writer, letter)
  writer.int32(bytes.byteLength)
  writer.bytes(bytes)
}

interface Typed {
  readonly '!': unknown
  readonly value: unknown
}

/** The driver's own form of what JavaScript has no type for. */
function writeTyped(writer: Writer, { '!': type, value }: Typed): void {
  if (type === 'double') writeDouble(writer, value as number)
  else if (type === 'object') {
    tag(writer, 'F')
    writeTable(writer, value as Record<string, unknown>)
  } else if (Object.hasOwn(integers, type as string)) writeInteger(writer, integers[type as string] as Integer, value)
  else if (type === 'float') {
    tag(writer, 'f')
    writer.float(value as number)
  } else if (type === 'string' && value instanceof Uint8Array) writeBytes(writer, 'S', value)
  else if (type === 'decimal') {
    const { places, digits } = value as { places: number; digits: number }
    tag(writer, 'D')
    writer.byte(places)
    writer.int32(digits)
  } else throw unknownType(String(type))
}

function writeNumber(writer: Writer, value: number): void {
  if (value >= 2 ** 63 || (Math.abs(value) < 2 ** 50 && !Number.isInteger(value))) return writeDouble(writer, value)
  if (value >= -0x80 && value < 0x80) writeInteger(writer, integers.int8, value)
  else if (value >= -0x8000 && value < 0x8000) writeInteger(writer, integers.int16, value)
  else if (value >= -0x8000_0000 && value < 0x8000_0000) writeInteger(writer, integers.int32, value)
  else if (Number.isSafeInteger(value)) writeInteger(writer, integers.int64, value)
  else throw unknownType(`number ${value}`)
}

function writeDouble(writer: Writer, value: number): void {
  tag(writer, 'd')
  writer.double(value)
}

interface Integer {
  readonly letter: string
  readonly bytes: number
}

/** By the driver's names of the types; `T` is read and written like an integer. */
const integers: Readonly<Record<string, Integer>> & Record<'int8' | 'int16' | 'int32' | 'int64', Integer> = {
  int8: { letter: 'b', bytes: 1 },
  uint8: { letter: 'B', bytes: 1 },
  int16: { letter: 's', bytes: 2 },
  uint16: { letter: 'u', bytes: 2 },
  int32: { letter: 'I', bytes: 4 },
  uint32: { letter: 'i', bytes: 4 },
  int64: { letter: 'l', bytes: 8 },
  timestamp: { letter: 'T', bytes: 8 },
}

function writeInteger(writer: Writer, { letter, bytes }: Integer, value: unknown): void {
  tag(writer, letter)
  if (bytes === 8) writer.int64(value as number | bigint)
  else if (bytes === 4) writer.int32(value as number)
  else if (bytes === 2) writer.int16(value as number)
  else writer.byte(value as number)
}

function tag(writer: Writer, letter: string): void {
  writer.byte(letter.charCodeAt(0))
}

function unknownType(type: string): PermanentError {
  return new PermanentError('MESSAGE_REFUSED', `a header's value has no type in AMQP: ${type}`)
}
