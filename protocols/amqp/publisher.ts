import { isDeepStrictEqual } from 'node:util'
import type { ConfirmChannel, Message, Options } from 'amqplib'
import { delivered, type Outcome } from '../../src/adapter/contract.ts'
import { RetryableError } from '../../src/errors.ts'
import type { AmqpTarget } from './config.ts'
import type { Flight } from './flight.ts'

/** One message as it goes to the broker. */
export interface Publication {
  readonly exchange: string
  readonly routingKey: string
  readonly content: Buffer
  readonly options: Options.Publish
  /** The `send` it belongs to, and its place in the batch. */
  readonly flight: Flight
  readonly index: number
  readonly target: AmqpTarget
}

interface PublisherEvents {
  /** The channel has ended: the reason, if the broker gave one, and all that was unconfirmed. */
  closed(cause: unknown, unconfirmed: readonly Publication[]): void
  /** No queue takes the message. */
  returned(publication: Publication, replyText: string): Outcome
}

/**
 * What the driver's `publish` calls. `publish` itself makes each message's headers the prototype of a new object, which
 * cost 3 of 19 µs per message.
 */
interface RawChannel extends ConfirmChannel {
  sendMessage(fields: object, properties: object, content: Buffer): boolean
  pushConfirmCallback(): void
}

/** Most bytes written and not yet confirmed: the driver's own mark counts objects, whatever their size (amqplib #147). */
const maxUnconfirmedBytes = 8 * 1024 * 1024

/**
 * One confirm channel: matches confirms and returns to messages. Confirms are counted here, not by the driver's
 * callbacks, so that a return finds its message among the unconfirmed.
 */
export class Publisher {
  readonly #channel: RawChannel
  readonly #events: PublisherEvents
  /** By delivery tag, ascending. */
  readonly #unconfirmed = new Map<number, Publication>()
  #lastTag = 0
  #bytes = 0
  #isDrained = true
  #isClosed = false
  #wake: (() => void) | undefined

  constructor(channel: ConfirmChannel, events: PublisherEvents) {
    this.#channel = channel as unknown as RawChannel
    this.#events = events
    let cause: unknown
    channel.on('ack', ({ deliveryTag, multiple }) => this.#confirm(deliveryTag, multiple, delivered))
    channel.on('nack', ({ deliveryTag, multiple }) => this.#confirm(deliveryTag, multiple, nacked()))
    channel.on('return', (message: Message) => this.#return(message))
    channel.on('drain', () => {
      this.#isDrained = true
      this.#wake?.()
    })
    channel.on('error', (error) => {
      cause = error
    })
    channel.on('close', () => this.#events.closed(cause, this.abandon()))
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

  /** Throws, with nothing written, what the driver finds wrong with a field. */
  publish(publication: Publication): void {
    const { content } = publication
    const frame = frameOf(publication)
    this.#isDrained = this.#channel.sendMessage(frame, frame, content)
    this.#channel.pushConfirmCallback() // keeps the driver's own window in step
    this.#lastTag += 1
    this.#bytes += content.byteLength
    this.#unconfirmed.set(this.#lastTag, publication)
  }

  /** Stops tracking and gives back what is unconfirmed; confirms that still come are ignored. */
  abandon(): Publication[] {
    const unconfirmed = [...this.#unconfirmed.values()]
    this.#isClosed = true
    this.#unconfirmed.clear()
    this.#wake?.()
    return unconfirmed
  }

  /** Closes without waiting. */
  close(): void {
    try {
      this.#channel.close().catch(() => {})
    } catch {} // closed already
  }

  #confirm(tag: number, isMultiple: boolean, outcome: Outcome): void {
    if (!isMultiple) this.#settle(tag, outcome)
    else {
      for (const each of this.#unconfirmed.keys()) {
        if (each > tag) break
        this.#settle(each, outcome)
      }
    }
    this.#wake?.()
  }

  #settle(tag: number, outcome: Outcome): void {
    const publication = this.#unconfirmed.get(tag)
    if (publication === undefined) return
    this.#unconfirmed.delete(tag)
    this.#bytes -= publication.content.byteLength
    publication.flight.settle(publication.index, outcome)
  }

  /** A return comes before the confirm of its message and carries no tag. What it must match leaves the user's message as it is. */
  #return(message: Message): void {
    const alike = [...this.#unconfirmed].filter(([, publication]) => isSame(publication, message))
    const isExact = ([, { options }]: [number, Publication]) =>
      isDeepStrictEqual({ ...options.headers }, { ...message.properties.headers })
    const found = alike.length > 1 ? (alike.find(isExact) ?? alike[0]) : alike[0]
    if (found === undefined) return
    const { replyText } = message.fields as unknown as { replyText: string }
    this.#settle(found[0], this.#events.returned(found[1], replyText))
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!this.#isClosed && !condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    this.#wake = undefined
  }
}

/** Method fields and properties in one object, as the driver's encoder reads both. */
function frameOf({ exchange, routingKey, options }: Publication): object {
  return {
    exchange,
    routingKey,
    mandatory: options.mandatory ?? false,
    immediate: false,
    contentType: options.contentType,
    contentEncoding: options.contentEncoding,
    headers: options.headers ?? noHeaders,
    deliveryMode: options.persistent ? 2 : 1,
    priority: options.priority,
    correlationId: options.correlationId,
    replyTo: options.replyTo,
    expiration: options.expiration?.toString(),
    messageId: options.messageId,
    timestamp: options.timestamp,
    type: options.type,
    userId: options.userId,
    appId: options.appId,
  }
}

const noHeaders = Object.freeze({})

function isSame(
  { exchange, routingKey, content, options }: Publication,
  { fields, properties, content: body }: Message,
) {
  return (
    options.messageId === properties.messageId &&
    exchange === fields.exchange &&
    routingKey === fields.routingKey &&
    content.equals(body)
  )
}

const nacked = (): Outcome => ({
  kind: 'retryable',
  error: new RetryableError(
    'TARGET_BUSY',
    'the broker could not take the message (basic.nack), e.g. as its queue is full',
  ),
})
