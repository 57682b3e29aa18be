/**
 * The frames of basic.publish as the gateway writes them itself, many messages into one buffer: amqplib makes a buffer of
 * each frame and closures for each header, which costs several times as much. AMQP 0-9-1, section 4.2; the values of a
 * table have the types that amqplib chooses for them.
 */
import type { Options } from 'amqplib'
import { markedBytes } from '../../../src/envelope/binary-text.ts'
import { PermanentError } from '../../../src/errors.ts'

/** One message as the writer takes it; of `options` what the codec and the sink fill in. */
export interface Publish {
  readonly exchange: string
  readonly routingKey: string
  readonly content: Uint8Array
  readonly options: PublishOptions
}

/** The driver's, and a property that it does not know. */
export interface PublishOptions extends Options.Publish {
  clusterId?: string | undefined
}

const frameKind = { method: 1, header: 2, body: 3 } as const
const frameEnd = 0xce
/** Kind, channel and size before a frame's payload, and the end after it. */
const frameHeadBytes = 7
const frameCostBytes = frameHeadBytes + 1
/** Class, weight and size before a content header's properties. */
const contentHeaderBytes = 12
const basicClass = 60
const publishMethod = 40
/** Bits of the properties, in the order in which they are written. */
const flag = {
  contentType: 0x8000,
  contentEncoding: 0x4000,
  headers: 0x2000,
  deliveryMode: 0x1000,
  priority: 0x0800,
  correlationId: 0x0400,
  replyTo: 0x0200,
  expiration: 0x0100,
  messageId: 0x0080,
  timestamp: 0x0040,
  type: 0x0020,
  appId: 0x0008,
  clusterId: 0x0004,
} as const

const chunkBytes = 65_536
/** Up to here a loop is faster than the call into the runtime. */
const shortTextLength = 64
/** Up to here three bytes a character are reserved without counting. */
const countedTextLength = 1024
const twoTo32 = 2 ** 32

/** Messages of one channel gathered into few writes. Each ends with a frame, for the driver's frames may go between them. */
export class PublishWriter {
  readonly #channel: number
  readonly #frameMaxBytes: number
  #chunks: Buffer[] = []
  #buffer = Buffer.alloc(0)
  /** Start of what is whole and not yet cut off, end of what is whole, end of what is written. */
  #start = 0
  #whole = 0
  #at = 0

  /** `frameMaxBytes` is what the connection has negotiated. */
  constructor(channel: number, frameMaxBytes: number) {
    this.#channel = channel
    this.#frameMaxBytes = frameMaxBytes
  }

  /**
   * Gives the bytes it adds. Throws a PermanentError, with nothing added, where a field does not fit AMQP or this
   * connection's frames.
   */
  add(message: Publish): number {
    try {
      this.#method(message)
      this.#header(message)
    } catch (error) {
      this.#at = this.#whole
      throw error
    }
    const headBytes = this.#at - this.#whole
    this.#whole = this.#at
    return headBytes + this.#body(message.content)
  }

  /** The writes that have gathered; the writer is empty after it. */
  take(): readonly Buffer[] {
    this.#cut()
    const chunks = this.#chunks
    this.#chunks = []
    return chunks
  }

