import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { KeptEntry } from '../adapter/contract.ts'
import { failpoint } from '../failpoint.ts'
import type { CommitQueue } from './commit-queue.ts'
import type { KeptTable } from './contract.ts'
import { allOf } from './rows.ts'
import { readSafely } from './sqlite-error.ts'
import type { Participant } from './transactions.ts'

/** Small entries of connections that outlive a restart, such as the sessions of an embedded broker. */
export class KeptRows implements KeptTable, Participant {
  readonly #queue: () => CommitQueue
  readonly #all: StatementSync
  readonly #connections: StatementSync
  readonly #put: StatementSync
  readonly #delete: StatementSync
  #hasChanges = false

  constructor(database: DatabaseSync, queue: () => CommitQueue) {
    this.#queue = queue
    this.#all = database.prepare('SELECT key, value FROM kept WHERE connection = ? AND space = ? ORDER BY key')
    this.#connections = database.prepare('SELECT DISTINCT connection FROM kept')
    this.#put = database.prepare(
      `INSERT INTO kept (connection, space, key, value) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET value = excluded.value`,
    )
    this.#delete = database.prepare('DELETE FROM kept WHERE connection = ? AND space = ? AND key = ?')
  }

  all(connection: string, space: string): Iterable<readonly [key: string, value: Uint8Array]> {
    const rows = readSafely(() => allOf<KeptEntry>(this.#all, connection, space))
    return rows.map(({ key, value }) => [key, value])
  }

  connections(): readonly string[] {
    return readSafely(() => allOf<{ connection: string }>(this.#connections)).map(({ connection }) => connection)
  }

  put(connection: string, space: string, key: string, value: Uint8Array): void {
    const apply = () => this.write(connection, { space, key, value })
    this.#queue().add({ pace: 'soon', sizeBytes: value.byteLength, apply })
  }

  delete(connection: string, space: string, key: string): void {
    const apply = () => {
      this.#hasChanges = true
      this.#delete.run(connection, space, key)
    }
    this.#queue().add({ pace: 'soon', sizeBytes: 0, apply })
  }

  /** Inside the transaction. */
  write(connection: string, { space, key, value }: KeptEntry): void {
    this.#hasChanges = true
    this.#put.run(connection, space, key, value)
  }

  beforeCommit(): number {
    if (this.#hasChanges) failpoint('session.before-commit')
    this.#hasChanges = false
    return 0
  }

  rolledBack(): void {
    this.#hasChanges = false
  }
}
