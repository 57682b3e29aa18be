import type { MemoryMessage } from './codec.ts'

/** What is published to the topics of one pattern and not yet settled by a consumer, in the order of publishing. */
export class Subscription {
  readonly #levels: readonly string[]
  readonly #done: (message: MemoryMessage) => void
  readonly #readers = new Set<() => void>()
  #waiting: MemoryMessage[] = []

  constructor(pattern: string, done: (message: MemoryMessage) => void) {
    this.#levels = pattern.split('/').map(nativeLevel)
    this.#done = done
  }

  wants({ topic }: MemoryMessage): boolean {
    return matches(this.#levels, topic.split('/'))
  }

  offer(message: MemoryMessage): void {
    this.#waiting.push(message)
    this.#tell()
  }

  /** The next message, now the caller's to finish or to give back. */
  take(): MemoryMessage | undefined {
    return this.#waiting.shift()
  }

  /** Nobody needs it here any more. */
  finish(message: MemoryMessage): void {
    this.#done(message)
  }

  /** Puts messages back in their old places. */
  giveBack(messages: readonly MemoryMessage[]): void {
    this.#waiting = [...messages, ...this.#waiting].sort((a, b) => a.sequence - b.sequence)
    this.#tell()
  }

  /** Calls `reader` whenever there is something to take; returns the function that ends it. */
  onWaiting(reader: () => void): () => void {
    this.#readers.add(reader)
    return () => this.#readers.delete(reader)
  }

  #tell(): void {
    for (const reader of this.#readers) reader()
  }
}

function nativeLevel(level: string): string {
  if (/^\{\w+#\}$/.test(level)) return '#'
  return /^\{\w+\}$/.test(level) ? '+' : level
}

function matches(pattern: readonly string[], topic: readonly string[]): boolean {
  const [first, ...others] = pattern
  if (first === '#') return true
  if (first === undefined || topic.length === 0) return first === undefined && topic.length === 0
  return (first === '+' || first === topic[0]) && matches(others, topic.slice(1))
}
