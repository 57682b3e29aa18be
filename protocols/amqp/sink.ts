import {
  type Context,
  type Outbound,
  type Outcome,
  outcomeOf,
  rejected,
  retryable,
  type Sink,
} from '../../src/adapter/contract.ts'
import { Flight, unsendable } from '../../src/adapter/outcomes.ts'
import { Pace } from '../../src/adapter/pace.ts'
import { type GatewayError, PermanentError, RetryableError } from '../../src/errors.ts'
import { AmqpConnection } from './client/connection.ts'
import { type Publication, Publisher } from './client/publisher.ts'
import { encode } from './codec.ts'
import type { AmqpConnectionConfig, AmqpTarget } from './config.ts'
import { Destinations, nameOf } from './destinations.ts'
import { isMissing, lost, refusalOf, sizeLimitOf, toGatewayError } from './errors.ts'

const mostInBatch = 500

/** Publishes over a connection and a confirm channel of its own; one `send` is written after the other. */
export class AmqpSink implements Sink<AmqpTarget> {
  readonly keepsOrder = true
  readonly maxConcurrentSends = 2
  readonly #pace = new Pace(mostInBatch) // for as long as the sink lives: it is the broker's, whatever its connection
  readonly #settings: AmqpConnectionConfig
  readonly #context: Context
  readonly #destinations = new Destinations()
  readonly #flights = new Set<Flight>()
  /** Exchanges that ended a channel by refusing a message: theirs are published alone. */
  readonly #suspects = new Set<string>()
  #connection: AmqpConnection | undefined
  #publisher: Publisher | undefined
  #writing: Promise<void> = Promise.resolve()
  #maxBytes: number
  /** So many messages are published one at a time, to find which one ends the channel. */
  #careful = 0

  constructor(settings: AmqpConnectionConfig, context: Context) {
    this.#settings = settings
    this.#context = context
    this.#maxBytes = settings.maxMessageSize
  }

  get maxBatch(): number {
    return this.#pace.batch
  }

