import { Budget } from '../../src/adapter/budget.ts'
import type { Delivery, Outbound, Outcome, Sink, Source } from '../../src/adapter/contract.ts'
import { withDeadline } from '../../src/adapter/deadline.ts'
import { Envelope, type EnvelopeFields } from '../../src/envelope/envelope.ts'
import { messageOf } from '../../src/errors.ts'
import { testContext } from '../support/contexts/context.ts'
import { textOf } from '../support/contexts/messages.ts'
import { eventually } from '../support/poll.ts'
import type { Subject, Way } from './subject.ts'

/** A group of Kafka waits 15 s for a member that could not say that it leaves. */
const receiveWithinMs = 50_000
const neverAborted = new AbortController().signal

/** A source and a sink on one way through a broker, and what came along it. */
export class Road {
  readonly source: Source
  readonly sink: Sink
  readonly way: Way
  /** The process's budget, as the source knows it. */
  readonly budget = new Budget({ maxCount: 100_000, maxBytes: 1024 ** 3 })
  readonly #target: unknown
  /** Where confirmation waits for settlement, the sender keeps the message until then, and sends it again. */
  readonly #sendsAgain: boolean
  #isClosed = false
  readonly #generations: Generation[] = []

  private constructor(subject: Subject, way: Way) {
    const { protocol } = subject
    const context = testContext('conformance', { budget: this.budget })
    const from = protocol.source?.schema.parse(way.source.from)
    this.way = way
    this.#sendsAgain = subject.confirmsOnSettle ?? false
    this.source = protocol.source!.create(protocol.connection.parse(way.source.connection), [from], context)
    this.sink = protocol.sink!.create(protocol.connection.parse(way.sink.connection), testContext('producer'))
    this.#target = protocol.sink?.schema.parse(way.sink.target)
  }

  /** Both ends made, neither open. */
  static async lay(subject: Subject, wish = { maxInFlight: 100 }): Promise<Road> {
    return new Road(subject, await subject.makeWay(wish))
  }

  async openSource(): Promise<void> {
    await this.source.open(neverAborted)
    this.#generations.push(new Generation(this.source))
  }

  /** The source dies without settling anything, and comes back. */
  async kill(): Promise<void> {
    this.way.sever?.()
    if (this.way.sever !== undefined) await withDeadline(this.consuming.ended, receiveWithinMs, 'noticing the loss')
    await this.reopen()
  }

  /** Closes the source with whatever is unsettled, and opens it again. */
  async reopen(): Promise<void> {
    await this.source.close()
    await this.openSource()
  }

  /** Stops as the gateway does: no more reading, all in flight settled, closed. */
  async stop(): Promise<void> {
    await this.consuming.stop()
    await this.source.close()
  }

  /** What is received since the source was opened last. */
  get consuming(): Generation {
    const latest = this.#generations.at(-1)
    if (latest === undefined) throw new Error('the source was never opened')
    return latest
  }

  /** Sends texts as payloads, one `send` for all, until each is answered for. */
  send(...texts: string[]): Promise<readonly Outcome[]> {
    return this.sendOutbound(texts.map((text) => this.outbound({ payload: Buffer.from(text) })))
  }

  /** As `send`, with as many `send`s at once as the sink allows, begun in order. */
  async sendInChunks(batches: readonly (readonly Outbound[])[]): Promise<readonly Outcome[]> {
    const outcomes: Outcome[] = []
    const waiting = [...batches]
    const sendOn = async () => {
      for (let batch = waiting.shift(); batch !== undefined; batch = waiting.shift()) {
        outcomes.push(...(await this.sendOutbound(batch)))
      }
    }
    await Promise.all(Array.from({ length: this.sink.maxConcurrentSends }, sendOn))
    return outcomes
  }

