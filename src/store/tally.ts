import type { Participant } from './transactions.ts'

export interface Figures {
  count: number
  bytes: number
}

const none: Readonly<Figures> = { count: 0, bytes: 0 }

/** How many messages of each route are stored, and their bytes: kept in memory, in step with the transactions. */
export class Tally implements Participant {
  readonly #byRoute = new Map<number, Figures>()
  readonly #changes = new Map<number, Figures>()
  #bytes = 0
  #count = 0

  /** Of all routes, as committed. */
  get bytes(): number {
    return this.#bytes
  }

  get count(): number {
    return this.#count
  }

  of(route: number): Readonly<Figures> {
    return this.#byRoute.get(route) ?? none
  }

  /** Within the transaction. */
  change(route: number, count: number, bytes: number): void {
    const change = this.#changes.get(route)
    if (change === undefined) this.#changes.set(route, { count, bytes })
    else {
      change.count += count
      change.bytes += bytes
    }
  }

  committed(): void {
    for (const [route, { count, bytes }] of this.#changes) {
      const now = this.of(route)
      this.#byRoute.set(route, { count: now.count + count, bytes: now.bytes + bytes })
      this.#count += count
      this.#bytes += bytes
    }
    this.#changes.clear()
  }

  rolledBack(): void {
    this.#changes.clear()
  }
}
