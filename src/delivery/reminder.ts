/** One name is said once in this time, in milliseconds. */
const remindMs = 60_000
/** Most names in that time; a template may make any number of them. */
const maxNamed = 20

/** Keeps the log from saying the same of the same thing again and again, while it lasts. */
export class Reminder {
  readonly #named = new Set<string>()
  #sinceMs = Number.NEGATIVE_INFINITY

  /** True when `name` is to be said now. */
  isDue(name: string): boolean {
    const nowMs = performance.now()
    if (nowMs - this.#sinceMs >= remindMs) {
      this.#named.clear()
      this.#sinceMs = nowMs
    }
    if (this.#named.has(name) || this.#named.size >= maxNamed) return false
    this.#named.add(name)
    return true
  }
}
