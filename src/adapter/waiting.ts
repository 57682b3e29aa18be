/**
 * Those who wait for something to change. All are woken together and look for themselves whether it is what they wait for;
 * one who no longer wants to know leaves with the signal, so that nothing keeps them in memory.
 */
export class Waiting {
  readonly #waiting = new Set<() => void>()

  /** How many wait. */
  get size(): number {
    return this.#waiting.size
  }

  wake(): void {
    for (const resolve of this.#waiting) resolve() // who waits on comes back in a later microtask, never into this loop
  }

  /** Resolves at the next `wake`, or when `signal` aborts. */
  next(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const leave = () => {
        this.#waiting.delete(leave)
        signal?.removeEventListener('abort', leave)
        resolve()
      }
      this.#waiting.add(leave)
      signal?.addEventListener('abort', leave)
    })
  }

  /** Resolves when `condition` holds, looked at now and at each `wake`. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.next()
  }
}
