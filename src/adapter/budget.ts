import { Waiting } from './waiting.ts'

/**
 * Counts what is taken in and not yet settled, in messages and bytes. A source has one of its own whose parent is the
 * process's; it stops reading while `isFull`, and reads on after `whenRoom`.
 */
export class Budget {
  readonly #maxCount: number
  readonly #maxBytes: number
  readonly #parent: Budget | undefined
  readonly #waiting = new Waiting()
  #count = 0
  #bytes = 0

  constructor(limits: { maxCount: number; maxBytes: number; parent?: Budget | undefined }) {
    this.#maxCount = limits.maxCount
    this.#maxBytes = limits.maxBytes
    this.#parent = limits.parent
  }

  get count(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#bytes
  }

  get isFull(): boolean {
    return this.#isFullItself || (this.#parent?.isFull ?? false)
  }

  /** How many more messages of so many bytes there is room for. */
  roomFor(bytes: number): number {
    const room = Math.min(this.#maxCount - this.#count, Math.ceil((this.#maxBytes - this.#bytes) / bytes))
    return Math.max(0, Math.min(room, this.#parent?.roomFor(bytes) ?? room))
  }

  take(bytes: number): void {
    this.#count += 1
    this.#bytes += bytes
    this.#parent?.take(bytes)
  }

  /** Gives back what `take` took; wakes the waiting once a quarter is free, so that a full source does not flutter. */
  give(bytes: number): void {
    this.#count -= 1
    this.#bytes -= bytes
    this.#parent?.give(bytes)
    if (this.#waiting.size > 0 && this.#hasSlack) this.#waiting.wake()
  }

  /**
   * Resolves when there is room again, at once when there is; or when `signal` aborts, room or not. Whoever may stop
   * reading before there is room gives a signal, or the budget keeps them as long as it is full.
   */
  async whenRoom(signal?: AbortSignal): Promise<void> {
    while (this.isFull && !signal?.aborted) {
      if (this.#isFullItself) await this.#waiting.next(signal)
      else await this.#parent?.whenRoom(signal)
    }
  }

  get #isFullItself(): boolean {
    return this.#count >= this.#maxCount || this.#bytes >= this.#maxBytes
  }

  get #hasSlack(): boolean {
    return this.#count <= this.#maxCount * 0.75 && this.#bytes <= this.#maxBytes * 0.75
  }
}
