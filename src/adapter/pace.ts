const firstBatch = 16
/** A send that takes longer has smaller successors; a full one that takes less than half of it has larger ones. */
const slowMs = 10_000
/** A peer that confirms nothing at all in this time is given up. */
const stallMs = 30_000
/** The longest a send takes while its peer goes on confirming: a little less than the gateway's own deadline. */
const sendMs = 55_000

/**
 * How much a broker is given at once, and how long that may take. What is unconfirmed at its deadline goes out a second time,
 * on the next connection: a broker that confirms slowly gets no more than it confirms in about ten seconds, and keeps its
 * connection while it goes on. All others are at `mostInBatch` after a few full sends and stay there.
 */
export class Pace {
  readonly #mostInBatch: number
  #batch = firstBatch
  /** Of `performance.now()`. */
  #heardAt = 0

  constructor(mostInBatch: number) {
    this.#mostInBatch = mostInBatch
  }

  /** Most messages of the next send. */
  get batch(): number {
    return this.#batch
  }

  /** The broker has confirmed or refused something. */
  heard(): void {
    this.#heardAt = performance.now()
  }

  /**
   * Calls `over`, with the milliseconds it took, when a send that began to wait at this time of `performance.now()` has had
   * its time: while the peer goes on confirming, there is more. Returns how to stop watching.
   */
  watch(departedAt: number, over: (ms: number) => void): () => void {
    let timer: NodeJS.Timeout | undefined
    const look = () => {
      const leftMs = this.#endOf(departedAt) - performance.now()
      if (leftMs > 0) timer = setTimeout(look, leftMs)
      else over(Math.round(performance.now() - departedAt))
    }
    look()
    return () => clearTimeout(timer)
  }

  #endOf(departedAt: number): number {
    return Math.min(departedAt + sendMs, Math.max(departedAt, this.#heardAt) + stallMs)
  }

  /** A send ended with so many of its messages answered, `ms` after it began to wait behind those before it. */
  ended(answered: number, ms: number): void {
    if (ms > slowMs) this.#batch = Math.max(1, Math.min(this.#batch, Math.floor((answered * slowMs) / ms)))
    else if (ms < slowMs / 2 && answered >= this.#batch) this.#batch = Math.min(this.#mostInBatch, this.#batch * 2)
  }
}
