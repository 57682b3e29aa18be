/** What became of the messages of a `send`: the same for every sink. */
import { messageOf, PermanentError, RetryableError } from '../errors.ts'
import { type Outcome, rejected, retryable } from './contract.ts'
import type { Pace } from './pace.ts'

/**
 * Of a message that could not be encoded, or has no place at the peer: its own fault, unless a RetryableError says that it
 * may have one later. The others of its batch go on.
 */
export function unsendable(error: unknown): Outcome {
  if (error instanceof PermanentError) return rejected(error)
  if (error instanceof RetryableError) return retryable(error)
  const text = `the message could not be encoded: ${messageOf(error)}`
  return rejected(new PermanentError('INTERNAL', text, { cause: error }))
}

/** Of a message that was on its way when the peer failed: whatever the reason, the message is not at fault. */
export function again(error: unknown): Outcome {
  if (error instanceof RetryableError) return retryable(error)
  return retryable(new RetryableError('PEER_FAILED', messageOf(error), { cause: error }))
}

/** How a `send` may end before the peer has answered. */
export interface Landing {
  readonly pace: Pace
  /** Where it aborts, what has no outcome fails with what `abandoned` gives. */
  readonly signal: AbortSignal
  readonly abandoned: () => RetryableError
  /** The peer has had its time, so many milliseconds: what has no outcome is to fail. */
  late(ms: number): void
}

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

  get isDone(): boolean {
    return this.#open === 0
  }

  isAnswered(index: number): boolean {
    return this.#outcomes[index] !== undefined
  }

  /** True when not all of its outcomes are answers of the broker. */
  get isCutShort(): boolean {
    return this.#isCutShort
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

  /** Resolves as `outcomes`, within the time that the pace allows, and tells the pace how long it took. */
  async land({ pace, signal, abandoned, late }: Landing): Promise<readonly Outcome[]> {
    const departedAt = performance.now()
    const unwatch = pace.watch(departedAt, late)
    const giveUp = () => this.fail(abandoned())
    signal.addEventListener('abort', giveUp, { once: true })
    if (signal.aborted) giveUp()
    try {
      const outcomes = await this.outcomes
      if (!this.isCutShort) pace.ended(outcomes.length, performance.now() - departedAt)
      return outcomes
    } finally {
      signal.removeEventListener('abort', giveUp)
      unwatch()
    }
  }
}
