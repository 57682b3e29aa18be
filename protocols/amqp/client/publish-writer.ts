/** The frames of basic.publish, many messages into one buffer: AMQP 0-9-1, section 4.2. */
import type { Options } from 'amqplib'
import { PermanentError } from '../../../src/errors.ts'
import { writeTable } from './table-writer.ts'
import { Writer } from './wire.ts'

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
const noHeaders = Object.freeze({})

/** Messages of one channel gathered into few writes. Each ends with a frame, for the driver's frames may go between them. */
export class PublishWriter {
  readonly #channel: number
  readonly #frameMaxBytes: number
  readonly #out = new Writer()

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
      this.#out.drop()
      throw error
    }
    const headBytes = this.#out.offset
    this.#out.keep()
    return headBytes + this.#body(message.content)
  }

  /** The writes that have gathered; the writer is empty after it. */
  take(): readonly Buffer[] {
    return this.#out.take()
  }

  #method({ exchange, routingKey, options }: Publish): void {
    const out = this.#out
    const frame = this.#open(frameKind.method)
    out.int16(basicClass)
    out.int16(publishMethod)
    out.int16(0) // reserved
    out.shortText(exchange)
    out.shortText(routingKey)
    out.byte(options.mandatory ? 1 : 0)
    this.#close(frame)
  }

  #header({ content, options }: Publish): void {
    const out = this.#out
    const frame = this.#open(frameKind.header)
    out.int16(basicClass)
    out.int16(0) // weight
    out.int64(content.byteLength)
    const flagsAt = out.offset
    out.int16(0)
    out.setInt16(flagsAt, this.#properties(options))
    const bytes = this.#close(frame)
    if (bytes > this.#frameMaxBytes) throw tooLarge(bytes, this.#frameMaxBytes)
  }

  /** Gives the flags of those it has written. */
  #properties(options: PublishOptions): number {
    const { priority, timestamp } = options
    const out = this.#out
    let flags = flag.headers | flag.deliveryMode
    flags |= this.#property(flag.contentType, options.contentType)
    flags |= this.#property(flag.contentEncoding, options.contentEncoding)
    writeTable(out, options.headers ?? noHeaders)
    out.byte(options.persistent ? 2 : 1)
    if (priority !== undefined) {
      out.byte(priority)
      flags |= flag.priority
    }
    flags |= this.#property(flag.correlationId, options.correlationId)
    flags |= this.#property(flag.replyTo, options.replyTo)
    flags |= this.#property(flag.expiration, options.expiration?.toString())
    flags |= this.#property(flag.messageId, options.messageId)
    if (timestamp !== undefined) {
      out.int64(timestamp)
      flags |= flag.timestamp
    }
    flags |= this.#property(flag.type, options.type)
    flags |= this.#property(flag.appId, options.appId)
    return flags | this.#property(flag.clusterId, options.clusterId)
  }

  #property(bit: number, text: string | undefined): number {
    if (text === undefined) return 0
    this.#out.markedText(text)
    return bit
  }

  /** No frame for an empty content. */
  #body(content: Uint8Array): number {
    const most = this.#frameMaxBytes - frameCostBytes
    let bytes = 0
    for (let from = 0; from < content.byteLength; from += most) {
      const part = content.byteLength <= most ? content : content.subarray(from, from + most)
      this.#out.reserve(part.byteLength + frameCostBytes)
      const frame = this.#open(frameKind.body)
      this.#out.bytes(part)
      bytes += this.#close(frame)
      this.#out.keep()
    }
    return bytes
  }

  /** Gives where the frame's payload begins, for `close`. */
  #open(kind: number): number {
    this.#out.byte(kind)
    this.#out.int16(this.#channel)
    return this.#out.skipSize()
  }

  /** Gives the frame's bytes. */
  #close(frame: number): number {
    this.#out.fillSize(frame)
    this.#out.byte(frameEnd)
    return this.#out.offset - frame + frameHeadBytes
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

function tooLarge(bytes: number, limit: number): PermanentError {
  return new PermanentError(
    'MESSAGE_TOO_LARGE',
    `its headers make a frame of ${bytes} bytes; the broker takes ${limit}`,
  )
}
