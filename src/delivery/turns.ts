import { budgetsSpent } from '../routing/meter.ts'

/** Goes on with a batch; false when the turn is over before it is done. */
type Work = () => boolean

/**
 * Rules on hostile messages may cost up to a budget each (`src/routing/meter.ts`). When a turn of the event loop has spent
 * one, what is left of its batches, of all sources, waits for the next turn, in order: heartbeats and probes come between.
 */
export class Turns {
  readonly #waiting: Work[] = []
  #spentBefore = budgetsSpent()

  get isOver(): boolean {
    return budgetsSpent() - this.#spentBefore > 1
  }

  take(work: Work): void {
    const isFirst = this.#waiting.length === 0
    if (isFirst && work()) return
    this.#waiting.push(work)
    if (isFirst) setImmediate(() => this.#goOn())
  }

  #goOn(): void {
    this.#spentBefore = budgetsSpent()
    let done = 0
    while (this.#waiting[done]?.()) done += 1
    this.#waiting.splice(0, done)
    if (this.#waiting.length > 0) setImmediate(() => this.#goOn())
  }
}
