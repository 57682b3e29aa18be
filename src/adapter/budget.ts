/**
 * Counts what is taken in and not yet settled, in messages and bytes. A source has one of its own whose parent is the
 * process's; it stops reading while `isFull`, and reads on after `whenRoom`.
 */
export class Budget {
  readonly #maxCount: number
  readonly #maxBytes: number
  readonly #parent: Budget | undefined
  #count = 0
  #bytes = 0
  #waiting: (() => void)[] = []

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
    return this.#count >= this.#maxCount || this.#bytes >= this.#maxBytes || (this.#parent?.isFull ?? false)
  }

  /** How many more messages the count allows; bytes are known only after receipt. */
  get room(): number {
    return this.isFull ? 0 : Math.min(this.#maxCount - this.#count, this.#parent?.room ?? Number.POSITIVE_INFINITY)
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
    if (this.#waiting.length > 0 && this.#hasSlack) this.#wake()
  }

  /** Resolves when there is room again; at once when there is. */
  async whenRoom(): Promise<void> {
    while (this.isFull) {
      if (this.#count >= this.#maxCount || this.#bytes >= this.#maxBytes) {
        await new Promise<void>((resolve) => this.#waiting.push(resolve))
      } else {
        await this.#parent?.whenRoom()
      }
    }
  }

  get #hasSlack(): boolean {
    return this.#count <= this.#maxCount * 0.75 && this.#bytes <= this.#maxBytes * 0.75
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}
