/**
 * The properties of a message as they are on the wire: AMQP 0-9-1, section 4.2, with the types of RabbitMQ's errata. amqplib
 * reads 64 bits as a double and every string as UTF-8, so that ids and keys of other systems would not come out as they
 * went in.
 */
import { isUtf8 } from 'node:buffer'
import { isMarked, textOfBytes } from '../../../src/envelope/binary-text.ts'
import { HeaderBag, type HeaderTable, type HeaderValue } from '../../../src/envelope/envelope.ts'
import { maxDepth } from '../../../src/envelope/typed.ts'
import { messageOf, PermanentError } from '../../../src/errors.ts'
import { nameIn } from './names.ts'
import { isReserved } from './table.ts'
import { noteType, shownTypes } from './types.ts'

/** A short string that is no UTF-8 is text as `textOfBytes` makes it. */
export interface AmqpProperties {
  contentType?: string
  contentEncoding?: string
  headers?: Record<string, HeaderValue>
  /** Types of headers that their values do not show, as `Envelope.headerTypes` has them. */
  headerTypes?: string | undefined
  /** Why the headers could not be read; there are none then. */
  headersProblem?: PermanentError
  deliveryMode?: number
  priority?: number
  correlationId?: string
  replyTo?: string
  expiration?: string
  messageId?: string
  timestamp?: number | bigint
  type?: string
  userId?: string
  appId?: string
  clusterId?: string
}

/** Reads what follows the size in a content header. Throws a RangeError where the bytes end too early. */
export function readProperties(bytes: Buffer): AmqpProperties {
  const reader = new Reader(bytes, 2)
  const flags = bytes.readUInt16BE(0)
  const properties: AmqpProperties = {}
  if (flags & 0x8000) properties.contentType = reader.shortText()
  if (flags & 0x4000) properties.contentEncoding = reader.shortText()
  if (flags & 0x2000) readHeaders(properties, reader.block())
  if (flags & 0x1000) properties.deliveryMode = reader.byte()
  if (flags & 0x0800) properties.priority = reader.byte()
  if (flags & 0x0400) properties.correlationId = reader.shortText()
  if (flags & 0x0200) properties.replyTo = reader.shortText()
  if (flags & 0x0100) properties.expiration = reader.shortText()
  if (flags & 0x0080) properties.messageId = reader.shortText()
  if (flags & 0x0040) properties.timestamp = reader.int64()
  if (flags & 0x0020) properties.type = reader.shortText()
  if (flags & 0x0010) properties.userId = reader.shortText()
  if (flags & 0x0008) properties.appId = reader.shortText()
  if (flags & 0x0004) properties.clusterId = reader.shortText()
  return properties
}

/** A table that breaks its own form is this message's fault, not the connection's. */
function readHeaders(properties: AmqpProperties, table: Buffer): void {
  const reader = new Reader(table, 0)
  try {
    properties.headers = reader.headers()
    properties.headerTypes = reader.notedTypes
  } catch (error) {
    const text = `its headers cannot be read: ${messageOf(error)}`
    properties.headersProblem = new PermanentError('MESSAGE_MALFORMED', text, { cause: error })
  }
}

const stringTag = 0x53

/** Node's own part of `toString`, which costs half as much for short texts. */
interface SliceableBuffer extends Buffer {
  utf8Slice(start: number, end: number): string
}

