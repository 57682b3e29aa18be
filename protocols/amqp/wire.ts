/**
 * The frames of basic.publish as the gateway writes them itself, many messages into one buffer: amqplib makes a buffer of
 * each frame and closures for each header, which costs several times as much. AMQP 0-9-1, section 4.2; the values of a
 * table have the types that amqplib chooses for them.
 */
import type { Options } from 'amqplib'
import { PermanentError } from '../../src/errors.ts'

/** One message as the writer takes it; of `options` what the codec and the sink fill in. */
export interface Publish {
  readonly exchange: string
  readonly routingKey: string
  readonly content: Uint8Array
  readonly options: Options.Publish
}

const frameKind = { method: 1, header: 2, body: 3 } as const
const frameEnd = 0xce
/** Kind, channel and size before a frame's payload, and the end after it. */
const frameHeadBytes = 7
const frameCostBytes = frameHeadBytes + 1
const basicClass = 60
const publishMethod = 40
/** Bits of the properties, in the order in which they are written. */
const flag = {
  contentType: 0x8000,
  headers: 0x2000,
  deliveryMode: 0x1000,
  priority: 0x0800,
  correlationId: 0x0400,
  replyTo: 0x0200,
  expiration: 0x0100,
  messageId: 0x0080,
  timestamp: 0x0040,
  type: 0x0020,
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
    this.#shortText(text)
    return bit
  }

  #table(table: Record<string, unknown>): void {
    const sizeAt = this.#skipSize()
    for (const name in table) {
      const value = table[name]
      if (value === undefined) continue
      this.#shortText(name)
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
    else if (type === 'timestamp') {
      this.#tag('T')
      this.#int64(value as number)
    } else if (type === 'decimal') {
      const { places, digits } = value as { places: number; digits: number }
      this.#tag('D')
      this.#byte(places)
      this.#int32(digits)
    } else throw unknownType(String(type))
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
    if (bytes > 255) throw refused(`a name or property has ${bytes} bytes; AMQP carries 255`)
    this.#buffer[this.#whole + sizeAt] = bytes
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
  #int64(value: number): void {
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

interface Typed {
  readonly '!': unknown
  readonly value: unknown
}

const noHeaders = Object.freeze({})

function unknownType(type: string): PermanentError {
  return refused(`a header's value has no type in AMQP: ${type}`)
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