  #method({ exchange, routingKey, options }: Publish): void {
    const frame = this.#open(frameKind.method)
    this.#int16(basicClass)
    this.#int16(publishMethod)
    this.#int16(0) // reserved
    this.#shortText(exchange)
    this.#shortText(routingKey)
    this.#byte(options.mandatory ? 1 : 0)
    this.#close(frame)
  }

  #header({ content, options }: Publish): void {
    const { contentType, correlationId, replyTo, expiration, messageId, timestamp, type, priority } = options
    const frame = this.#open(frameKind.header)
    this.#int16(basicClass)
    this.#int16(0) // weight
    this.#int64(content.byteLength)
    const flagsAt = this.#offset
    this.#int16(0)
    let flags = flag.headers | flag.deliveryMode
    flags |= this.#property(flag.contentType, contentType)
    flags |= this.#property(flag.contentEncoding, options.contentEncoding)
    this.#table(options.headers ?? noHeaders)
    this.#byte(options.persistent ? 2 : 1)
    if (priority !== undefined) {
      this.#byte(priority)
      flags |= flag.priority
    }
    flags |= this.#property(flag.correlationId, correlationId)
    flags |= this.#property(flag.replyTo, replyTo)
    flags |= this.#property(flag.expiration, expiration?.toString())
    flags |= this.#property(flag.messageId, messageId)
    if (timestamp !== undefined) {
      this.#int64(timestamp)
      flags |= flag.timestamp
    }
    flags |= this.#property(flag.type, type)
    flags |= this.#property(flag.appId, options.appId)
    flags |= this.#property(flag.clusterId, options.clusterId)
    this.#buffer.writeUInt16BE(flags, this.#whole + flagsAt)
    const bytes = this.#close(frame)
    if (bytes > this.#frameMaxBytes) throw tooLarge(bytes, this.#frameMaxBytes)
  }

  /** No frame for an empty content. */
  #body(content: Uint8Array): number {
    const most = this.#frameMaxBytes - frameCostBytes
    let bytes = 0
    for (let from = 0; from < content.byteLength; from += most) {
      const isWhole = content.byteLength <= most
      const part = isWhole ? content : content.subarray(from, from + most)
      this.#reserve(part.byteLength + frameCostBytes)
      const frame = this.#open(frameKind.body)
      this.#bytes(part)
      bytes += this.#close(frame)
      this.#whole = this.#at
    }
    return bytes
  }

  /** Gives the frame's place, for `close`. */
  #open(kind: number): number {
    this.#reserve(frameHeadBytes)
    const frame = this.#offset
    this.#byte(kind)
    this.#int16(this.#channel)
    this.#at += 4
    return frame
  }

  /** Gives the frame's bytes. */
  #close(frame: number): number {
    this.#byte(frameEnd)
    const bytes = this.#offset - frame
    this.#buffer.writeUInt32BE(bytes - frameCostBytes, this.#whole + frame + 3)
    return bytes
  }

  /** Where the next byte goes, counted from the last whole message: stays true when the buffer changes. */
  get #offset(): number {
    return this.#at - this.#whole
  }

  #property(bit: number, text: string | undefined): number {
    if (text === undefined) return 0
    this.#markedText(text)
    return bit
  }

  /** A text that may stand for bytes. */
  #markedText(text: string): void {
    const bytes = markedBytes(text)
    if (bytes === undefined) this.#shortText(text)
    else this.#shortBytes(bytes)
  }

  #table(table: Record<string, unknown>): void {
    const sizeAt = this.#skipSize()
    for (const name in table) {
      const value = table[name]
      if (value === undefined) continue
      this.#markedText(name)
      this.#value(value)
    }
    this.#fillSize(sizeAt)
  }

  #value(value: unknown): void {
    if (typeof value === 'string') this.#longText(value)
    else if (typeof value === 'number') this.#number(value)
    else if (typeof value === 'boolean') {
      this.#tag('t')
      this.#byte(value ? 1 : 0)
    } else if (value === null) this.#tag('V')
    else if (typeof value !== 'object') throw unknownType(typeof value)
    else if (Array.isArray(value)) this.#array(value)
    else if (value instanceof Uint8Array) {
      this.#tag('x')
      this.#int32(value.byteLength)
      this.#bytes(value)
    } else if (Object.hasOwn(value, '!')) this.#typed(value as Typed)
    else {
      this.#tag('F')
      this.#table(value as Record<string, unknown>)
    }
  }

  #array(values: readonly unknown[]): void {
    this.#tag('A')
    const sizeAt = this.#skipSize()
    for (const value of values) this.#value(value)
    this.#fillSize(sizeAt)
  }

  /** The driver's own form of what JavaScript has no type for. */
  #typed({ '!': type, value }: Typed): void {
    if (type === 'double') this.#double(value as number)
    else if (type === 'object') {
      this.#tag('F')
      this.#table(value as Record<string, unknown>)
    } else if (Object.hasOwn(integers, type as string)) this.#integer(integers[type as string] as Integer, value)
    else if (type === 'float') {
      this.#tag('f')
      this.#reserve(4)
      this.#at = this.#buffer.writeFloatBE(value as number, this.#at)
    } else if (type === 'string' && value instanceof Uint8Array) {
      this.#tag('S')
      this.#int32(value.byteLength)
      this.#bytes(value)
    } else if (type === 'decimal') {
      const { places, digits } = value as { places: number; digits: number }
      this.#tag('D')
      this.#byte(places)
      this.#int32(digits)
    } else throw unknownType(String(type))
  }

  #integer({ letter, bytes }: Integer, value: unknown): void {
    this.#tag(letter)
    if (bytes === 8) this.#int64(value as number | bigint)
    else if (bytes === 4) this.#int32(value as number)
    else if (bytes === 2) this.#int16(value as number)
    else this.#byte(value as number)
  }

  #number(value: number): void {
    if (value >= 2 ** 63 || (Math.abs(value) < 2 ** 50 && !Number.isInteger(value))) return this.#double(value)
    if (value >= -0x80 && value < 0x80) {
      this.#tag('b')
      this.#byte(value)
    } else if (value >= -0x8000 && value < 0x8000) {
      this.#tag('s')
      this.#int16(value)
    } else if (value >= -0x8000_0000 && value < 0x8000_0000) {
      this.#tag('I')
      this.#int32(value)
    } else if (Number.isSafeInteger(value)) {
      this.#tag('l')
      this.#int64(value)
    } else throw unknownType(`number ${value}`)
  }

  #double(value: number): void {
    this.#tag('d')
    this.#reserve(8)
    this.#at = this.#buffer.writeDoubleBE(value, this.#at)
  }

  #longText(text: string): void {
    this.#tag('S')
    const sizeAt = this.#skipSize()
    this.#utf8(text)
    this.#fillSize(sizeAt)
  }

  #shortText(text: string): void {
    const sizeAt = this.#offset
    this.#byte(0)
    const bytes = this.#utf8(text)
    if (bytes > 255) throw tooLong(bytes)
    this.#buffer[this.#whole + sizeAt] = bytes
  }

  #shortBytes(bytes: Uint8Array): void {
    if (bytes.byteLength > 255) throw tooLong(bytes.byteLength)
    this.#byte(bytes.byteLength)
    this.#bytes(bytes)
  }

  /** Gives the bytes written. */
  #utf8(text: string): number {
    const { length } = text
    this.#reserve(length <= countedTextLength ? length * 3 : Buffer.byteLength(text))
    const bytes = length <= shortTextLength ? this.#ascii(text) : -1
    const written = bytes === -1 ? this.#buffer.write(text, this.#at) : bytes
    this.#at += written
    return written
  }

  /** -1: it is no ASCII. */
  #ascii(text: string): number {
    const buffer = this.#buffer
    const at = this.#at
    const { length } = text
    for (let i = 0; i < length; i += 1) {
      const code = text.charCodeAt(i)
      if (code > 0x7f) return -1
      buffer[at + i] = code
    }
    return length
  }

  #bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.byteLength)
    this.#buffer.set(bytes, this.#at)
    this.#at += bytes.byteLength
  }

  #skipSize(): number {
    this.#reserve(4)
    this.#at += 4
    return this.#offset
  }

  #fillSize(sizeAt: number): void {
    this.#buffer.writeUInt32BE(this.#offset - sizeAt, this.#whole + sizeAt - 4)
  }

  #tag(letter: string): void {
    this.#byte(letter.charCodeAt(0))
  }

  /** Whole numbers that a double holds, negative ones as two's complement. */
  #int64(value: number | bigint): void {
    if (typeof value === 'bigint') {
      this.#reserve(8)
      this.#at = this.#buffer.writeBigUInt64BE(BigInt.asUintN(64, value), this.#at)
      return
    }
    this.#int32(Math.floor(value / twoTo32))
    this.#int32(value)
  }

  #int32(value: number): void {
    this.#int16(value >> 16)
    this.#int16(value)
  }

  #int16(value: number): void {
    this.#byte(value >> 8)
    this.#byte(value)
  }

  #byte(value: number): void {
    this.#reserve(1)
    this.#buffer[this.#at] = value
    this.#at += 1
  }

  /** Makes room in a new buffer, to which the unfinished message moves. */
  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return
    const unfinished = this.#buffer.subarray(this.#whole, this.#at)
    this.#cut()
    this.#buffer = Buffer.allocUnsafe(Math.max(chunkBytes, 2 * unfinished.length + bytes))
    this.#buffer.set(unfinished)
    this.#start = 0
    this.#whole = 0
    this.#at = unfinished.length
  }

  #cut(): void {
    if (this.#whole > this.#start) this.#chunks.push(this.#buffer.subarray(this.#start, this.#whole))
    this.#start = this.#whole
  }
}