class Reader {
  readonly #bytes: SliceableBuffer
  #at: number
  /** Of the value read last, each letter of it. */
  #types = ''
  notedTypes: string | undefined

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes as SliceableBuffer
    this.#at = at
  }

  headers(): Record<string, HeaderValue> {
    const headers: Record<string, HeaderValue> = new HeaderBag()
    while (this.#at < this.#bytes.length) {
      const name = this.#name()
      const isString = this.#bytes[this.#at] === stringTag
      const value = this.#value(0)
      headers[name] = value
      if (isString && typeof value === 'string') continue
      if (!isReserved(name) && this.#types !== shownTypes(value))
        this.notedTypes = noteType(this.notedTypes, name, this.#types)
    }
    return headers
  }

  #value(depth: number): HeaderValue {
    const letter = String.fromCharCode(this.byte())
    this.#types = letter
    const bytes = this.#bytes
    switch (letter) {
      case 'S':
        return this.#longText()
      case 't':
        return this.byte() !== 0
      case 'b':
        return bytes.readInt8(this.#skip(1))
      case 'B':
        return this.byte()
      case 's':
        return bytes.readInt16BE(this.#skip(2))
      case 'u':
        return bytes.readUInt16BE(this.#skip(2))
      case 'I':
        return bytes.readInt32BE(this.#skip(4))
      case 'i':
        return bytes.readUInt32BE(this.#skip(4))
      case 'l':
        return this.int64()
      case 'L':
        return exact(bytes.readBigUInt64BE(this.#skip(8)))
      case 'f':
        return bytes.readFloatBE(this.#skip(4))
      case 'd':
        return bytes.readDoubleBE(this.#skip(8))
      case 'T':
        return { '!': 'timestamp', value: this.int64() } // signed, as senders of dates before 1970 mean it
      case 'D':
        return { '!': 'decimal', value: { places: this.byte(), digits: bytes.readInt32BE(this.#skip(4)) } }
      case 'V':
        return null
      case 'x':
        return Buffer.from(this.block())
      case 'A':
        return this.#array(this.block(), depth)
      case 'F':
        return this.#table(this.block(), depth)
      default:
        throw new TypeError(`'${letter}' is no type of a table's value`)
    }
  }

  /** What is nested deeper than headers may be is left out: the depth alone makes the message malformed. */
  #array(block: Buffer, depth: number): HeaderValue {
    const inner = new Reader(block, depth > maxDepth ? block.length : 0)
    const values: HeaderValue[] = []
    let types = 'A'
    while (inner.#at < block.length) {
      values.push(inner.#value(depth + 1))
      types += inner.#types
    }
    this.#types = types
    return values
  }

  /** Types in the order in which JavaScript has the names. */
  #table(block: Buffer, depth: number): HeaderValue {
    const inner = new Reader(block, depth > maxDepth ? block.length : 0)
    const table: Record<string, HeaderValue> = new HeaderBag()
    const types: Record<string, string> = Object.create(null)
    while (inner.#at < block.length) {
      const name = inner.#name()
      table[name] = inner.#value(depth + 1)
      types[name] = inner.#types
    }
    this.#types = `F${Object.values(types).join('')}`
    return table as HeaderTable
  }

  #name(): string {
    const bytes = this.#bytes
    const at = this.#at
    const end = at + 1 + (bytes[at] as number)
    const name = end < bytes.length ? nameIn(bytes, at + 1, end - at - 1) : undefined
    if (name === undefined || isMarked(name)) return this.shortText()
    this.#at = end
    return name
  }

  byte(): number {
    return this.#bytes[this.#skip(1)] as number
  }

  int64(): number | bigint {
    return exact(this.#bytes.readBigInt64BE(this.#skip(8)))
  }

  shortText(): string {
    const length = this.byte()
    const start = this.#skip(length)
    const text = this.#bytes.utf8Slice(start, start + length)
    if (!text.includes('\ufffd') && !isMarked(text)) return text
    return textOfBytes(this.#bytes.subarray(start, start + length))
  }

  /** The bytes behind a length of 32 bits. */
  block(): Buffer {
    const length = this.#uint32()
    const start = this.#skip(length)
    return this.#bytes.subarray(start, start + length)
  }

  #longText(): HeaderValue {
    const length = this.#uint32()
    const start = this.#skip(length)
    const text = this.#bytes.utf8Slice(start, start + length)
    if (!text.includes('\ufffd')) return text
    const bytes = this.#bytes.subarray(start, start + length)
    return isUtf8(bytes) ? text : Buffer.from(bytes)
  }

  #uint32(): number {
    const at = this.#skip(4)
    const bytes = this.#bytes
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  }

  /** Gives the place of what is skipped. */
  #skip(length: number): number {
    const start = this.#at
    if (start + length > this.#bytes.length) throw new RangeError('the bytes end too early')
    this.#at = start + length
    return start
  }
}

function exact(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}
