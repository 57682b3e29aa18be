/** So many messages a second, in bursts: what was not sent while the peer was away comes at once when it is back. */
export class SendRate {
  readonly #perSecond: number
  readonly #burst: number
  #tokens = 0
  #at = performance.now()

  /** `burst`: the most that gathers while nobody takes. */
  constructor(perSecond: number, burst = perSecond) {
    this.#perSecond = perSecond
    this.#burst = burst
  }

  /** How many may be sent now, at most `most`. */
  take(most: number): number {
    const now = performance.now()
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) / 1000) * this.#perSecond)
    this.#at = now
    const count = Math.max(0, Math.min(most, Math.floor(this.#tokens)))
    this.#tokens -= count
    return count
  }
}
