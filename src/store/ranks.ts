import type { DatabaseSync } from 'node:sqlite'
import { maxRank, rankOf } from './contract.ts'
import { allOf, firstOf } from './rows.ts'
import type { Participant } from './transactions.ts'

type Key = string | Uint8Array

/** A message that has a key. */
export interface Keyed {
  readonly id: number
  readonly key: Key
}

/**
 * The rank a message is stored at: its priority, but never above an earlier message of its route and key that still waits,
 * which it would overtake. A route that never saw a priority pays nothing for this: `ranked` has the messages of others.
 */
export class Ranks implements Participant {
  /** Routes that have seen a priority. */
  readonly #routes = new Set<number>()
  readonly #newRoutes = new Set<number>()
  readonly #keyed: (route: number) => Iterable<Keyed>
  readonly #statements: ReturnType<typeof prepare>

  /** `keyed` tells, inside a transaction, which messages of a route have a key. */
  constructor(database: DatabaseSync, keyed: (route: number) => Iterable<Keyed>) {
    this.#statements = prepare(database)
    this.#keyed = keyed
    for (const { route } of allOf<{ route: number }>(this.#statements.routes)) this.#routes.add(route)
  }

  /** The rank of a new message. Inside the transaction, like all below. */
  rankFor(route: number, key: Key | null, priority: number | undefined): number {
    const own = clamped(priority)
    if (own === 0) return 0
    if (!this.#routes.has(route)) this.#start(route)
    return key === null ? own : this.below(own, { route, key, except: -1 })
  }

  /** True where a message with a key must be noted. */
  areKeptFor(route: number): boolean {
    return this.#routes.has(route)
  }

  /** The highest rank up to `rank` that overtakes no other waiting message of the key. */
  below(rank: number, { route, key, except }: { route: number; key: Key; except: number }): number {
    const id = firstOf<{ id: number | null }>(this.#statements.lowest, route, key, except)?.id ?? null
    return id === null ? rank : Math.min(rank, rankOf(id))
  }

  note(route: number, { id, key }: Keyed): void {
    this.#statements.note.run(id, route, key)
  }

  /** It has left. */
  forget(id: number): void {
    this.#statements.forget.run(id)
  }

  #start(route: number): void {
    for (const message of this.#keyed(route)) this.note(route, message)
    this.#routes.add(route)
    this.#newRoutes.add(route)
  }

  committed(): void {
    this.#newRoutes.clear()
  }

  rolledBack(): void {
    for (const route of this.#newRoutes) this.#routes.delete(route)
    this.#newRoutes.clear()
  }
}

function clamped(priority: number | undefined): number {
  return priority !== undefined && priority > 0 ? Math.min(maxRank, Math.trunc(priority)) : 0
}

function prepare(database: DatabaseSync) {
  return {
    routes: database.prepare(
      'SELECT id AS route FROM routes WHERE EXISTS (SELECT 1 FROM ranked WHERE route = routes.id)',
    ),
    lowest: database.prepare('SELECT max(id) AS id FROM ranked WHERE route = ? AND key = ? AND id <> ?'),
    note: database.prepare('INSERT INTO ranked (id, route, key) VALUES (?, ?, ?)'),
    forget: database.prepare('DELETE FROM ranked WHERE id = ?'),
  }
}
