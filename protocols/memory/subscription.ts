import type { MemoryMessage } from './codec.ts'

/** What is published to the topics of one pattern and not yet settled by a consumer, in the order of publishing. */
export class Subscription {
  readonly #levels: readonly string[]
  readonly #readers = new Set<() => void>()
  #waiting: MemoryMessage[] = []

  constructor(pattern: string) {
    this.#levels = pattern.split('/').map(nativeLevel)
  }

  offer(message: MemoryMessage): void {
    if (!matches(this.#levels, message.topic.split('/'))) return
    this.#waiting.push(message)
    this.#tell()
  }

  /** The next message, now the caller's to settle or to give back. */
  take(): MemoryMessage | undefined {
    return this.#waiting.shift()
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