/** A message's properties as they are written, from their flags on. */
export function propertiesBytes(options: PublishOptions): Buffer {
  const writer = new PublishWriter(0, Number.POSITIVE_INFINITY)
  writer.add({ exchange: '', routingKey: '', content: new Uint8Array(0), options })
  const frames = Buffer.concat(writer.take())
  const header = frameCostBytes + frames.readUInt32BE(3)
  return frames.subarray(header + frameHeadBytes + contentHeaderBytes, -1)
}

interface Typed {
  readonly '!': unknown
  readonly value: unknown
}

interface Integer {
  readonly letter: string
  readonly bytes: number
}

/** By the driver's names of the types; `T` is read and written like an integer. */
const integers: Readonly<Record<string, Integer>> = {
  int8: { letter: 'b', bytes: 1 },
  uint8: { letter: 'B', bytes: 1 },
  int16: { letter: 's', bytes: 2 },
  uint16: { letter: 'u', bytes: 2 },
  int32: { letter: 'I', bytes: 4 },
  uint32: { letter: 'i', bytes: 4 },
  int64: { letter: 'l', bytes: 8 },
  timestamp: { letter: 'T', bytes: 8 },
}

const noHeaders = Object.freeze({})

function unknownType(type: string): PermanentError {
  return refused(`a header's value has no type in AMQP: ${type}`)
}

function tooLong(bytes: number): PermanentError {
  return refused(`a name or property has ${bytes} bytes; AMQP carries 255`)
}

function refused(text: string): PermanentError {
  return new PermanentError('MESSAGE_REFUSED', text)
}

function tooLarge(bytes: number, limit: number): PermanentError {
  return new PermanentError(
    'MESSAGE_TOO_LARGE',
    `its headers make a frame of ${bytes} bytes; the broker takes ${limit}`,
  )
}
