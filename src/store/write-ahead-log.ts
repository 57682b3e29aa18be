import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { failpoint } from '../failpoint.ts'
import { reserveBytes } from './reserve.ts'

/**
 * The log is carried over about so often; each commit writes a few pages besides the messages. No more than the reserve, so
 * that on a full disk the room for carrying it over is there.
 */
const checkpointBytes = reserveBytes
const commitBytes = 4 * 4096

/** SQLite's log, which we carry over into the database ourselves: by its own count of pages it would do so within a commit. */
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

  /** So much was committed. A transaction that has changed nothing, as all of it went to the spool, has not written here. */
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
