import type { DatabaseSync } from 'node:sqlite'
import type { Repeatable } from './contract.ts'
import { allOf, firstOf } from './rows.ts'
import type { Participant } from './transactions.ts'

const pruneEveryMs = 60_000
/** So many in one transaction, as long as a turn of the event loop may be; the next goes on. */
const mostPruned = 1000

/** The messages that each scope has taken in, by what they are known by, for as long as its window. */
export class Seen implements Participant {
  readonly #statements: ReturnType<typeof prepare>
  /** Of every scope that is in the file, also of one that nobody names any more: its messages go when their time is over. */
  readonly #windows = new Map<number, number>()
  /** Named by this process. */
  readonly #named = new Set<number>()
  #nextPruneAt = 0
  /** True once messages come in: all scopes are named by then that will be. */
  areAllNamed = false

  constructor(database: DatabaseSync) {
    this.#statements = prepare(database)
    const scopes = allOf<{ id: number; window: number }>(this.#statements.scopes)
    for (const { id, window } of scopes) this.#windows.set(id, window)
  }

  /** The number of a scope that is noted as it is; undefined: it has to be named. */
  find(name: string, windowMs: number): number | undefined {
    const id = firstOf<{ id: number }>(this.#statements.find, name)?.id
    if (id === undefined) return undefined
    const noted = this.#windows.get(id) ?? 0
    const isEnough = this.#named.has(id) ? noted >= windowMs : noted === windowMs
    if (!isEnough) return undefined
    this.#named.add(id)
    return id
  }

  /** Inside a transaction, like all below. Of the windows that a scope is given the longest counts. */
  name(name: string, windowMs: number): number {
    const id = firstOf<{ id: number }>(this.#statements.keep, name, windowMs)?.id ?? 0
    this.#windows.set(id, windowMs)
    this.#named.add(id)
    return id
  }

  /** Notes it; true when it was noted within the window before. */
  isRepeated({ scope, id, windowMs }: Repeatable): boolean {
    const now = Date.now()
    const { note, pullBack } = this.#statements
    if (note.run(scope, id, now, now - windowMs).changes === 1) return false
    pullBack.run(now, scope, id, now) // the clock has jumped back: it was seen just now
    return true
  }

  /** Rides along with a transaction, at most once a minute. */
  beforeCommit(): number {
    if (this.#windows.size > 0 && performance.now() >= this.#nextPruneAt) this.#prune()
    return 0
  }

  #prune(): void {
    let isDone = true
    for (const [scope, windowMs] of this.#windows) {
      const { changes } = this.#statements.prune.run(scope, Date.now() - windowMs)
      if (Number(changes) === mostPruned) isDone = false
      else if (this.areAllNamed && !this.#named.has(scope)) this.#forgetIfEmpty(scope)
    }
    if (isDone && this.areAllNamed) this.#nextPruneAt = performance.now() + pruneEveryMs
  }

  /** Should that be rolled back, the next start does it. */
  #forgetIfEmpty(scope: number): void {
    if (this.#statements.forget.run(scope, scope).changes === 1) this.#windows.delete(scope)
  }
}

function prepare(database: DatabaseSync) {
  return {
    scopes: database.prepare('SELECT id, window FROM scopes'),
    find: database.prepare('SELECT id FROM scopes WHERE name = ?'),
    keep: database.prepare(
      'INSERT INTO scopes (name, window) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET window = excluded.window RETURNING id',
    ),
    forget: database.prepare('DELETE FROM scopes WHERE id = ? AND NOT EXISTS (SELECT 1 FROM seen WHERE scope = ?)'),
    note: database.prepare(
      `INSERT INTO seen (scope, message, at) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET at = excluded.at WHERE seen.at <= ?`,
    ),
    pullBack: database.prepare('UPDATE seen SET at = ? WHERE scope = ? AND message = ? AND at > ?'),
    prune: database.prepare(
      `DELETE FROM seen WHERE scope = ?1 AND message IN
       (SELECT message FROM seen INDEXED BY seen_at WHERE scope = ?1 AND at <= ?2 LIMIT ${mostPruned})`,
    ),
  }
}
