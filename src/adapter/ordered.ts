/**
 * Entries in the order of receipt, finished in any order, let out only from the front: the unbroken prefix.
 * Kafka commits it, MQTT acknowledges along it. Amortised O(1).
 */
export class OrderedPrefix<T> {
  readonly #release: (value: T) => void
  #entries: ({ value: T; done: boolean } | undefined)[] = []
  #head = 0

  /** `release` is called once per entry, in the order of `add`, as soon as all before it are done too. */
  constructor(release: (value: T) => void) {
    this.#release = release
  }

  /** Entries not yet let out. */
  get size(): number {
    return this.#entries.length - this.#head
  }

  /** Returns the function that marks this entry as done. */
  add(value: T): () => void {
    const entry = { value, done: false }
    this.#entries.push(entry)
    return () => {
      entry.done = true
      if (this.#entries[this.#head] === entry) this.#advance()
    }
  }

  #advance(): void {
    let entry = this.#entries[this.#head]
    while (entry?.done) {
      this.#entries[this.#head] = undefined // or a thousand devices would keep what each has sent of late
      this.#head += 1
      this.#release(entry.value)
      entry = this.#entries[this.#head]
    }
    if (this.#head > 32 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
  }
}
