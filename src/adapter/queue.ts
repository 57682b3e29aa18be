/** First in, first out, without moving what waits. */
export class Queue<T> {
  #items: (T | undefined)[] = []
  #head = 0

  get size(): number {
    return this.#items.length - this.#head
  }

  push(item: T): void {
    this.#items.push(item)
  }

  /** The one that `shift` would give. */
  peek(): T | undefined {
    return this.#items[this.#head]
  }

  shift(): T | undefined {
    const item = this.#items[this.#head]
    if (item === undefined) return undefined
    this.#items[this.#head] = undefined
    this.#head += 1
    if (this.#head === this.#items.length) this.#reset()
    else if (this.#head > 4096 && this.#head * 2 > this.#items.length) this.#compact()
    return item
  }

  /** All that waits, in order; the queue is empty afterwards. */
  takeAll(): T[] {
    const all = this.#items.slice(this.#head) as T[]
    this.#reset()
    return all
  }

  #reset(): void {
    this.#items = []
    this.#head = 0
  }

  #compact(): void {
    this.#items = this.#items.slice(this.#head)
    this.#head = 0
  }
}