  async sendOutbound(batch: readonly Outbound[]): Promise<readonly Outcome[]> {
    const outcomes = [...(await this.sink.send(batch, neverAborted))]
    if (!this.#sendsAgain) return outcomes
    const unanswered = batch.flatMap((_outbound, at) => (outcomes[at]?.kind === 'retryable' ? [at] : []))
    if (unanswered.length === 0 || this.#isClosed) return outcomes
    await this.#reopenSink()
    const answers = await this.sendOutbound(unanswered.map((at) => batch[at] as Outbound))
    for (const [index, at] of unanswered.entries()) outcomes[at] = answers[index] as Outcome
    return outcomes
  }

  async #reopenSink(): Promise<void> {
    const reopen = async () => {
      await this.sink.close()
      if (!this.#isClosed) await this.sink.open(neverAborted)
      return true
    }
    await eventually(reopen, { withinMs: receiveWithinMs, what: 'the sink open again' })
  }

  outbound(fields: Partial<EnvelopeFields>): Outbound {
    const envelope = new Envelope({
      messageId: crypto.randomUUID(),
      timestamp: '2026-02-03T04:05:06.007Z',
      source: 'test://conformance',
      payload: new Uint8Array(),
      ...fields,
    })
    return { envelope, target: this.#target, format: undefined }
  }

  /** Settles what former generations left, as a gateway does that learns only now what became of it. */
  settleLate(): void {
    for (const generation of this.#generations) generation.acceptAll()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([this.source.close(), this.sink.close()])
  }
}

/** One `consume` of a source: what it delivered, and how it ended. */
export class Generation {
  readonly deliveries: Delivery[] = []
  /** Most deliveries that were unsettled at once. */
  peak = 0
  readonly #settled = new Set<Delivery>()
  readonly #stop = new AbortController()
  /** The error `consume` rejected with, or undefined when it resolved. */
  readonly ended: Promise<unknown>
  isOver = false

  constructor(source: Source) {
    const consuming = source.consume((batch) => {
      this.deliveries.push(...batch)
      this.peak = Math.max(this.peak, this.deliveries.length - this.#settled.size)
    }, this.#stop.signal)
    this.ended = consuming.then(
      () => undefined,
      (error: unknown) => error,
    )
    void this.ended.then(() => {
      this.isOver = true
    })
  }

  get texts(): string[] {
    return this.deliveries.map(textOf)
  }

  /** The deliveries, once there are that many. */
  async receive(count: number): Promise<readonly Delivery[]> {
    const isThere = () => this.deliveries.length >= count
    await eventually(isThere, { withinMs: receiveWithinMs, what: `${count} messages` }).catch((error: unknown) => {
      throw new Error(`${messageOf(error)}; received ${this.texts.join(' ')}`)
    })
    return this.deliveries
  }

  /** Waits until each of the texts has come at least once. */
  async receiveAll(texts: readonly string[]): Promise<void> {
    const missing = () => texts.filter((text) => !this.texts.includes(text))
    const wait = { withinMs: receiveWithinMs, what: 'all messages' }
    await eventually(() => missing().length === 0, wait).catch((error: unknown) => {
      throw new Error(`${messageOf(error)}; missing ${missing().join(' ')}`)
    })
  }

  settle(delivery: Delivery, settlement: 'accept' | 'release' | 'reject'): void {
    this.#settled.add(delivery)
    delivery.settle(settlement)
  }

  /** Accepts what has come and whatever still comes, until `isDone`. */
  async acceptUntil(isDone: () => boolean, what: string): Promise<void> {
    const acceptAll = () => {
      for (const delivery of this.deliveries) if (!this.#settled.has(delivery)) this.settle(delivery, 'accept')
      return isDone()
    }
    await eventually(acceptAll, { withinMs: receiveWithinMs, what })
  }

  /** Accepts what is unsettled. */
  acceptAll(): void {
    for (const delivery of this.deliveries) if (!this.#settled.has(delivery)) this.settle(delivery, 'accept')
  }

  abort(): void {
    this.#stop.abort()
  }

  async stop(): Promise<void> {
    this.abort()
    await withDeadline(this.ended, receiveWithinMs, 'draining')
  }
}
