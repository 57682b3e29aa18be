/** Signatures that were seen within their time: each lets one request in. */

/** Beyond so many the older half is forgotten early. */
const most = 200_000

export class Replays {
  readonly #windowMs: number
  #newer = new Set<string>()
  #older = new Set<string>()
  #turnedMs = Number.NEGATIVE_INFINITY

  /** Milliseconds for which one is remembered at least. */
  constructor(windowMs: number) {
    this.#windowMs = windowMs
  }

  /** False where it was seen before. `nowMs` never goes back. */
  isFirst(signature: string, nowMs: number): boolean {
    this.#turn(nowMs)
    if (this.#newer.has(signature) || this.#older.has(signature)) return false
    this.#newer.add(signature)
    return true
  }

  /** Its request was not taken, and may come again as it is. */
  forget(signature: string): void {
    this.#newer.delete(signature)
    this.#older.delete(signature)
  }

  #turn(nowMs: number): void {
    if (nowMs - this.#turnedMs < this.#windowMs && this.#newer.size < most / 2) return
    const isLongAgo = nowMs - this.#turnedMs >= 2 * this.#windowMs
    this.#older = isLongAgo ? new Set() : this.#newer
    this.#newer = new Set()
    this.#turnedMs = nowMs
  }
}
