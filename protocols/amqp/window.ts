import type { Budget } from '../../src/adapter/budget.ts'

/** Until a message was seen: as many of the largest that brokers take by default (16 MiB) as the default budget holds. */
const firstCount = 4
/** The mean follows about so many of the latest messages. */
const memory = 32
/** What a message costs beside its body. */
const overheadBytes = 512

/**
 * How many messages the broker may send ahead: those in flight, and as many more of the size seen lately as the budget
 * has room for. AMQP counts messages only, so this is where bytes hold it back. Outlives connections, and remembers.
 */
export class Window {
  readonly #max: number
  readonly #budget: Budget
  #meanBytes: number | undefined

  constructor(max: number, budget: Budget) {
    this.#max = max
    this.#budget = budget
  }

  /** So many messages were handed over, of so many bytes together. */
  saw(count: number, bytes: number): void {
    const mean = bytes / count
    const before = this.#meanBytes ?? mean
    this.#meanBytes = before + (mean - before) * Math.min(1, count / memory)
  }

  /** At least one: without a consumer the broker deletes a queue that is to go when it is unused. */
  fitting(inFlight: number): number {
    if (this.#meanBytes === undefined) return Math.max(1, Math.min(firstCount, this.#budget.roomFor(overheadBytes)))
    return Math.max(1, Math.min(this.#max, inFlight + this.#budget.roomFor(this.#meanBytes)))
  }

  /**
   * What the consumer's prefetch of now should become, if it is far from what fits: half, or what it lets through is
   * all here and there would be room for twice as many. `held` is what the broker has sent and we have not settled.
   */
  successorOf(prefetch: number, { inFlight, held }: { inFlight: number; held: number }): number | undefined {
    const fitting = this.fitting(inFlight)
    if (fitting * 2 <= prefetch) return Math.max(1, fitting - held)
    const isFar = fitting >= Math.min(2 * prefetch, this.#max)
    return held >= prefetch && fitting > prefetch && isFar ? fitting : undefined
  }
}
