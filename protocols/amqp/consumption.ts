/**
 * One run of a source over one channel: opened -> reading -> (signal) -> draining -> done. Lost ends every state.
 * There is a consumer from the opening to the end, even while the budget is full: its prefetch holds the broker back, and
 * what it has let through waits here until there is room. Nothing is given back before the end, for that would count
 * against the delivery limit of a quorum queue.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Channel, ConsumeMessage } from 'amqplib'
import type { Budget } from '../../src/adapter/budget.ts'
import type { Context, Deliver, Settlement } from '../../src/adapter/contract.ts'
import { withDeadline } from '../../src/adapter/deadline.ts'
import { Queue } from '../../src/adapter/queue.ts'
import { SourceDelivery } from '../../src/adapter/source-delivery.ts'
import { type SourcePeer, SourceSession } from '../../src/adapter/source-session.ts'
import { Waiting } from '../../src/adapter/waiting.ts'
import type { Envelope } from '../../src/envelope/envelope.ts'
import type { GatewayError } from '../../src/errors.ts'
import { Acknowledger } from './acknowledger.ts'
import type { AmqpConnection } from './client/connection.ts'
import { type AmqpPlace, decode } from './codec.ts'
import { lost, toGatewayError } from './errors.ts'
import { notOfStream, type StreamReading } from './stream.ts'
import { Subscription } from './subscription.ts'
import type { Window } from './window.ts'

interface ConsumptionParts {
  readonly connection: AmqpConnection
  readonly context: Context
  readonly queue: string
  /** Both outlive the run: what an earlier one handed over still counts, or each lost channel would add as many again. */
  readonly budget: Budget
  readonly window: Window
  /** Undefined: the queue is no stream. */
  readonly stream?: StreamReading | undefined
}

export class Consumption implements SourcePeer<AmqpDelivery> {
  readonly #parts: ConsumptionParts
  readonly #place: AmqpPlace
  readonly #session: SourceSession<AmqpDelivery>
  /** Woken by whatever may end the fitting. */
  readonly #waiting = new Waiting()
  readonly #channel: Channel
  readonly #acks: Acknowledger
  readonly #subscription: Subscription
  /** In the order of delivery; not yet handed over. */
  readonly #arrived = new Queue<AmqpDelivery>()
  /** The prefetch of the consumer to come, where another fits better. */
  #next: number | undefined
  #failure: GatewayError | undefined

