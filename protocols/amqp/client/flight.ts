import { type Outcome, retryable } from '../../../src/adapter/contract.ts'
import type { RetryableError } from '../../../src/errors.ts'

/** One `send` under way: gathers its outcomes; the first one of a message counts. */
export class Flight {
  readonly #outcomes: (Outcome | undefined)[]
  readonly #done = Promise.withResolvers<readonly Outcome[]>()
  #open: number
  #isCutShort = false

  constructor(size: number) {
    this.#outcomes = new Array(size).fill(undefined)
    this.#open = size
    if (size === 0) this.#done.resolve([])
  }

  /** How many of its messages have their outcome. */
  get answered(): number {
    return this.#outcomes.length - this.#open
  }

  /** True when not all of its outcomes are answers of the broker. */
  get isCutShort(): boolean {
    return this.#isCutShort
  }

  get isDone(): boolean {
    return this.#open === 0
  }

  /** Resolves when every message has its outcome. */
  get outcomes(): Promise<readonly Outcome[]> {
    return this.#done.promise
  }

  settle(index: number, outcome: Outcome): void {
    if (this.#outcomes[index] !== undefined) return
    this.#outcomes[index] = outcome
    this.#open -= 1
    if (this.#open === 0) this.#done.resolve(this.#outcomes as Outcome[])
  }

  /** The same end for all that have none yet. */
  fail(error: RetryableError): void {
    if (this.isDone) return
    this.#isCutShort = true
    const outcome = retryable(error)
    for (let index = 0; index < this.#outcomes.length; index += 1) this.settle(index, outcome)
  }
}
