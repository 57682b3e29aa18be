import { RetryableError } from '../../errors.ts'
import type { Outbox } from '../../store/contract.ts'
import { fullDiskMs, longestTimerMs } from '../backoff.ts'

/** Not to be awake all the time for many that are due in a row. Milliseconds. */
const soonestMs = 10

/** Makes the delayed messages of one route ordinary ones when they are due. */
export class WakeUp {
  readonly #outbox: Outbox
  readonly #route: number
  /** There are more to be read. */
  readonly #onWoken: () => void
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(outbox: Outbox, route: number, onWoken: () => void) {
    this.#outbox = outbox
    this.#route = route
    this.#onWoken = onWoken
    this.#plan(soonestMs)
  }

  /** Looks now: there may be others. */
  look(): void {
    if (this.#isStopped) return
    try {
      if (this.#outbox.wake(this.#route, Date.now()) > 0) this.#onWoken()
      this.#plan(soonestMs)
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error
      this.#plan(fullDiskMs)
    }
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  #plan(atLeastMs: number): void {
    clearTimeout(this.#timer)
    const dueAt = this.#outbox.nextDueAt(this.#route)
    if (dueAt === undefined) return
    const delayMs = Math.min(longestTimerMs, Math.max(atLeastMs, dueAt - Date.now()))
    this.#timer = setTimeout(() => this.look(), delayMs).unref()
  }
}
