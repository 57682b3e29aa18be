import type { Delivery, Source } from '../../../src/adapter/contract.ts'
import { eventually } from '../poll.ts'
import { textsOf } from './messages.ts'

/** An open source that is consumed, and what it has handed over. */
export class RunningSource {
  readonly source: Source
  /** All that was handed over, in order, and how many at once. */
  readonly received: Delivery[] = []
  readonly batches: number[] = []
  /** Settles as `consume` does. */
  readonly done: Promise<void>
  onBatch: (batch: readonly Delivery[]) => void
  readonly #stop = new AbortController()
  #end: string | undefined

  constructor(source: Source, onBatch: (batch: readonly Delivery[]) => void = () => {}) {
    this.source = source
    this.onBatch = onBatch
    this.done = source.consume((read) => {
      const batch = [...read]
      this.received.push(...batch)
      this.batches.push(batch.length)
      this.onBatch(batch)
    }, this.#stop.signal)
    this.done.then(
      () => {
        this.#end = 'it has ended'
      },
      (error: unknown) => {
        this.#end = `it has failed: ${error}`
      },
    )
  }

  /** The payloads. */
  get texts(): string[] {
    return textsOf(this.received)
  }

  /** Resolves when so many were handed over. */
  async has(count: number, withinMs = 30_000): Promise<void> {
    const what = `${count} deliveries`
    await eventually(() => this.received.length >= count, { withinMs, what }).catch((cause: unknown) => {
      throw new Error(`${what}, got ${this.received.length}; ${this.#end ?? 'it still runs'}`, { cause })
    })
  }

  /** Asks it to stop, and waits until all is settled. */
  stop(): Promise<void> {
    this.#stop.abort()
    return this.done
  }

  /** Breaks the connection as a crash would: nothing is settled after. */
  async kill(): Promise<void> {
    await this.source.close()
    await this.done.catch(() => {})
  }
}

export const acceptAll = (batch: readonly Delivery[]): void => {
  for (const delivery of batch) delivery.settle('accept')
}
