/**
 * Entries in the order of receipt, finished in any order, let out only from the front: the unbroken prefix.
 * Kafka commits it, MQTT acknowledges along it. Amortised O(1), and no object for an entry.
 */
export class OrderedPrefix<T> {
  readonly #release: (value: T) => void
  #values: (T | undefined)[] = []
  #isDone: boolean[] = []
  /** Index of the first that is not let out. */
  #head = 0
  /** The place of index 0. */
  #base = 0

  /** `release` is called once per entry, in the order of `add`, as soon as all before it are done too. */
  constructor(release: (value: T) => void) {
    this.#release = release
  }

  /** Entries not yet let out. */
  get size(): number {
    return this.#values.length - this.#head
  }

  /** Returns the entry's place, for `finish`. */
  add(value: T): number {
    this.#isDone.push(false)
    return this.#base + this.#values.push(value) - 1
  }

  /** Marks the entry at this place as done. Does nothing for one that was let out or dropped. */
  finish(place: number): void {
    const index = place - this.#base
    if (index < this.#head) return
    this.#isDone[index] = true
    if (index === this.#head) this.#advance()
  }

  /** Forgets all that was not let out; their places stay theirs. */
  drop(): void {
    this.#base += this.#values.length
    this.#values = []
    this.#isDone = []
    this.#head = 0
  }

  #advance(): void {
    while (this.#isDone[this.#head]) {
      const value = this.#values[this.#head] as T
      this.#values[this.#head] = undefined // or a thousand devices would keep what each has sent of late
      this.#head += 1
      this.#release(value)
    }
    if (this.#head > 32 && this.#head * 2 > this.#values.length) this.#compact()
  }

  #compact(): void {
    this.#values = this.#values.slice(this.#head)
    this.#isDone = this.#isDone.slice(this.#head)
    this.#base += this.#head
    this.#head = 0
  }
}
