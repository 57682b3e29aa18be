/** Servers that are away, or have asked for rest: what goes to them waits without a request, and others go on. */
import { RetryableError } from '../../../src/errors.ts'

/** So many requests in a row without an answer, and a server is left alone for a while. */
const mostSilent = 3
const firstRestMs = 100
const longestRestMs = 10_000
/** So that not all that waits comes in the same moment. */
const spreadMs = 250
/** Messages that choose the host may name any number of them. */
const mostOrigins = 1_000

interface Ailing {
  failures: number
  restUntilMs: number
  reason: string
}

export class Health {
  readonly #ailing = new Map<string, Ailing>()

  /** Why nothing is to be sent to a server now; undefined: it may. */
  refusal(origin: string, nowMs = performance.now()): RetryableError | undefined {
    const ailing = this.#ailing.size === 0 ? undefined : this.#ailing.get(origin)
    if (ailing === undefined || ailing.restUntilMs <= nowMs) return undefined
    const retryAfterMs = Math.ceil(ailing.restUntilMs - nowMs + Math.random() * spreadMs)
    return new RetryableError('DESTINATION_UNAVAILABLE', ailing.reason, { retryAfterMs })
  }

  answered(origin: string): void {
    if (this.#ailing.size > 0) this.#ailing.delete(origin)
  }

  /** No answer. `isAway`: nobody was there, which one request tells as well as three. */
  failed(origin: string, { message }: Error, isAway: boolean, nowMs = performance.now()): void {
    const ailing = this.#of(origin)
    if (ailing.restUntilMs > nowMs) return // of those under way when the rest began
    ailing.failures += 1
    ailing.reason = message
    const times = isAway ? ailing.failures : ailing.failures - mostSilent + 1
    if (times < 1) return
    const ceiling = Math.min(longestRestMs, firstRestMs * 2 ** Math.min(times - 1, 20))
    ailing.restUntilMs = nowMs + Math.random() * ceiling
  }

  /** The server has asked not to be asked before. */
  rests(origin: string, { message }: Error, ms: number, nowMs = performance.now()): void {
    Object.assign(this.#of(origin), { restUntilMs: nowMs + ms, reason: message })
  }

  #of(origin: string): Ailing {
    const ailing = this.#ailing.get(origin) ?? { failures: 0, restUntilMs: 0, reason: '' }
    if (!this.#ailing.has(origin) && this.#ailing.size >= mostOrigins) {
      this.#ailing.delete(this.#ailing.keys().next().value as string)
    }
    this.#ailing.set(origin, ailing)
    return ailing
  }
}
