import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Participant } from './transactions.ts'

export interface Figures {
  count: number
  bytes: number
}

/** How many messages of each route are stored, and their bytes: kept in memory, in step with the transactions. */
export class Tally implements Participant {
  readonly #byRoute = new Map<number, Figures>()
  readonly #changes = new Map<number, Figures>()
  #bytes = 0
  #count = 0

  readonly #sums: StatementSync
  #isToRecount = false

  constructor(database: DatabaseSync) {
    this.#sums = database.prepare('SELECT route, count(*) AS count, sum(bytes) AS bytes FROM outbox GROUP BY route')
    this.#askTable()
    this.committed()
  }

  /** Of all routes, as committed. */
  get bytes(): number {
    return this.#bytes
  }

  get count(): number {
    return this.#count
  }

  of(route: number): Readonly<Figures> {
    return this.#byRoute.get(route) ?? { count: 0, bytes: 0 }
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

  /** The changes told do not add up: the table is asked before the commit. Within the transaction. */
  recount(): void {
    this.#isToRecount = true
  }

  beforeCommit(): void {
    if (this.#isToRecount) this.#askTable()
    this.#isToRecount = false
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
    this.#isToRecount = false
    this.#changes.clear()
  }

  #askTable(): void {
    this.#changes.clear()
    for (const [route, { count, bytes }] of this.#byRoute) this.change(route, -count, -bytes)
    for (const { route, count, bytes } of this.#sums.all())
      this.change(route as number, count as number, bytes as number)
  }
}
