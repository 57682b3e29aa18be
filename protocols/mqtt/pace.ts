const firstBatch = 16
const mostInBatch = 250
/** A send that takes longer has smaller successors; a full one that takes less than half of it has larger ones. */
const slowMs = 10_000

/**
 * How much a broker is given at once. A send has a deadline, and what is unconfirmed by then goes out a second time, on the
 * next connection: a broker that confirms slowly gets no more than it confirms in about `slowMs`. All others are at
 * `mostInBatch` after four full sends and stay there.
 */
export class Pace {
  #batch = firstBatch

  /** Most messages of the next send. */
  get batch(): number {
    return this.#batch
  }

  /** A send ended with so many of its messages answered, `ms` after it began to wait behind those before it. */
  ended(answered: number, ms: number): void {
    if (ms > slowMs) this.#batch = Math.max(1, Math.min(this.#batch, Math.floor((answered * slowMs) / ms)))
    else if (ms < slowMs / 2 && answered >= this.#batch) this.#batch = Math.min(mostInBatch, this.#batch * 2)
  }
}