  private constructor(parts: ConsumptionParts, channel: Channel) {
    this.#parts = parts
    this.#session = new SourceSession(this, { budget: parts.budget, gather: 'turn' })
    this.#place = { connection: parts.context.connection, queue: parts.queue, format: parts.context.format }
    this.#channel = channel
    this.#acks = new Acknowledger(channel)
    this.#subscription = new Subscription({
      channel,
      queue: parts.queue,
      argumentsOf: () => parts.stream?.arguments ?? notOfStream,
      receive: (message) => this.#receive(message),
    })
    this.#watch()
  }

  /** Resolves when the broker has taken the consumer, so that a queue is in use from then on. */
  static async open(parts: ConsumptionParts): Promise<Consumption> {
    const consumption = new Consumption(parts, await parts.connection.openChannel())
    try {
      await consumption.#subscription.consume(parts.window.fitting(0))
    } catch (error) {
      await consumption.close()
      throw toGatewayError(error, consumption.#doing)
    }
    return consumption
  }

  /** Resolves when the signal has aborted and all in flight is settled; rejects when the connection is lost. */
  async run(deliver: Deliver, signal: AbortSignal): Promise<void> {
    const onAbort = () => this.#stop()
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    this.#session.start(deliver)
    try {
      await this.#fit(signal)
      await this.#drain()
    } catch (error) {
      await nextTurn() // a call on a channel that has just closed says only that; by then its end has told the reason
      this.#fail(toGatewayError(error, this.#doing))
      throw this.#failure
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#stop()
    }
  }

  /** Ends the run; closes the channel first, for the connection's own goodbye would overtake acknowledgements. */
  async close(): Promise<void> {
    this.#acks.flush()
    this.#fail(lost('closed'))
    const closing = Promise.resolve().then(() => this.#channel.close()) // a closed channel throws at once
    await withDeadline(closing, 1_000, 'closing the channel').catch(() => {})
  }

  get #doing(): string {
    return `consuming ${this.#parts.queue}`
  }

  #watch(): void {
    let cause: unknown
    this.#channel.on('error', (error) => {
      cause = error
    })
    const fail = () =>
      this.#fail(cause === undefined ? lost(`${this.#doing}: closed`) : toGatewayError(cause, this.#doing))
    // Where the whole connection ends, its reason comes right after and says more.
    this.#channel.on('close', () => setImmediate(fail))
    void this.#parts.connection.lost.then((error) => this.#fail(error))
  }

  /** Keeps the consumer's prefetch near what fits, until the signal aborts. */
  async #fit(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const prefetch = this.#next
      this.#next = undefined
      if (prefetch !== undefined) await this.#subscription.consume(prefetch)
      await this.#until(() => signal.aborted || this.#next !== undefined)
    }
  }

  next(): AmqpDelivery | undefined {
    return this.#arrived.shift()
  }

  /** Before any of them is settled: does the prefetch let all of that through at once? */
  handingOver(batch: readonly AmqpDelivery[]): void {
    let bytes = 0
    for (const { sizeBytes } of batch) bytes += sizeBytes
    if (batch.length > 0) this.#parts.window.saw(batch.length, bytes)
    this.#measure()
  }

  settle(delivery: AmqpDelivery, settlement: Settlement): void {
    this.#acks.settle(delivery.tag, settlement)
    if (settlement !== 'release') this.settleLate(delivery, settlement)
    else if (this.#parts.stream !== undefined && !this.#session.isStopped)
      this.#fail(lost(`${this.#doing}: again from what was released`))
  }

  /** The position in a stream outlives the connection. */
  settleLate({ streamPlace }: AmqpDelivery, settlement: Settlement): void {
    if (settlement !== 'release') this.#parts.stream?.settled(streamPlace)
  }

  #measure(): void {
    if (this.#parts.stream?.hasBegun === false) return // where its successor would begin is not known yet
    const held = this.#acks.size
    const { prefetch } = this.#subscription
    this.#next = this.#parts.window.successorOf(prefetch, { held, inFlight: held - this.#arrived.size })
    if (this.#next !== undefined) this.#waiting.wake()
  }

  /**
   * Until all in flight is settled the queue stays in use, by a consumer of a single message that waits here and is the
   * broker's again at the end. The others go back now, when they can no longer come here once more.
   */
  async #drain(): Promise<void> {
    if (this.#session.inFlight > 0) await this.#subscription.consume(1)
    for (const { tag, consumer } of this.#arrived.takeAll())
      if (!this.#subscription.isCurrent(consumer)) this.#acks.settle(tag, 'release')
    await this.#session.whenIdle()
    this.#acks.flush()
  }

  #receive(message: ConsumeMessage | null): void {
    const { queue, stream } = this.#parts
    if (message === null) return this.#fail(lost(`the broker cancelled the consumer of ${queue}: was it deleted?`))
    if (this.#failure !== undefined) return
    this.#acks.add(message.fields.deliveryTag)
    if (stream?.isNew(message) === false) return this.#acks.settle(message.fields.deliveryTag, 'accept')
    // decoded now, or its time to live would begin when there is room for it
    const delivery = new AmqpDelivery(message.fields, queue, decode(message, this.#place))
    if (stream !== undefined) delivery.streamPlace = stream.add(message)
    this.#arrived.push(delivery)
    this.#session.arrived()
  }

  /** Waits for `condition`, looked at whenever something has happened; rejects when the connection is lost. */
  async #until(condition: () => boolean): Promise<void> {
    await this.#waiting.until(() => this.#failure !== undefined || condition())
    if (this.#failure !== undefined) throw this.#failure
  }

  /** What was not handed over is the broker's again; what was handed over settles into nothing. */
  #fail(error: GatewayError): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.#arrived.takeAll()
    this.#acks.retire()
    this.#session.end(error)
    this.#stop()
  }

  #stop(): void {
    this.#session.stop()
    this.#waiting.wake()
  }
}

class AmqpDelivery extends SourceDelivery {
  readonly subject: string
  readonly tag: number
  /** The tag of the consumer that it came to. */
  readonly consumer: string
  /** Of a stream: its place in the order of reading. */
  streamPlace = 0

  constructor(fields: ConsumeMessage['fields'], queue: string, envelope: Envelope) {
    super(envelope, queue)
    this.tag = fields.deliveryTag
    this.consumer = fields.consumerTag
    this.subject = fields.routingKey
  }
}
