import type { Budget } from '../../src/adapter/budget.ts'
import type { Context, Deliver, Settlement, Source } from '../../src/adapter/contract.ts'
import { SourceDelivery } from '../../src/adapter/source-delivery.ts'
import { type SourcePeer, SourceSession, sourceBudget } from '../../src/adapter/source-session.ts'
import { decode, type MemoryMessage } from './codec.ts'
import type { MemoryConnectionConfig, MemoryFromConfig } from './config.ts'
import { type MemoryBus, memoryBus } from './connection.ts'
import { closedError } from './errors.ts'
import type { Subscription } from './subscription.ts'

/** Consumes the topics of one pattern. */
export class MemorySource implements Source {
  readonly #bus: MemoryBus
  readonly #pattern: string
  readonly #budget: Budget
  readonly #releaseDelayMs: number
  readonly #context: Context
  #consumption: Consumption | undefined

  /** `froms` name the same pattern; the smallest limit and the longest delay count. */
  constructor(connection: MemoryConnectionConfig, froms: readonly MemoryFromConfig[], context: Context) {
    this.#bus = memoryBus(connection.bus)
    this.#pattern = froms[0]?.topic ?? ''
    this.#budget = sourceBudget(context, { maxInFlight: froms.map((from) => from.maxInFlight) })
    this.#releaseDelayMs = Math.max(...froms.map((from) => from.releaseDelay))
    this.#context = context
  }

  async open(): Promise<void> {
    await this.close()
    this.#consumption = new Consumption({
      bus: this.#bus.name,
      subscription: this.#bus.subscribe(this.#pattern),
      context: this.#context,
      budget: this.#budget,
      releaseDelayMs: this.#releaseDelayMs,
    })
  }

  async consume(deliver: Deliver, signal: AbortSignal): Promise<void> {
    if (this.#consumption === undefined) throw closedError(this.#bus.name)
    await this.#consumption.run(deliver, signal)
  }

  async close(): Promise<void> {
    this.#consumption?.end()
    this.#consumption = undefined
  }
}

interface Settings {
  readonly bus: string
  readonly subscription: Subscription
  readonly context: Context
  readonly budget: Budget
  readonly releaseDelayMs: number
}

class MemoryDelivery extends SourceDelivery {
  readonly message: MemoryMessage

  constructor(message: MemoryMessage, connection: string) {
    super(decode(message, connection), message.topic, message.fields.payload?.byteLength ?? 0)
    this.message = message
  }
}

/**
 * One generation of a source, from `open` to `close`. What it has not settled by then goes back to the
 * subscription, and settling it afterwards does nothing.
 */
class Consumption implements SourcePeer<MemoryDelivery> {
  readonly #at: Settings
  readonly #session: SourceSession<MemoryDelivery>
  readonly #unsettled = new Set<MemoryMessage>()
  readonly #stopReading: () => void

  constructor(settings: Settings) {
    this.#at = settings
    this.#session = new SourceSession(this, { budget: settings.budget, gather: 'read' })
    this.#stopReading = settings.subscription.onWaiting(() => this.#session.arrived())
  }

  run(deliver: Deliver, signal: AbortSignal): Promise<void> {
    return this.#session.run(deliver, signal)
  }

  next(): MemoryDelivery | undefined {
    const message = this.#at.subscription.take()
    if (message === undefined) return undefined
    this.#unsettled.add(message)
    return new MemoryDelivery(message, this.#at.context.connection)
  }

  settle({ message }: MemoryDelivery, settlement: Settlement): void {
    this.#unsettled.delete(message)
    const { subscription, releaseDelayMs } = this.#at
    if (settlement === 'release') setTimeout(() => subscription.giveBack([message]), releaseDelayMs).unref()
    else subscription.finish(message)
  }

  /** Gives back what is unsettled; `run` rejects unless all was done. */
  end(): void {
    this.#stopReading()
    this.#session.end(closedError(this.#at.bus))
    this.#at.subscription.giveBack([...this.#unsettled])
    this.#unsettled.clear()
  }
}
