import { longestTimerMs } from '../backoff.ts'
import type { Conversation } from './conversation.ts'

/** A timer is set for no less, in milliseconds: what falls due at nearly the same time is told together. */
const shortestMs = 5

type WhenOver = (conversations: readonly Conversation[]) => void

/**
 * The conversations of one route that wait for replies, by number. Nearly always all have the route's own time; those whose
 * askers have chosen another wait in a line for each time, and `lineOf` leaves few of them.
 */
export class Outstanding {
  readonly #timeoutMs: number
  readonly #whenOver: WhenOver
  readonly #lines = new Map<number, Line>()

  constructor(timeoutMs: number, whenOver: WhenOver) {
    this.#timeoutMs = timeoutMs
    this.#whenOver = whenOver
  }

  get size(): number {
    return [...this.#lines.values()].reduce((sum, { size }) => sum + size, 0)
  }

  get(number: number): Conversation | undefined {
    for (const line of this.#lines.values()) {
      const found = line.get(number)
      if (found !== undefined) return found
    }
    return undefined
  }

  add(conversation: Conversation): void {
    this.#line(lineOf(conversation, this.#timeoutMs)).add(conversation)
  }

  /** False where it was over already. */
  delete(conversation: Conversation): boolean {
    return this.#lines.get(lineOf(conversation, this.#timeoutMs))?.delete(conversation) ?? false
  }

  /** All of them; there are none any more, and no timer. */
  takeAll(): Conversation[] {
    return [...this.#lines.values()].flatMap((line) => line.takeAll())
  }

  #line(ms: number): Line {
    const known = this.#lines.get(ms)
    if (known !== undefined) return known
    const line = new Line(ms, this.#whenOver)
    this.#lines.set(ms, line)
    return line
  }
}

/** The time of a conversation; of an asker's own two digits count, rounded up: so there are some hundreds at most. */
function lineOf({ message: { answerWithinMs } }: Conversation, timeoutMs: number): number {
  if (answerWithinMs === undefined) return timeoutMs
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(answerWithinMs)) - 1)
  return Math.min(timeoutMs, Math.ceil(answerWithinMs / unit) * unit)
}

/** All have the same time, so the oldest is the first to be over, a map keeps them in that order, and one timer is enough. */
class Line {
  readonly #timeoutMs: number
  readonly #whenOver: WhenOver
  readonly #waiting = new Map<number, Conversation>()
  #timer: NodeJS.Timeout | undefined

  constructor(timeoutMs: number, whenOver: WhenOver) {
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

  delete({ number }: Conversation): boolean {
    return this.#waiting.delete(number)
  }

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
