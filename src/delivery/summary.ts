/** What comes again within this time after a line is told in one line at its end. Milliseconds. */
const windowMs = 60_000

/** Lines of one kind in the log: the first at once, then once a minute how many more there were. */
export class Summary {
  readonly #say: (count: number) => void
  #left = 0
  #window: NodeJS.Timeout | undefined

  constructor(say: (count: number) => void) {
    this.#say = say
  }

  count(many: number): void {
    if (many === 0) return
    if (this.#window !== undefined) this.#left += many
    else {
      this.#say(many)
      this.#open()
    }
  }

  /** Tells what is left. */
  close(): void {
    clearTimeout(this.#window)
    this.#window = undefined
    const left = this.#left
    this.#left = 0
    if (left > 0) this.#say(left)
  }

  #open(): void {
    this.#window = setTimeout(() => {
      const hasMore = this.#left > 0
      this.close()
      if (hasMore) this.#open()
    }, windowMs).unref()
  }
}
