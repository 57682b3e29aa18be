/** What comes again within this time after a line is told in one line at its end. Milliseconds. */
const windowMs = 60_000

/** Lines of one kind in the log: the first is told at once, then once a minute how many more there were. */
export class Summary {
  readonly #sayMore: (count: number) => void
  #more = 0
  #window: NodeJS.Timeout | undefined

  /** `sayMore` is called where there were any. */
  constructor(sayMore: (count: number) => void) {
    this.#sayMore = sayMore
  }

  /** True when this is to be told now; else it is counted. */
  isFirst(count = 1): boolean {
    if (this.#window === undefined) {
      this.#open()
      return true
    }
    this.#more += count
    return false
  }

  /** Tells what is left. */
  close(): void {
    clearTimeout(this.#window)
    this.#window = undefined
    const more = this.#more
    this.#more = 0
    if (more > 0) this.#sayMore(more)
  }

  /** A minute in which there was none is followed by a first one again. */
  #open(): void {
    this.#window = setTimeout(() => {
      const isOver = this.#more === 0
      this.close()
      if (!isOver) this.#open()
    }, windowMs).unref()
  }
}
