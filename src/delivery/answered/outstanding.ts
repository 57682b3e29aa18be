import { longestTimerMs } from '../backoff.ts'
import type { Conversation } from './conversation.ts'

/** A timer is set for no less, in milliseconds: what falls due at nearly the same time is told together. */
const shortestMs = 5

/**
 * The conversations of one route that wait for replies, by number. All have the same time, so the oldest is the first to be
 * over, a map keeps them in that order, and one timer is enough.
 */
export class Outstanding {
  readonly #timeoutMs: number
  readonly #whenOver: (conversations: readonly Conversation[]) => void
  readonly #waiting = new Map<number, Conversation>()
  #timer: NodeJS.Timeout | undefined

  constructor(timeoutMs: number, whenOver: (conversations: readonly Conversation[]) => void) {
    this.#timeoutMs = timeoutMs
    this.#whenOver = whenOver
  }

  get size(): number {
    return this.#waiting.size
  }

  get(number: number): Conversation | undefined {
    return this.#waiting.get(number)
  }

  add(conversation: Conversation): void {
    this.#waiting.set(conversation.number, conversation)
    this.#timer ??= this.#arm(this.#timeoutMs)
  }

  /** False where it was over already. */
  delete({ number }: Conversation): boolean {
    return this.#waiting.delete(number)
  }

  /** All of them; there are none any more, and no timer. */
  takeAll(): Conversation[] {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const all = [...this.#waiting.values()]
    this.#waiting.clear()
    return all
  }

  #arm(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#look(), Math.min(longestTimerMs, Math.max(shortestMs, ms)))
  }

  #look(): void {
    const nowMs = performance.now() + 1 // a timer may be early by the fraction of a millisecond
    const over: Conversation[] = []
    this.#timer = undefined
    for (const conversation of this.#waiting.values()) {
      const leftMs = conversation.startedMs + this.#timeoutMs - nowMs
      if (leftMs > 0) {
        this.#timer = this.#arm(leftMs)
        break
      }
      over.push(conversation)
    }
    this.#whenOver(over)
  }
}