  async open(signal: AbortSignal): Promise<void> {
    await this.close()
    const connection = await AmqpConnection.open(this.#settings, this.#context, 'sink', signal)
    this.#destinations.forgetAll()
    this.#connection = connection
  }

  lost(): Promise<GatewayError> {
    return this.#connection?.lost ?? new Promise(() => {})
  }

  async send(batch: readonly Outbound<AmqpTarget>[], signal: AbortSignal): Promise<readonly Outcome[]> {
    const connection = this.#connection
    const flight = new Flight(batch.length)
    if (connection === undefined || !connection.isOpen || signal.aborted) flight.fail(lost('not connected'))
    else this.#writing = this.#writing.then(() => this.#write(flight, batch, connection))
    this.#flights.add(flight)
    try {
      return await flight.land({
        pace: this.#pace,
        signal,
        abandoned: () => lost('the send was given up'),
        late: (ms) => this.#expire(flight, connection, ms),
      })
    } finally {
      this.#flights.delete(flight)
    }
  }

  async close(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    this.#publisher?.abandon()
    this.#publisher = undefined
    for (const flight of this.#flights) flight.fail(lost('closed'))
    await connection?.close()
  }

  /** Never rejects. While the broker is blocked nothing is written. */
  async #write(flight: Flight, batch: readonly Outbound<AmqpTarget>[], connection: AmqpConnection): Promise<void> {
    try {
      if (connection.isBlocked) await connection.whenUnblocked()
      if (flight.isDone) return
      const publisher = await this.#publisherOn(connection)
      for (let index = 0; index < batch.length && !flight.isDone && publisher.isOpen; index += 1) {
        const outbound = batch[index]!
        const isReady = this.#destinations.isKnown(outbound.target)
        const problem = isReady ? undefined : await this.#destinations.learn(outbound.target, connection)
        if (problem !== undefined) flight.settle(index, outcomeOf(problem))
        else if (this.#mustGoAlone(outbound.target)) await this.#publishAlone(publisher, outbound, flight, index)
        else this.#publish(publisher, outbound, flight, index)
        if (!publisher.isWritable) await publisher.whenWritable()
      }
      if (!publisher.isOpen) flight.fail(lost('the channel was closed'))
    } catch (error) {
      const cause = toGatewayError(error, 'publishing')
      flight.fail(cause instanceof RetryableError ? cause : lost('publishing', cause))
    }
  }

  async #publisherOn(connection: AmqpConnection): Promise<Publisher> {
    if (this.#publisher?.isOpen) return this.#publisher
    const channel = await connection.openConfirmChannel()
    const publisher = new Publisher(channel, {
      heard: () => this.#pace.heard(),
      closed: (cause, unconfirmed) => {
        if (this.#publisher === publisher) this.#publisher = undefined
        this.#channelClosed(cause, unconfirmed)
      },
      returned: (publication, replyText) => this.#returned(publication, replyText),
    })
    if (connection === this.#connection) this.#publisher = publisher
    return publisher
  }

  #publish(publisher: Publisher, outbound: Outbound<AmqpTarget>, flight: Flight, index: number): void {
    const { target } = outbound
    try {
      const { content, options } = encode(outbound)
      if (content.byteLength > this.#maxBytes) throw tooLarge(content.byteLength, this.#maxBytes)
      options.mandatory = target.mandatory
      options.persistent = target.persistent
      const { exchange = '', routingKey = target.queue ?? '' } = target
      publisher.publish({ exchange, routingKey, content, options, flight, index, target, bytes: 0 })
    } catch (error) {
      flight.settle(index, publisher.isOpen ? unsendable(error) : retryable(lost('the channel was closed', error)))
    }
  }

  #mustGoAlone({ exchange }: AmqpTarget): boolean {
    return this.#careful > 0 || (exchange !== undefined && this.#suspects.size > 0 && this.#suspects.has(exchange))
  }

  /** With nothing else unconfirmed, so that an end of the channel is this message's answer. */
  async #publishAlone(publisher: Publisher, outbound: Outbound<AmqpTarget>, flight: Flight, index: number) {
    await publisher.whenIdle()
    if (!publisher.isOpen || flight.isDone) return
    this.#careful = Math.max(0, this.#careful - 1)
    this.#publish(publisher, outbound, flight, index)
    await publisher.whenIdle()
    if (publisher.isOpen && outbound.target.exchange !== undefined) this.#suspects.delete(outbound.target.exchange)
  }

  /** The broker, or the connection, ended the channel; what one message caused must not come back on the others for ever. */
  #channelClosed(cause: unknown, unconfirmed: readonly Publication[]): void {
    const [only] = unconfirmed
    const limit = cause === undefined ? undefined : sizeLimitOf(cause)
    if (limit !== undefined) {
      this.#maxBytes = Math.min(this.#maxBytes, limit)
      this.#failTooLarge(unconfirmed)
    } else if (isMissing(cause)) {
      this.#destinations.forgetAll()
    } else if (cause !== undefined && unconfirmed.length === 1 && only !== undefined) {
      this.#refused(only, cause)
    } else if (cause !== undefined) {
      this.#careful = unconfirmed.length
    }
    const error = lost('the channel was closed', cause)
    for (const { flight, index } of unconfirmed) flight.settle(index, retryable(error))
  }

  #failTooLarge(unconfirmed: readonly Publication[]): void {
    for (const { content, flight, index } of unconfirmed) {
      if (content.byteLength <= this.#maxBytes) continue
      flight.settle(index, rejected(tooLarge(content.byteLength, this.#maxBytes)))
    }
  }

  #refused({ target, flight, index }: Publication, cause: unknown): void {
    const error = refusalOf(cause, `publishing to ${nameOf(target)}`)
    if (error instanceof RetryableError) this.#destinations.distrust(target, error)
    if (target.exchange !== undefined) this.#suspects.add(target.exchange)
    flight.settle(index, outcomeOf(error))
  }

  /** A queue we declare was deleted behind our back: the next attempt declares it again. */
  #returned({ target }: Publication, replyText: string): Outcome {
    if (target.exchange === undefined && target.declare !== false) {
      this.#destinations.forget(target)
      return retryable(new RetryableError('NOT_FOUND', `${nameOf(target)} is gone: ${replyText}`))
    }
    const why =
      target.exchange === undefined
        ? `there is no queue ${target.queue}`
        : `exchange ${target.exchange} with routing key '${target.routingKey ?? ''}' leads to no queue`
    return rejected(new PermanentError('MESSAGE_UNROUTABLE', `${why}: ${replyText}`))
  }

  /** Without an answer in time: the outcome is unknown, and the channel's bookkeeping too. */
  #expire(flight: Flight, connection: AmqpConnection | undefined, ms: number): void {
    const isBlocked = connection?.isBlocked ?? false
    const why = isBlocked ? 'the broker has blocked publishers' : `the broker did not confirm within ${ms} ms`
    const error = new RetryableError('PEER_TIMEOUT', why)
    if (!isBlocked) this.#pace.ended(flight.answered, ms)
    flight.fail(error)
    if (connection === undefined || connection !== this.#connection) return
    // A blocked broker reads what is in the socket when it wakes: only one message is to be sent again by then.
    if (isBlocked) this.#careful = Math.max(this.#careful, 1)
    const publisher = this.#publisher
    this.#publisher = undefined
    for (const { flight: other, index } of publisher?.abandon() ?? []) other.settle(index, retryable(error))
    publisher?.close()
  }
}

function tooLarge(bytes: number, maxBytes: number): PermanentError {
  return new PermanentError('MESSAGE_TOO_LARGE', `${bytes} bytes are more than the broker's ${maxBytes}`)
}
