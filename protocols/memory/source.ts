import { Budget } from '../../src/adapter/budget.ts'
import type { Context, Delivery, Settlement, Source } from '../../src/adapter/contract.ts'
import { decode, type MemoryMessage } from './codec.ts'
import type { MemoryConnectionConfig, MemoryFromConfig } from './config.ts'
import { type MemoryBus, memoryBus } from './connection.ts'
import { toGatewayError } from './errors.ts'
import type { Subscription } from './subscription.ts'

/** Consumes the topics of one pattern. */
export class MemorySource implements Source {
  readonly #bus: MemoryBus
  readonly #pattern: string
  readonly #maxInFlight: number
  readonly #releaseDelayMs: number
  readonly #context: Context
  #consumption: Consumption | undefined

  /** `froms` name the same pattern; the largest limit and the longest delay count. */
  constructor(connection: MemoryConnectionConfig, froms: readonly MemoryFromConfig[], context: Context) {
    this.#bus = memoryBus(connection.bus)
    this.#pattern = froms[0]?.topic ?? ''
    this.#maxInFlight = Math.max(...froms.map((from) => from.maxInFlight))
    this.#releaseDelayMs = Math.max(...froms.map((from) => from.releaseDelay))
    this.#context = context
  }

  async open(): Promise<void> {
    await this.close()
    if (this.#bus.isDown) throw toGatewayError('down', this.#bus.name)
    this.#consumption = new Consumption({
      bus: this.#bus,
      subscription: this.#bus.subscribe(this.#pattern),
      context: this.#context,
      maxInFlight: this.#maxInFlight,
      releaseDelayMs: this.#releaseDelayMs,
    })
  }

  async consume(deliver: (batch: readonly Delivery[]) => void, signal: AbortSignal): Promise<void> {
    if (this.#consumption === undefined) throw toGatewayError('lost', this.#bus.name)
    await this.#consumption.run(deliver, signal)
  }

  async close(): Promise<void> {
    this.#consumption?.end()
    this.#consumption = undefined
  }
}

interface Settings {
  readonly bus: MemoryBus
  readonly subscription: Subscription
  readonly context: Context
  readonly maxInFlight: number
  readonly releaseDelayMs: number
}

/**
 * One generation of a source, from `open` to `close` or loss. What it has not settled by then goes back to the
 * subscription, and settling it afterwards does nothing.
 */
class Consumption {
  readonly #at: Settings
  readonly #budget: Budget
  readonly #unsettled = new Set<MemoryMessage>()
  readonly #finished = Promise.withResolvers<void>()
  readonly #over = new AbortController()
  readonly #letGo: () => void
  #deliver: ((batch: readonly Delivery[]) => void) | undefined
  #isStopping = false

  constructor(settings: Settings) {
    this.#at = settings
    const { maxInFlight, context, bus, subscription } = settings
    this.#budget = new Budget({ maxCount: maxInFlight, maxBytes: Number.POSITIVE_INFINITY, parent: context.budget })
    const stopReading = subscription.onWaiting(() => this.#read())
    const unlink = bus.link(() => this.end())
    this.#letGo = () => {
      stopReading()
      unlink()
    }
    this.#finished.promise.catch(() => {}) // nobody may be consuming when it is lost
  }

  async run(deliver: (batch: readonly Delivery[]) => void, signal: AbortSignal): Promise<void> {
    const stop = () => {
      this.#isStopping = true
      this.#resolveIfDrained()
    }
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    this.#deliver = deliver
    this.#read()
    try {
      await this.#finished.promise
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  get #isOver(): boolean {
    return this.#over.signal.aborted
  }

  /** Gives back what is unsettled; `run` rejects unless all was done. */
  end(): void {
    if (this.#isOver) return
    this.#over.abort()
    this.#letGo()
    this.#at.subscription.giveBack([...this.#unsettled])
    this.#finished.reject(toGatewayError('lost', this.#at.bus.name))
  }

  #read(): void {
    if (this.#deliver === undefined || this.#isStopping || this.#isOver) return
    const batch: Delivery[] = []
    while (!this.#budget.isFull) {
      const message = this.#at.subscription.take()
      if (message === undefined) break
      batch.push(this.#receive(message))
    }
    if (batch.length > 0) this.#deliver(batch)
    if (this.#budget.isFull) void this.#readOnceThereIsRoom()
  }

  #isWaitingForRoom = false
  async #readOnceThereIsRoom(): Promise<void> {
    if (this.#isWaitingForRoom) return
    this.#isWaitingForRoom = true
    await this.#budget.whenRoom(this.#over.signal)
    this.#isWaitingForRoom = false
    this.#read()
  }

  #receive(message: MemoryMessage): Delivery {
    this.#unsettled.add(message)
    this.#budget.take(costOf(message))
    return {
      envelope: decode(message, this.#at.context.connection),
      address: message.topic,
      settle: (settlement) => this.#settle(message, settlement),
    }
  }

  #settle(message: MemoryMessage, settlement: Settlement): void {
    if (!this.#unsettled.delete(message)) return
    this.#budget.give(costOf(message)) // until now the gateway held it, whatever became of the link
    if (this.#isOver) return
    this.#at.bus.settlements.push({ message, settlement })
    if (settlement === 'release') {
      setTimeout(() => this.#at.subscription.giveBack([message]), this.#at.releaseDelayMs).unref()
    }
    this.#resolveIfDrained()
  }

  #resolveIfDrained(): void {
    if (this.#isStopping && this.#unsettled.size === 0) this.#finished.resolve()
  }
}

function costOf(message: MemoryMessage): number {
  return message.fields.payload?.byteLength ?? 0
}
