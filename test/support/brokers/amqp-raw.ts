/**
 * Messages of AMQP 0-9-1 as bytes, written and read by the tests' own code: neither the driver's nor the gateway's, so that
 * what both would get wrong shows. Types and letters: https://www.rabbitmq.com/amqp-0-9-1-errata.html
 */
import { type Channel, type ChannelModel, connect } from 'amqplib'
import { eventually } from '../poll.ts'
import { brokerAddresses } from './addresses.ts'

/** A value and its letter: scalars of numbers as their bytes in hex, so that nothing is rounded on the way. */
export type Field =
  | {
      readonly letter: 'b' | 'B' | 's' | 'u' | 'I' | 'i' | 'l' | 'f' | 'd' | 'T' | 'D' | 't' | 'V'
      readonly hex: string
    }
  | { readonly letter: 'S' | 'x'; readonly hex: string }
  | { readonly letter: 'A'; readonly items: readonly Field[] }
  | { readonly letter: 'F'; readonly table: Table }
export type Table = Readonly<Record<string, Field>>

/** Bytes of the scalars; `S` and `x` have a length before them. */
export const sizes = { b: 1, B: 1, s: 2, u: 2, I: 4, i: 4, l: 8, f: 4, d: 8, T: 8, D: 5, t: 1, V: 0 } as const

const withLength = (bytes: Buffer): Buffer => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

function writeField(field: Field): Buffer {
  const letter = Buffer.from(field.letter)
  if (field.letter === 'A') return Buffer.concat([letter, withLength(Buffer.concat(field.items.map(writeField)))])
  if (field.letter === 'F') return Buffer.concat([letter, writeTable(field.table)])
  const bytes = Buffer.from(field.hex, 'hex')
  return Buffer.concat([letter, field.letter === 'S' || field.letter === 'x' ? withLength(bytes) : bytes])
}

const shortString = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([bytes.length]), bytes])

export function writeTable(table: Table): Buffer {
  const parts = Object.entries(table).flatMap(([name, field]) => [shortString(Buffer.from(name)), writeField(field)])
  return withLength(Buffer.concat(parts))
}

interface Cursor {
  readonly bytes: Buffer
  at: number
}

function take(cursor: Cursor, length: number): Buffer {
  cursor.at += length
  if (cursor.at > cursor.bytes.length) throw new RangeError('the table ends too early')
  return cursor.bytes.subarray(cursor.at - length, cursor.at)
}

const block = (cursor: Cursor): Cursor => ({ bytes: take(cursor, take(cursor, 4).readUInt32BE()), at: 0 })

function readField(cursor: Cursor): Field {
  const letter = take(cursor, 1).toString()
  if (letter === 'F') return { letter, table: readTable(block(cursor)) }
  if (letter === 'A') {
    const inner = block(cursor)
    const items: Field[] = []
    while (inner.at < inner.bytes.length) items.push(readField(inner))
    return { letter, items }
  }
  if (letter === 'S' || letter === 'x') return { letter, hex: block(cursor).bytes.toString('hex') }
  const size = sizes[letter as keyof typeof sizes]
  if (size === undefined) throw new TypeError(`letter ${letter}`)
  return { letter: letter as 'b', hex: take(cursor, size).toString('hex') }
}

function readTable(cursor: Cursor): Table {
  const table: Record<string, Field> = {}
  while (cursor.at < cursor.bytes.length) {
    const name = take(cursor, take(cursor, 1)[0] as number).toString()
    table[name] = readField(cursor)
  }
  return table
}

/** In the order of their flags. Short strings as bytes in hex. */
const properties = [
  ['contentType', 0x8000],
  ['contentEncoding', 0x4000],
  ['headers', 0x2000],
  ['deliveryMode', 0x1000],
  ['priority', 0x0800],
  ['correlationId', 0x0400],
  ['replyTo', 0x0200],
  ['expiration', 0x0100],
  ['messageId', 0x0080],
  ['timestamp', 0x0040],
  ['type', 0x0020],
  ['userId', 0x0010],
  ['appId', 0x0008],
  ['clusterId', 0x0004],
] as const
type ShortName = Exclude<(typeof properties)[number][0], 'headers' | 'deliveryMode' | 'priority' | 'timestamp'>
export interface RawMessage extends Partial<Readonly<Record<ShortName, string>>> {
  readonly headers?: Table
  readonly body: string
}

