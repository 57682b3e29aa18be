import type { Writable } from 'node:stream'
import { isDeepStrictEqual } from 'node:util'
import type { ConfirmChannel, Message } from 'amqplib'
import { delivered, type Outcome, retryable } from '../../../src/adapter/contract.ts'
import type { Flight } from '../../../src/adapter/outcomes.ts'
import { Waiting } from '../../../src/adapter/waiting.ts'
import { RetryableError } from '../../../src/errors.ts'
import type { AmqpTarget } from '../config.ts'
import { type Publish, PublishWriter, propertiesBytes } from './publish-writer.ts'
import { readProperties } from './reader.ts'

/** One message as it goes to the broker. */
export interface Publication extends Publish {
  /** On the wire, frames included; set by `publish`. */
  bytes: number
  /** The `send` it belongs to, and its place in the batch. */
  readonly flight: Flight
  readonly index: number
  readonly target: AmqpTarget
}

interface PublisherEvents {
  /** The broker has confirmed or refused something. */
  heard(): void
  /** The channel has ended: the reason, if the broker gave one, and all that was unconfirmed. */
  closed(cause: unknown, unconfirmed: readonly Publication[]): void
  /** No queue takes the message. */
  returned(publication: Publication, replyText: string): Outcome
}

/** What the driver's types leave out: where the frames of a channel wait for their turn on the socket. */
interface RawChannel {
  readonly ch: number
  readonly connection: {
    readonly frameMax: number
    readonly channels: readonly ({ readonly buffer: Writable } | null)[]
    /** Spares a heartbeat. */
    sentSinceLastCheck: boolean
  }
}

/** Most bytes written and not yet confirmed: the driver's own mark counts objects, whatever their size (amqplib #147). */
const maxUnconfirmedBytes = 8 * 1024 * 1024

/**
 * One confirm channel: writes messages, and matches confirms and returns to them. Frames are made here and go through the
 * driver's queue of the channel, in order with its own; confirms are counted here and not by the driver, which knows
 * nothing of these messages.
 */
export class Publisher {
  readonly #channel: ConfirmChannel
  readonly #raw: RawChannel
  readonly #writer: PublishWriter
  readonly #events: PublisherEvents
  /** By delivery tag, ascending. */
  readonly #unconfirmed = new Map<number, Publication>()
  readonly #waiting = new Waiting()
  #lastTag = 0
  #bytes = 0
  #isDrained = true
  #isScheduled = false
  #isClosed = false

  constructor(channel: ConfirmChannel, events: PublisherEvents) {
    this.#channel = channel
    this.#raw = channel as unknown as RawChannel
    this.#writer = new PublishWriter(this.#raw.ch, this.#raw.connection.frameMax)
    this.#events = events
    let cause: unknown
    for (const event of ['ack', 'nack']) channel.removeAllListeners(event)
    channel.on('ack', ({ deliveryTag, multiple }) => this.#confirm(deliveryTag, multiple, delivered))
    channel.on('nack', ({ deliveryTag, multiple }) => this.#confirm(deliveryTag, multiple, nacked()))
    channel.on('return', (message: Message) => this.#return(message))
    channel.on('drain', () => {
      this.#isDrained = true
      this.#waiting.wake()
    })
    channel.on('error', (error) => {
      cause = error
    })
    channel.on('close', () => {
      if (!this.#isClosed) this.#events.closed(cause, this.abandon()) // else another has its place
    })
  }

  get isOpen(): boolean {
    return !this.#isClosed
  }

  get isIdle(): boolean {
    return this.#unconfirmed.size === 0
  }

  /** False: wait for `whenWritable` before the next `publish`. */
  get isWritable(): boolean {
    return this.#isDrained && this.#bytes < maxUnconfirmedBytes
  }

  /** Resolves when more may be written, or the channel has ended. */
  whenWritable(): Promise<void> {
    return this.#until(() => this.isWritable)
  }

  /** Resolves when everything is confirmed, or the channel has ended. */
  whenIdle(): Promise<void> {
    return this.#until(() => this.isIdle)
  }

  /** Throws, with nothing written, where a field does not fit. What one turn of the event loop publishes leaves together. */
  publish(publication: Publication): void {
    publication.bytes = this.#writer.add(publication)
    this.#lastTag += 1
    this.#bytes += publication.bytes
    this.#unconfirmed.set(this.#lastTag, publication)
    if (this.#isScheduled) return
    this.#isScheduled = true
    process.nextTick(this.#flush)
  }

  readonly #flush = (): void => {
    this.#isScheduled = false
    const { connection, ch } = this.#raw
    const chunks = this.#writer.take()
    if (this.#isClosed) return // the broker gave the number to another channel, perhaps
    connection.sentSinceLastCheck = true
    for (const chunk of chunks) this.#isDrained = connection.channels[ch]?.buffer.write(chunk) ?? false
  }

  /** Stops tracking and gives back what is unconfirmed; confirms that still come are ignored. */
  abandon(): Publication[] {
    const unconfirmed = [...this.#unconfirmed.values()]
    this.#isClosed = true
    this.#unconfirmed.clear()
    this.#waiting.wake()
    return unconfirmed
  }

  /** Closes without waiting. */
  close(): void {
    try {
      this.#channel.close().catch(() => {})
    } catch {} // closed already
  }

  #confirm(tag: number, isMultiple: boolean, outcome: Outcome): void {
    this.#events.heard()
    if (!isMultiple) this.#settle(tag, outcome)
    else {
      for (const each of this.#unconfirmed.keys()) {
        if (each > tag) break
        this.#settle(each, outcome)
      }
    }
    this.#waiting.wake()
  }

  #settle(tag: number, outcome: Outcome): void {
    const publication = this.#unconfirmed.get(tag)
    if (publication === undefined) return
    this.#unconfirmed.delete(tag)
    this.#bytes -= publication.bytes
    publication.flight.settle(publication.index, outcome)
  }

  /** A return comes before the confirm of its message and carries no tag. What it must match leaves the user's message as it is. */
  #return(message: Message): void {
    const alike = [...this.#unconfirmed].filter(([, publication]) => isSame(publication, message))
    const isExact = ([, { options }]: [number, Publication]) =>
      isDeepStrictEqual(
        { ...readProperties(propertiesBytes(options)).headers }, // in the types it is read back with
        { ...message.properties.headers },
      )
    const found = alike.length > 1 ? (alike.find(isExact) ?? alike[0]) : alike[0]
    if (found === undefined) return
    const { replyText } = message.fields as unknown as { replyText: string }
    this.#settle(found[0], this.#events.returned(found[1], replyText))
  }

  #until(condition: () => boolean): Promise<void> {
    return this.#waiting.until(() => this.#isClosed || condition())
  }
}

function isSame(
  { exchange, routingKey, content, options }: Publication,
  { fields, properties, content: body }: Message,
) {
  return (
    options.messageId?.toWellFormed() === properties.messageId && // as UTF-8 carries it
    exchange === fields.exchange &&
    routingKey.toWellFormed() === fields.routingKey &&
    body.equals(content)
  )
}

const nacked = (): Outcome =>
  retryable(
    new RetryableError('TARGET_BUSY', 'the broker could not take the message (basic.nack), e.g. as its queue is full'),
  )
