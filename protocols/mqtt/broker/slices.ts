/** Long work of many: one slice of it in a turn of the event loop, whoever's it is, so that nothing else waits for long. */

const sliceMs = 2

export class Slices {
  readonly #waiting: (() => void)[] = []
  #endsMs = 0

  /** True when whoever works should wait for its `next` slice. */
  get isOver(): boolean {
    return performance.now() >= this.#endsMs
  }

  /** Resolves when it is the caller's turn. */
  next(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push(resolve)
    if (this.#waiting.length === 1) setImmediate(() => this.#begin())
    return promise
  }

  #begin(): void {
    this.#endsMs = performance.now() + sliceMs
    this.#waiting.shift()?.()
    if (this.#waiting.length > 0) setImmediate(() => this.#begin())
  }
}