function writeProperties(message: RawMessage): Buffer {
  let flags = 0
  const parts: Buffer[] = []
  for (const [name, flag] of properties) {
    const value = name === 'deliveryMode' || name === 'priority' || name === 'timestamp' ? undefined : message[name]
    if (value === undefined) continue
    flags |= flag
    parts.push(typeof value === 'string' ? shortString(Buffer.from(value, 'hex')) : writeTable(value))
  }
  const head = Buffer.alloc(2)
  head.writeUInt16BE(flags)
  return Buffer.concat([head, ...parts])
}

/** A content header's properties, from their flags on. */
export function readProperties(bytes: Buffer): Omit<RawMessage, 'body'> {
  const cursor = { bytes, at: 2 }
  const found: Record<string, string | Table> = {}
  for (const [name, flag] of properties) {
    if ((bytes.readUInt16BE() & flag) === 0) continue
    if (name === 'headers') found[name] = readTable(block(cursor))
    else if (name === 'deliveryMode' || name === 'priority') take(cursor, 1)
    else if (name === 'timestamp') take(cursor, 8)
    else found[name] = take(cursor, take(cursor, 1)[0] as number).toString('hex')
  }
  return found
}

function frame(kind: number, channel: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(7)
  head.writeUInt8(kind)
  head.writeUInt16BE(channel, 1)
  head.writeUInt32BE(payload.length, 3)
  return Buffer.concat([head, payload, Buffer.from([0xce])])
}

/** What the driver keeps for itself. */
interface DriverChannel {
  readonly ch: number
  readonly connection: {
    rest: Buffer
    recvFrame(): unknown
    channels: Record<number, { buffer: { write(bytes: Buffer): void } }>
  }
}

/** A connection that leaves the handshake and the methods to the driver, and the messages to this file. */
export class RawAmqp {
  readonly channel: Channel
  readonly #model: ChannelModel
  readonly #raw: DriverChannel
  /** Content headers read and not yet asked for. */
  #headers: Buffer[] = []

  private constructor(model: ChannelModel, channel: Channel) {
    this.#model = model
    this.channel = channel
    this.#raw = channel as unknown as DriverChannel
    const { connection } = this.#raw
    const driverFrame = connection.recvFrame.bind(connection)
    connection.recvFrame = () => {
      const { rest } = connection
      const frameRead = driverFrame()
      if (frameRead && rest[0] === 2 && rest.length >= 8 + rest.readUInt32BE(3))
        this.#headers.push(Buffer.from(rest.subarray(7 + 12, 7 + rest.readUInt32BE(3))))
      return frameRead
    }
  }

  static async open(): Promise<RawAmqp> {
    const model = await connect(brokerAddresses().amqp)
    model.on('error', () => {})
    const channel = await model.createChannel()
    channel.on('error', () => {})
    return new RawAmqp(model, channel)
  }

  /** To the default exchange. */
  publish(queue: string, message: RawMessage): void {
    const { ch, connection } = this.#raw
    const body = Buffer.from(message.body)
    const method = Buffer.concat([
      Buffer.from([0, 60, 0, 40, 0, 0, 0]),
      shortString(Buffer.from(queue)),
      Buffer.from([0]),
    ])
    const size = Buffer.alloc(12)
    size.writeUInt16BE(60)
    size.writeUInt32BE(body.length, 8)
    const frames = [
      frame(1, ch, method),
      frame(2, ch, Buffer.concat([size, writeProperties(message)])),
      frame(3, ch, body),
    ]
    connection.channels[ch]?.buffer.write(Buffer.concat(frames))
  }

  /** Takes the next message of a queue. */
  async get(queue: string): Promise<RawMessage> {
    const { content } = await eventually(() => this.channel.get(queue, { noAck: true }), {
      what: `a message in ${queue}`,
    })
    const header = this.#headers.shift()
    if (header === undefined) throw new Error('a message without a header')
    return { ...readProperties(header), body: content.toString() }
  }

  close(): Promise<void> {
    return this.#model.close().catch(() => {})
  }
}
