import { budgetsSpent } from '../routing/meter.ts'

/** Goes on with a batch; false when the turn is over before it is done. */
type Work = () => boolean

/**
 * Of one source. Rules on hostile messages may cost up to a budget each (`src/routing/meter.ts`): when they have spent one in a
 * turn of the event loop, what is left of the source's batches waits for the next turn, in order, and all else comes between.
 */
export class Turns {
  readonly #waiting: Work[] = []
  #spent = 0
  #spentBefore = 0

  get isOver(): boolean {
    return budgetsSpent() - this.#spentBefore > 1
  }

  take(work: Work): void {
    const isFirst = this.#waiting.length === 0
    if (isFirst && this.#run(work)) return
    this.#waiting.push(work)
    if (isFirst) setImmediate(() => this.#goOn())
  }

  #run(work: Work): boolean {
    this.#spentBefore = budgetsSpent() - this.#spent
    const isDone = work()
    this.#spent = budgetsSpent() - this.#spentBefore
    return isDone
  }

  #goOn(): void {
    this.#spent = 0
    let done = 0
    while (done < this.#waiting.length && this.#run(this.#waiting[done]!)) done += 1
    this.#waiting.splice(0, done)
    if (this.#waiting.length > 0) setImmediate(() => this.#goOn())
  }
}
