/**
 * One run of a source over one channel: reading -> (budget full) -> paused -> reading ... -> (signal) -> draining -> done.
 * Lost ends every state. Reading is a consumer with a prefetch; pausing cancels it, as the broker knows no other way
 * to stop; what it still sends before it hears of that is taken. Giving it back would count against the delivery limit
 * of a quorum queue.
 */
import type { Channel, ConsumeMessage } from 'amqplib'
import type { Budget } from '../../src/adapter/budget.ts'
import type { Context, Delivery, Settlement } from '../../src/adapter/contract.ts'
import { withDeadline } from '../../src/adapter/deadline.ts'
import { Waiting } from '../../src/adapter/waiting.ts'
import type { Envelope } from '../../src/envelope/envelope.ts'
import type { GatewayError } from '../../src/errors.ts'
import { Acknowledger } from './acknowledger.ts'
import { type AmqpPlace, decode } from './codec.ts'
import { type AmqpConnection, callDeadlineMs } from './connection.ts'
import { lost, toGatewayError } from './errors.ts'

interface ConsumptionParts {
  readonly connection: AmqpConnection
  readonly context: Context
  readonly queue: string
  readonly maxInFlight: number
  /** Outlives the run: what an earlier one handed over still counts, or each lost channel would add as many again. */
  readonly budget: Budget
  /** Called when a message was settled, of whichever run it is. */
  readonly onSettled: () => void
  readonly deliver: (batch: readonly Delivery[]) => void
  readonly signal: AbortSignal
}

export class Consumption {
  readonly #parts: ConsumptionParts
  readonly #budget: Budget
  readonly #place: AmqpPlace
  /** Woken by whatever may end a wait. */
  readonly #waiting = new Waiting()
  /** Aborts when no more is to be read: the run is told to stop, or has failed. */
  readonly #reading = new AbortController()
  #channel: Channel | undefined
  #acks: Acknowledger | undefined
  #gathered: AmqpDelivery[] = []
  #failure: GatewayError | undefined
  /** True while the wait is for settlements; else they need not wake anyone. */
  #awaitsSettlement = false

  constructor(parts: ConsumptionParts) {
    this.#parts = parts
    this.#budget = parts.budget
    this.#place = { connection: parts.context.connection, queue: parts.queue, format: parts.context.format }
  }

  /** Resolves when the signal has aborted and all in flight is settled; rejects when the connection is lost. */
  async run(): Promise<void> {
    const { connection, signal } = this.#parts
    const onAbort = () => this.#stopReading()
    signal.addEventListener('abort', onAbort, { once: true })
    void connection.lost.then((error) => this.#fail(error))
    try {
      const channel = await this.#openChannel()
      while (!signal.aborted) {
        await this.#room()
        if (!signal.aborted) await this.#read(channel)
      }
      await this.#until(() => this.#acks?.size === 0, true)
      this.#acks?.flush()
    } catch (error) {
      this.#fail(toGatewayError(error, `consuming ${this.#parts.queue}`))
      throw this.#failure
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#retire()
    }
  }

  /** Ends the run; closes the channel first, for the connection's own goodbye would overtake acknowledgements. */
  async close(): Promise<void> {
    this.#acks?.flush()
    this.#fail(lost('closed'))
    const channel = this.#channel
    this.#channel = undefined
    if (channel === undefined) return
    const closing = Promise.resolve().then(() => channel.close()) // a closed channel throws at once
    await withDeadline(closing, 1_000, 'closing the channel').catch(() => {})
  }

  async #openChannel(): Promise<Channel> {
    const channel = await this.#parts.connection.openChannel()
    this.#channel = channel
    this.#acks = new Acknowledger(channel)
    let cause: unknown
    channel.on('error', (error) => {
      cause = error
    })
    const doing = `consuming ${this.#parts.queue}`
    const fail = () => this.#fail(cause === undefined ? lost(`${doing}: closed`) : toGatewayError(cause, doing))
    // Where the whole connection ends, its reason comes right after and says more.
    channel.on('close', () => setImmediate(fail))
    return channel
  }

