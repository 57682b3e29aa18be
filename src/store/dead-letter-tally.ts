import type { DatabaseSync } from 'node:sqlite'

/** What is counted of one letter. */
export interface Counted {
  readonly route: string
  readonly bytes: number
  /** True where the route's own dead letter target has it too. */
  readonly isForwarded: boolean
}

/** Of all letters, and of those that have been forwarded. */
interface Sums {
  bytes: number
  forwarded: number
  forwardedBytes: number
}

/** How many dead letters there are and what they take up: kept in memory, in step with the transactions. */
export class DeadLetterTally {
  readonly byRoute = new Map<string, number>()
  readonly #changes = new Map<string, number>()
  /** As committed, and as the transaction at hand will leave it. */
  #sums: Sums
  #next: Sums

  constructor(database: DatabaseSync) {
    for (const { route, count } of database.prepare(countsSql).all()) this.byRoute.set(route as string, count as number)
    const sums = database.prepare(sumsSql).get() as unknown as Sums
    this.#sums = sums
    this.#next = { ...sums }
  }

  get bytes(): number {
    return this.#sums.bytes
  }

  /** What letters take up that nobody loses: these give way to others. */
  get forwardedBytes(): number {
    return this.#sums.forwardedBytes
  }

  /** Within the transaction, as all below. */
  get next(): Readonly<Sums> {
    return this.#next
  }

  add({ route, bytes }: Counted): void {
    this.#change(route, 1)
    this.#next.bytes += bytes
  }

  remove({ route, bytes, isForwarded }: Counted): void {
    this.#change(route, -1)
    this.#next.bytes -= bytes
    if (isForwarded) this.#countForwarded(-1, -bytes)
  }

  grow(bytes: number, isForwarded: boolean): void {
    this.#next.bytes += bytes
    if (isForwarded) this.#countForwarded(0, bytes)
  }

  forwarded(bytes: number): void {
    this.#countForwarded(1, bytes)
  }

  committed(): void {
    for (const [route, change] of this.#changes) {
      const count = (this.byRoute.get(route) ?? 0) + change
      if (count > 0) this.byRoute.set(route, count)
      else this.byRoute.delete(route)
    }
    this.#changes.clear()
    this.#sums = { ...this.#next }
  }

  rolledBack(): void {
    this.#changes.clear()
    this.#next = { ...this.#sums }
  }

  #change(route: string, by: number): void {
    this.#changes.set(route, (this.#changes.get(route) ?? 0) + by)
  }

  #countForwarded(count: number, bytes: number): void {
    this.#next.forwarded += count
    this.#next.forwardedBytes += bytes
  }
}

const countsSql = 'SELECT route, count(*) AS count FROM dead_letters GROUP BY route'
const sumsSql = `
  SELECT (SELECT coalesce(sum(bytes), 0) FROM dead_letters) AS bytes, count(*) AS forwarded,
    coalesce(sum(bytes), 0) AS forwardedBytes
  FROM dead_letters WHERE forwarded_at IS NOT NULL`
