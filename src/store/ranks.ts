import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { maxRank, rankOf } from './contract.ts'
import type { Participant } from './transactions.ts'

/**
 * The rank a message is stored at: its priority, but never above an earlier message of its route and key that still waits,
 * which it would overtake. A route that never saw a priority pays nothing for this: `ranked` marks the rows of others.
 */
export class Ranks implements Participant {
  /** Routes that have seen a priority. */
  readonly #routes = new Set<number>()
  readonly #newRoutes = new Set<number>()
  readonly #mark: StatementSync
  readonly #lowest: StatementSync

  constructor(database: DatabaseSync) {
    this.#mark = database.prepare('UPDATE outbox SET ranked = 1 WHERE route = ? AND key IS NOT NULL')
    this.#lowest = database.prepare(
      'SELECT max(id) AS id FROM outbox WHERE route = ? AND key = ? AND ranked = 1 AND id <> ?',
    )
    const known = database.prepare('SELECT 1 FROM outbox WHERE route = ? AND ranked = 1 LIMIT 1')
    for (const { id } of database.prepare('SELECT id FROM routes').all()) {
      if (known.get(id as number) !== undefined) this.#routes.add(id as number)
    }
  }

  /** The rank of a new message. */
  rankFor(route: number, key: string | Uint8Array | null, priority: number | undefined): number {
    const own = clamped(priority)
    if (own === 0) return 0
    if (!this.#routes.has(route)) this.#start(route)
    return key === null ? own : this.below(own, { route, key, except: -1 })
  }

  /** True where the row of a message with a key must be marked. */
  areKeptFor(route: number): boolean {
    return this.#routes.has(route)
  }

  /** The highest rank up to `rank` that overtakes no other waiting message of the key. */
  below(
    rank: number,
    of: { readonly route: number; readonly key: string | Uint8Array; readonly except: number },
  ): number {
    const row = this.#lowest.get(of.route, of.key, of.except)
    return typeof row?.id === 'number' ? Math.min(rank, rankOf(row.id)) : rank
  }

  #start(route: number): void {
    this.#mark.run(route)
    this.#routes.add(route)
    this.#newRoutes.add(route)
  }

  beforeCommit(): void {}

  committed(): void {
    if (this.#newRoutes.size > 0) this.#newRoutes.clear()
  }

  rolledBack(): void {
    for (const route of this.#newRoutes) this.#routes.delete(route)
    this.#newRoutes.clear()
  }
}

/** True for a message whose priority gives it a rank. */
export function isRanked(priority: number | undefined): boolean {
  return clamped(priority) > 0
}

function clamped(priority: number | undefined): number {
  return priority !== undefined && priority > 0 ? Math.min(maxRank, Math.trunc(priority)) : 0
}
