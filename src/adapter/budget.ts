import { Waiting } from './waiting.ts'

/** A part that holds something takes on up to so many times what its whole has left for all. */
const share = 2
/** Of what a whole may hold: only for the first message of parts that hold none. */
const reserve = 1 / 8

interface Limits {
  readonly maxCount: number
  readonly maxBytes: number
  readonly parent?: Budget | undefined
  /** How many budgets will have it as their parent; default: one, which may take all. */
  readonly parts?: number | undefined
}

/**
 * Counts what is taken in and not yet settled, in messages and bytes. A source has one of its own whose parent is the
 * process's; it stops reading while `isFull`, and reads on after `whenRoom`.
 *
 * Of several parts none takes all of their parent: each is full once it holds twice what the parent has left for all. So
 * one that settles nothing takes three fifths, a second one three fifths of the rest, and the last eighth is only for the
 * first message of parts that hold none: whatever the number of those that settle nothing, the others go on.
 */
export class Budget {
  /** Most messages, whatever its parent has left. */
  readonly maxCount: number
  readonly #messages: Amount
  readonly #bytes: Amount
  readonly #parent: Budget | undefined
  readonly #waiting = new Waiting()
  /** Of the whole family, at its root: those somebody waits for. */
  readonly #awaited = new Set<Budget>()

  constructor({ maxCount, maxBytes, parent, parts = 1 }: Limits) {
    this.maxCount = maxCount
    const isShared = parts > 1
    this.#messages = new Amount(maxCount, isShared, parent === undefined ? undefined : parent.#messages)
    this.#bytes = new Amount(maxBytes, isShared, parent === undefined ? undefined : parent.#bytes)
    this.#parent = parent
  }

  get count(): number {
    return this.#messages.taken
  }

  get bytes(): number {
    return this.#bytes.taken
  }

  get isFull(): boolean {
    return this.#messages.left <= 0 || this.#bytes.left <= 0
  }

  /** How many more messages of so many bytes there is room for. */
  roomFor(bytes: number): number {
    return Math.max(0, Math.min(Math.ceil(this.#messages.left), Math.ceil(this.#bytes.left / bytes)))
  }

  take(bytes: number): void {
    this.#messages.taken += 1
    this.#bytes.taken += bytes
    this.#parent?.take(bytes)
  }

  /** Gives back what `take` took; wakes the waiting once a quarter is free, so that a full source does not flutter. */
  give(bytes: number): void {
    this.#messages.taken -= 1
    this.#bytes.taken -= bytes
    this.#parent?.give(bytes)
    for (const budget of this.#awaited) if (budget.#hasSlack) budget.#waiting.wake()
  }

  /**
   * Resolves when there is room again, at once when there is; or when `signal` aborts, room or not. Whoever may stop
   * reading before there is room gives a signal, or the budget keeps them as long as it is full.
   */
  async whenRoom(signal?: AbortSignal): Promise<void> {
    while (this.isFull && !signal?.aborted) await this.waitForSlackOf(this, signal)
  }

  /** What others of the family give back makes room too: the root sees it all. */
  protected async waitForSlackOf(budget: Budget, signal: AbortSignal | undefined): Promise<void> {
    if (this.#parent !== undefined) return await this.#parent.waitForSlackOf(budget, signal)
    this.#awaited.add(budget)
    await budget.#waiting.next(signal)
    if (budget.#waiting.size === 0) this.#awaited.delete(budget)
  }

  get #hasSlack(): boolean {
    return this.#messages.hasSlack && this.#bytes.hasSlack
  }
}

/** So many messages, or so many bytes: what is taken, and what may still be. */
class Amount {
  taken = 0
  readonly #max: number
  readonly #isShared: boolean
  readonly #parent: Amount | undefined

  constructor(max: number, isShared: boolean, parent: Amount | undefined) {
    this.#max = max
    this.#isShared = isShared
    this.#parent = parent
  }

  get left(): number {
    const left = this.#max - this.taken
    return this.#parent === undefined ? left : Math.min(left, this.#parent.#leftFor(this.taken))
  }

  /** For a part that holds `taken`. */
  #leftFor(taken: number): number {
    const { left } = this
    if (!this.#isShared || taken === 0) return left
    return share * ((1 - reserve) * left - reserve * this.taken) - taken
  }

  get hasSlack(): boolean {
    return this.taken <= 3 * this.left
  }
}
