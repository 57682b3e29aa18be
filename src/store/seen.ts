import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Participant } from './transactions.ts'

const pruneEveryMs = 60_000
/** So many in one transaction, as long as a turn of the event loop may be; the next goes on. */
const mostPruned = 1000

/** The `messageId`s a route has taken in, for as long as its window. */
export class Seen implements Participant {
  readonly #note: StatementSync
  readonly #pullBack: StatementSync
  readonly #prune: StatementSync
  readonly #longestMs = new Map<number, number>()
  #nextPruneAt = 0

  constructor(database: DatabaseSync) {
    this.#note = database.prepare(
      `INSERT INTO seen (route, message, at) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET at = excluded.at WHERE seen.at <= ?`,
    )
    this.#pullBack = database.prepare('UPDATE seen SET at = ? WHERE route = ? AND message = ? AND at > ?')
    this.#prune = database.prepare(
      `DELETE FROM seen WHERE route = ?1 AND message IN
       (SELECT message FROM seen INDEXED BY seen_at WHERE route = ?1 AND at <= ?2 LIMIT ${mostPruned})`,
    )
  }

  /** Notes it; true when it was noted within the window before. */
  isRepeated(route: number, messageId: string, windowMs: number): boolean {
    const now = Date.now()
    if ((this.#longestMs.get(route) ?? -1) < windowMs) this.#longestMs.set(route, windowMs)
    if (this.#note.run(route, messageId, now, now - windowMs).changes === 1) return false
    this.#pullBack.run(now, route, messageId, now) // the clock has jumped back: it was seen just now
    return true
  }

  /** Rides along with a transaction, at most once a minute. */
  beforeCommit(): void {
    if (this.#longestMs.size === 0 || performance.now() < this.#nextPruneAt) return
    let isDone = true
    for (const [route, windowMs] of this.#longestMs) {
      if (Number(this.#prune.run(route, Date.now() - windowMs).changes) === mostPruned) isDone = false
    }
    if (isDone) this.#nextPruneAt = performance.now() + pruneEveryMs
  }

  committed(): void {}

  rolledBack(): void {}
}