  /** Resolves when the process has room and half of our own is free. */
  async #room(): Promise<void> {
    const { context, signal, maxInFlight } = this.#parts
    const isOver = this.#reading.signal
    while (context.budget.isFull && !isOver.aborted) await context.budget.whenRoom(isOver)
    await this.#until(() => signal.aborted || this.#budget.count <= maxInFlight / 2, true)
  }

  /** Reads until the process's budget is full or the signal aborts. */
  async #read(channel: Channel): Promise<void> {
    const { context, queue, signal, maxInFlight } = this.#parts
    // A prefetch belongs to one consumer: what the one before has left unsettled is not counted by the broker.
    await this.#call(channel.prefetch(maxInFlight - this.#budget.count))
    const { consumerTag } = await this.#call(channel.consume(queue, (message) => this.#receive(message)))
    await this.#until(() => signal.aborted || context.budget.isFull)
    await this.#call(channel.cancel(consumerTag))
  }

  #call<T>(call: Promise<T>): Promise<T> {
    return withDeadline(call, callDeadlineMs, `consuming ${this.#parts.queue}`)
  }

  #receive(message: ConsumeMessage | null): void {
    const { queue, signal } = this.#parts
    if (message === null) return this.#fail(lost(`the broker cancelled the consumer of ${queue}: was it deleted?`))
    const acks = this.#acks
    if (acks === undefined || this.#failure !== undefined) return
    const tag = message.fields.deliveryTag
    acks.add(tag)
    if (signal.aborted) return acks.settle(tag, 'release')
    const envelope = decode(message, this.#place)
    this.#budget.take(envelope.sizeBytes)
    this.#gathered.push(new AmqpDelivery(this, tag, envelope, queue, message.fields.routingKey))
    if (this.#gathered.length === 1) setImmediate(() => this.#handOver())
  }

  /** Everything read in one turn of the event loop goes on as one batch. */
  #handOver(): void {
    const batch = this.#gathered
    if (batch.length === 0) return
    this.#gathered = []
    if (this.#parts.signal.aborted) for (const delivery of batch) delivery.settle('release')
    else this.#parts.deliver(batch)
    if (this.#parts.context.budget.isFull) this.#waiting.wake()
  }

  settled(tag: number, settlement: Settlement, bytes: number): void {
    this.#budget.give(bytes)
    this.#acks?.settle(tag, settlement)
    this.#parts.onSettled()
  }

  /** A message was settled, perhaps of an earlier run. */
  stir(): void {
    if (this.#awaitsSettlement) this.#waiting.wake()
  }

  /** Waits for `condition`, looked at whenever something has happened; rejects when the connection is lost. */
  async #until(condition: () => boolean, awaitsSettlement = false): Promise<void> {
    this.#awaitsSettlement = awaitsSettlement
    await this.#waiting.until(() => this.#failure !== undefined || condition())
    if (this.#failure !== undefined) throw this.#failure
  }

  #fail(error: GatewayError): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.#retire()
    this.#stopReading()
  }

  #stopReading(): void {
    this.#reading.abort()
    this.#waiting.wake()
  }

  /** What was read and not handed over is the broker's again; what was handed over settles into nothing. */
  #retire(): void {
    for (const delivery of this.#gathered) this.#budget.give(delivery.envelope.sizeBytes)
    this.#gathered = []
    if (this.#failure !== undefined) this.#acks?.retire()
  }
}

class AmqpDelivery implements Delivery {
  readonly envelope: Envelope
  readonly address: string
  readonly subject: string
  readonly #consumption: Consumption
  readonly #tag: number

  constructor(consumption: Consumption, tag: number, envelope: Envelope, address: string, subject: string) {
    this.#consumption = consumption
    this.#tag = tag
    this.envelope = envelope
    this.address = address
    this.subject = subject
  }

  settle(settlement: Settlement): void {
    this.#consumption.settled(this.#tag, settlement, this.envelope.sizeBytes)
  }
}
