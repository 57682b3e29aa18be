/** Slows down who guesses passwords: per address, each failure costs twice the time of the one before. */

const firstDelayMs = 250
const longestDelayMs = 8_000
const forgetAfterMs = 60_000
const maxPending = 20
const maxAddresses = 10_000

interface Failures {
  count: number
  pending: number
  lastMs: number
}

export class FailedLogins {
  readonly #byAddress = new Map<string, Failures>()

  /** True while so many refusals of this address are under way that a further try is not looked at. */
  isBlocked(address: string): boolean {
    return (this.#byAddress.get(address)?.pending ?? 0) >= maxPending
  }

  /** Calls `refuse` once the failure has cost its time. */
  delay(address: string, refuse: () => void): void {
    const failures = this.#failuresOf(address)
    const delayMs = Math.min(firstDelayMs * 2 ** Math.min(failures.count, 16), longestDelayMs)
    failures.count += 1
    failures.pending += 1
    failures.lastMs = Date.now()
    setTimeout(() => {
      failures.pending -= 1
      refuse()
    }, delayMs).unref()
  }

  #failuresOf(address: string): Failures {
    const known = this.#byAddress.get(address)
    if (known !== undefined && (known.pending > 0 || Date.now() - known.lastMs < forgetAfterMs)) return known
    const fresh = { count: 0, pending: 0, lastMs: 0 }
    this.#byAddress.delete(address)
    this.#byAddress.set(address, fresh)
    const oldest = this.#byAddress.keys().next().value
    if (this.#byAddress.size > maxAddresses && oldest !== undefined) this.#byAddress.delete(oldest)
    return fresh
  }
}
