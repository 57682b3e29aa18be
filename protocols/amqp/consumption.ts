/**
 * One run of a source over one channel: opened -> reading -> (signal) -> draining -> done. Lost ends every state.
 * There is a consumer from the opening to the end, even while the budget is full: its prefetch holds the broker back, and
 * what it has let through waits here until there is room. Nothing is given back before the end, for that would count
 * against the delivery limit of a quorum queue.
 */
import type { Channel, ConsumeMessage } from 'amqplib'
import type { Budget } from '../../src/adapter/budget.ts'
import type { Context, Delivery, Settlement } from '../../src/adapter/contract.ts'
import { withDeadline } from '../../src/adapter/deadline.ts'
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

export class Consumption {
  readonly #parts: ConsumptionParts
  readonly #budget: Budget
  readonly #place: AmqpPlace
  /** Woken by whatever may end a wait. */
  readonly #waiting = new Waiting()
  /** Aborts when nothing more is handed over: the run is told to stop, or has failed. */
  readonly #reading = new AbortController()
  readonly #channel: Channel
  readonly #acks: Acknowledger
  readonly #subscription: Subscription
  #deliver: ((batch: readonly Delivery[]) => void) | undefined
  /** In the order of delivery; not yet handed over. */
  #arrived: AmqpDelivery[] = []
  #isHandOverDue = false
  /** The prefetch of the consumer to come, where another fits better. */
  #next: number | undefined
  #failure: GatewayError | undefined

  private constructor(parts: ConsumptionParts, channel: Channel) {
    this.#parts = parts
    this.#budget = parts.budget
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
  async run(deliver: (batch: readonly Delivery[]) => void, signal: AbortSignal): Promise<void> {
    const onAbort = () => this.#stopReading()
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    this.#deliver = deliver
    this.#handOverSoon()
    try {
      await this.#fit(signal)
      await this.#drain()
    } catch (error) {
      this.#fail(toGatewayError(error, this.#doing))
      throw this.#failure
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#stopReading()
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

  #measure(): void {
    if (this.#parts.stream?.hasBegun === false) return // where its successor would begin is not known yet
    const held = this.#acks.size
    const { prefetch } = this.#subscription
    this.#next = this.#parts.window.successorOf(prefetch, { held, inFlight: held - this.#arrived.length })
    if (this.#next !== undefined) this.#waiting.wake()
  }

  /**
   * Until all in flight is settled the queue stays in use, by a consumer of a single message that waits here and is the
   * broker's again at the end. The others go back now, when they can no longer come here once more.
   */
  async #drain(): Promise<void> {
    if (this.#acks.size > this.#arrived.length) await this.#subscription.consume(1)
    const { current = [], former = [] } = Object.groupBy(this.#arrived, ({ consumer }) =>
      this.#subscription.isCurrent(consumer) ? 'current' : 'former',
    )
    this.#arrived = current
    for (const { tag } of former) this.#acks.settle(tag, 'release')
    await this.#until(() => this.#acks.size === this.#arrived.length)
    this.#acks.flush()
  }

  #receive(message: ConsumeMessage | null): void {
    const { queue, stream } = this.#parts
    if (message === null) return this.#fail(lost(`the broker cancelled the consumer of ${queue}: was it deleted?`))
    if (this.#failure !== undefined) return
    this.#acks.add(message.fields.deliveryTag)
    if (stream?.isNew(message) === false) return this.#acks.settle(message.fields.deliveryTag, 'accept')
    // decoded now, or its time to live would begin when there is room for it
    const delivery = new AmqpDelivery(this, message.fields, decode(message, this.#place))
    if (stream !== undefined) delivery.done = stream.add(message)
    this.#arrived.push(delivery)
    this.#handOverSoon()
  }

  #handOverSoon(): void {
    if (this.#isHandOverDue) return
    this.#isHandOverDue = true
    setImmediate(() => this.#handOver())
  }

  /** What there is room for of all that was read in one turn of the event loop goes on as one batch. */
  #handOver(): void {
    this.#isHandOverDue = false
    if (this.#deliver === undefined || this.#reading.signal.aborted) return
    const arrived = this.#arrived
    let [count, bytes] = [0, 0]
    for (; count < arrived.length && !this.#budget.isFull; count += 1) {
      const { sizeBytes } = (arrived[count] as AmqpDelivery).envelope
      this.#budget.take(sizeBytes)
      bytes += sizeBytes
    }
    if (count > 0) this.#parts.window.saw(count, bytes)
    const batch = count === arrived.length ? arrived : arrived.slice(0, count)
    this.#arrived = arrived.slice(count)
    this.#measure() // before any of them is settled: does the prefetch let all of that through at once?
    if (count > 0) this.#deliver(batch)
    if (this.#arrived.length > 0) void this.#handOverLater()
  }

  async #handOverLater(): Promise<void> {
    if (this.#isHandOverDue) return
    this.#isHandOverDue = true
    await this.#budget.whenRoom(this.#reading.signal)
    this.#handOver()
  }

  get queue(): string {
    return this.#parts.queue
  }

  settled({ tag, envelope, done }: AmqpDelivery, settlement: Settlement): void {
    this.#budget.give(envelope.sizeBytes)
    this.#acks.settle(tag, settlement)
    if (settlement !== 'release') done?.()
    const isReading = !this.#reading.signal.aborted
    if (!isReading) this.#waiting.wake()
    else if (settlement === 'release' && done !== undefined)
      this.#fail(lost(`${this.#doing}: again from what was released`))
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
    this.#arrived = []
    this.#acks.retire()
    this.#stopReading()
  }

  #stopReading(): void {
    this.#reading.abort()
    this.#waiting.wake()
  }
}

class AmqpDelivery implements Delivery {
  readonly envelope: Envelope
  readonly address: string
  readonly subject: string
  readonly tag: number
  /** The tag of the consumer that it came to. */
  readonly consumer: string
  /** Of a stream: says that this message is settled for good. */
  done: (() => void) | undefined = undefined
  readonly #consumption: Consumption

  constructor(consumption: Consumption, fields: ConsumeMessage['fields'], envelope: Envelope) {
    this.#consumption = consumption
    this.tag = fields.deliveryTag
    this.consumer = fields.consumerTag
    this.envelope = envelope
    this.address = consumption.queue
    this.subject = fields.routingKey
  }

  settle(settlement: Settlement): void {
    this.#consumption.settled(this, settlement)
  }
}
