import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { failpoint } from '../failpoint.ts'
import { reserveBytes } from './reserve.ts'

/** No more than the reserve, so that on a full disk there is room to carry the log over. */
const checkpointBytes = reserveBytes
/** Each commit writes a few pages besides the messages. */
const commitBytes = 4 * 4096

/**
 * SQLite's log, which we carry over into the database ourselves, between two transactions: by its own count of pages SQLite
 * would do so within a commit. Whoever commits says how much (`count`), then has it carried over if it is due.
 */
export class WriteAheadLog {
  readonly #database: DatabaseSync
  readonly #checkpoint: StatementSync
  readonly #changes: StatementSync
  #bytes = 0
  #changesSoFar = 0

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#checkpoint = database.prepare('PRAGMA wal_checkpoint(PASSIVE)')
    this.#changes = database.prepare('SELECT total_changes() AS count')
  }

  /** So much was committed; nothing of it where a transaction has changed nothing. */
  count(bytes: number): void {
    const changes = this.#changes.get()?.count as number
    if (changes !== this.#changesSoFar) this.#bytes += bytes + commitBytes
    this.#changesSoFar = changes
  }

  /** Before it gets long. */
  carryOverIfDue(): void {
    if (this.#bytes < checkpointBytes) return
    this.#bytes = 0
    failpoint('store.checkpoint')
    this.#checkpoint.get()
  }

  /** Carries all over, and gives its room back to the disk. */
  empty(): void {
    this.#database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  }
}
