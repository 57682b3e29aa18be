import type { CommitQueue, Job } from './commit-queue.ts'
import type { Burial } from './contract.ts'
import type { DeadLetterTally } from './dead-letter-tally.ts'
import type { DeadLetterLimit } from './dead-letters.ts'

interface Waiting {
  readonly job: Job
  readonly burial: Burial
}

/**
 * Lets letters in while there is room for them, in the order they came; the others wait, and with them whoever owns their
 * messages. One letter above the limit is let in while there is any room at all.
 */
export class DeadLetterRoom {
  readonly #limit: DeadLetterLimit
  readonly #tally: DeadLetterTally
  readonly #queue: () => CommitQueue
  #held: Waiting[] = []
  /** Of letters that were let in and are not yet on disk. */
  #pendingBytes = 0
  #isScheduled = false
  #isEnding = false

  constructor(parts: { limit: DeadLetterLimit; tally: DeadLetterTally; queue: () => CommitQueue }) {
    this.#limit = parts.limit
    this.#tally = parts.tally
    this.#queue = parts.queue
  }

  get heldCount(): number {
    return this.#held.length
  }

  take(job: Job, burial: Burial): void {
    if (this.#held.length === 0 && this.#hasRoomFor(job)) this.#admit({ job, burial })
    else if (this.#isEnding) burial.released?.()
    else {
      this.#held.push({ job, burial })
      burial.held?.()
    }
  }

  /** One that was let in is on disk. */
  arrived({ sizeBytes }: Job): void {
    this.#pendingBytes -= sizeBytes
    this.lookAgain()
  }

  /** There may be room: those that wait are let in once the work at hand is done. */
  lookAgain(): void {
    if (this.#held.length === 0 || this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#letIn()
    })
  }

  /** Those that find no room, now or later, are given back. */
  stopWaiting(): void {
    this.#isEnding = true
    for (const { burial } of this.#held.splice(0)) burial.released?.()
  }

  #letIn(): void {
    let count = 0
    for (const one of this.#held) {
      if (!this.#hasRoomFor(one.job)) break
      this.#admit(one)
      count += 1
    }
    this.#held = this.#held.slice(count)
  }

  #hasRoomFor({ sizeBytes }: Job): boolean {
    const { maxBytes, onFull } = this.#limit
    if (onFull === 'dropOldest') return true
    const { bytes, forwardedBytes } = this.#tally
    const taken = bytes - forwardedBytes + this.#pendingBytes
    // one that is too large for any room would hold up all behind it for ever: it passes the limit, alone
    return taken + sizeBytes <= maxBytes || (sizeBytes > maxBytes && taken < maxBytes)
  }

  #admit({ job, burial }: Waiting): void {
    this.#pendingBytes += job.sizeBytes
    this.#queue().add(job)
    burial.admitted?.()
  }
}
