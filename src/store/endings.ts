import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { failpoint } from '../failpoint.ts'
import type { Finish } from './contract.ts'
import type { Participant } from './transactions.ts'

/** Rows that leave the outbox in a transaction: deleted together at its end, as most follow each other. */
export class Endings implements Participant {
  readonly #remove: StatementSync
  readonly #removeAttempts: StatementSync
  readonly #onTwice: () => void
  #ids: number[] = []
  #idsOfAttempts: number[] = []
  #hasAny = false

  /** `onTwice`: somebody said of the same row twice that it ended; what was counted is not to be trusted. */
  constructor(database: DatabaseSync, onTwice: () => void) {
    this.#remove = database.prepare('DELETE FROM outbox WHERE id BETWEEN ? AND ?')
    this.#removeAttempts = database.prepare('DELETE FROM attempts WHERE id = ?')
    this.#onTwice = onTwice
  }

  /** `isInBundle`: no row, then, and the bundle forgets it by itself. */
  add({ id, hasAttempts }: Finish, isInBundle: boolean): void {
    this.#hasAny = true
    if (!isInBundle) this.#ids.push(id)
    if (hasAttempts) this.#idsOfAttempts.push(id)
  }

  beforeCommit(): void {
    if (!this.#hasAny) return
    this.#deleteRows()
    for (const id of this.#idsOfAttempts) this.#removeAttempts.run(id)
    this.#forget()
    failpoint('store.before-finish-commit')
  }

  committed(): void {}

  rolledBack(): void {
    this.#forget()
  }

  #forget(): void {
    this.#hasAny = false
    this.#ids = []
    this.#idsOfAttempts = []
  }

  /** Ids that follow each other without a gap go in one statement: no other row can lie between. */
  #deleteRows(): void {
    const ids = Float64Array.from(this.#ids).sort()
    let first = 0
    for (let next = 1; next <= ids.length; next++) {
      const last = ids[next - 1] as number
      if (ids[next] === last || ids[next] === last + 1) continue
      const { changes } = this.#remove.run(ids[first] as number, last)
      if (changes !== next - first) this.#onTwice()
      first = next
    }
  }
}
