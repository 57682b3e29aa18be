import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { messageOf, PermanentError } from '../errors.ts'
import { failpoint } from '../failpoint.ts'
import { WriteAheadLog } from './write-ahead-log.ts'

/** Somebody who keeps figures in memory that must follow the transaction. */
export interface Participant {
  /** The last thing in the transaction. Bytes that it has written beyond what jobs have told, where those are many. */
  beforeCommit?(): number
  committed?(): void
  rolledBack?(): void
}

export interface TransactionParts {
  readonly participants: readonly Participant[]
  /** `full` where the disk has no room: then the work may be tried again. */
  readonly causeOf: (error: unknown) => string
  readonly onFatal: (error: PermanentError) => void
}

/** Transactions on the database, with those who follow them. After a failure of the disk nothing is committed any more. */
export class Transactions {
  readonly #database: DatabaseSync
  readonly #begin: StatementSync
  readonly #commit: StatementSync
  readonly #log: WriteAheadLog
  readonly #parts: TransactionParts
  #failure: PermanentError | undefined
  commits = 0

  constructor(database: DatabaseSync, parts: TransactionParts) {
    this.#database = database
    this.#begin = database.prepare('BEGIN') // one that writes nothing costs nothing
    this.#commit = database.prepare('COMMIT')
    this.#log = new WriteAheadLog(database)
    this.#parts = parts
  }

  /** Why nothing goes on. */
  get failure(): PermanentError | undefined {
    return this.#failure
  }

  /**
   * On disk when it returns. What it throws was rolled back: where it is about a full disk the work may be tried again, else
   * `fail` has to be told.
   */
  run<T>(work: () => T, sizeBytes: number): T {
    if (this.#failure !== undefined) throw this.#failure
    const { result, moreBytes } = this.#run(work)
    this.#log.count(sizeBytes + moreBytes)
    return result
  }

  /** Whether this was thrown for want of room on the disk. */
  isAboutRoom(error: unknown): boolean {
    return this.#failure === undefined && this.#parts.causeOf(error) === 'full'
  }

  /** The disk did not do what it was told: whatever it says next may be wrong too. */
  fail(error: unknown): PermanentError {
    if (this.#failure !== undefined) return this.#failure
    const failure = new PermanentError('STORE_FAILED', `the store cannot write any more: ${messageOf(error)}`, {
      cause: error,
    })
    this.#failure = failure
    this.#parts.onFatal(failure)
    return failure
  }

  /** Carries the log over before it gets long; false: the disk is full. */
  keepLogShort(): boolean {
    return this.#unlessFull(() => this.#log.carryOverIfDue())
  }

  /** The log is emptied, as no transaction may come that would do so. */
  prepareForFullDisk(): void {
    this.#unlessFull(() => this.#log.empty())
  }

  #unlessFull(work: () => void): boolean {
    try {
      work()
      return true
    } catch (error) {
      if (this.isAboutRoom(error)) return false
      this.fail(error)
      return true
    }
  }

  #run<T>(work: () => T): { result: T; moreBytes: number } {
    const { participants } = this.#parts
    let result: T
    let moreBytes = 0
    try {
      this.#begin.run()
      result = work()
      for (const participant of participants) moreBytes += participant.beforeCommit?.() ?? 0
      failpoint('store.before-commit')
      this.#commit.run()
    } catch (error) {
      this.#rollBack()
      throw error
    }
    this.commits += 1
    failpoint('store.after-commit')
    for (const participant of participants) participant.committed?.()
    return { result, moreBytes }
  }

  #rollBack(): void {
    try {
      this.#database.exec('ROLLBACK')
    } catch {} // then it never began, or was rolled back already
    for (const participant of this.#parts.participants) participant.rolledBack?.()
  }
}
