/** The peer itself: a bus inside this process. */
import type { MemoryFields, MemoryMessage } from './codec.ts'
import type { BusFault } from './errors.ts'
import { Subscription } from './subscription.ts'

/** What one bus holds at most, whoever has not read it yet. */
export const mostMessages = 10_000
export const mostBytes = 16 * 1024 ** 2

const buses = new Map<string, MemoryBus>()

/** The bus of that name; made at first mention, the same one ever after. */
export function memoryBus(name: string): MemoryBus {
  const bus = buses.get(name) ?? new MemoryBus(name)
  buses.set(name, bus)
  return bus
}

/** Holds a message until every subscription that has it is done with it; one that none has waits for the first. */
export class MemoryBus {
  readonly name: string
  /** How many subscriptions have each message. */
  readonly #held = new Map<MemoryMessage, number>()
  readonly #subscriptions = new Map<string, Subscription>()
  #bytes = 0
  #sequence = 0

  constructor(name: string) {
    this.name = name
  }

  /** Messages it holds. */
  get size(): number {
    return this.#held.size
  }

  /** Takes a message in, unless there is no room for it: for now (`full`), or ever (`too-large`). */
  publish(topic: string, fields: MemoryFields): 'confirmed' | BusFault {
    const message = { topic, fields, sequence: this.#sequence }
    const bytes = bytesOf(message)
    if (bytes > mostBytes) return 'too-large'
    if (this.#held.size >= mostMessages || this.#bytes + bytes > mostBytes) return 'full'
    this.#sequence += 1
    this.#bytes += bytes
    this.#held.set(message, 0)
    for (const subscription of this.#subscriptions.values()) this.#offer(message, subscription)
    return 'confirmed'
  }

  /** The subscription to a pattern; it begins with what the bus holds, outlives its consumers, and keeps what they leave. */
  subscribe(pattern: string): Subscription {
    const known = this.#subscriptions.get(pattern)
    if (known !== undefined) return known
    const subscription = new Subscription(pattern, (message) => this.#done(message))
    this.#subscriptions.set(pattern, subscription)
    for (const message of [...this.#held.keys()]) this.#offer(message, subscription)
    return subscription
  }

  #offer(message: MemoryMessage, subscription: Subscription): void {
    if (!subscription.wants(message)) return
    this.#held.set(message, (this.#held.get(message) ?? 0) + 1)
    subscription.offer(message)
  }

  #done(message: MemoryMessage): void {
    const others = (this.#held.get(message) ?? 1) - 1
    if (others > 0) this.#held.set(message, others)
    else if (this.#held.delete(message)) this.#bytes -= bytesOf(message)
  }
}

function bytesOf({ topic, fields }: MemoryMessage): number {
  return topic.length + (fields.payload?.byteLength ?? 0)
}
