import { statSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import type { Log } from '../adapter/contract.ts'
import type { PermanentError } from '../errors.ts'
import { CommitQueue } from './commit-queue.ts'
import type { Store, StoreStats } from './contract.ts'
import { type OpenedDatabase, openDatabase, openingError } from './database.ts'
import { DeadLetterRows } from './dead-letter-rows.ts'
import type { DeadLetterLimit } from './dead-letters.ts'
import { KeptRows } from './kept-rows.ts'
import { PagedOutbox } from './outbox.ts'
import { Room } from './room.ts'
import { causeOf } from './sqlite-error.ts'

export interface StoreOptions {
  readonly directory: string
  /** Of the messages that wait, with their fields; what comes beyond it is held. */
  readonly maxBytes: number
  /** Default: as many dead letters as come. */
  readonly deadLetters?: DeadLetterLimit | undefined
  readonly log: Log
  /** Called once when the disk has failed: nothing is committed or called back after it, and the process should end. */
  readonly onFatal: (error: PermanentError) => void
}

/**
 * Opens the store of a directory, or makes one. Throws a PermanentError: STORE_IN_USE, STORE_DAMAGED or STORE_FAILED,
 * with a message that says what to do.
 */
export function openStore(options: StoreOptions): Store {
  const { database, ...opened } = openDatabase(options.directory, options.log)
  try {
    return new SqliteStore(database, { ...options, ...opened })
  } catch (error) {
    database.close()
    throw openingError(error, options.directory, opened.file)
  }
}

class SqliteStore implements Store {
  readonly outbox: PagedOutbox
  readonly deadLetters: DeadLetterRows
  readonly kept: KeptRows
  readonly stats: StoreStats
  readonly #database: DatabaseSync
  readonly #queue: CommitQueue
  readonly #wasClean: boolean
  #isFailed = false
  #isClosed = false

  constructor(database: DatabaseSync, options: StoreOptions & Omit<OpenedDatabase, 'database'>) {
    const { directory, maxBytes, log, wasClean } = options
    const queue = (): CommitQueue => this.#queue
    this.#database = database
    this.#wasClean = wasClean
    this.kept = new KeptRows(database, queue)
    this.outbox = new PagedOutbox(database, { kept: this.kept, queue, wasClean })
    const { deadLetters: limit } = options
    this.deadLetters = new DeadLetterRows(database, { outbox: this.outbox, queue, limit })
    this.#queue = new CommitQueue(database, {
      participants: [...this.outbox.participants, this.deadLetters, this.kept],
      gate: new Room(database, { directory, maxBytes, tally: this.outbox.tally, log }),
      causeOf: (error) => causeOf(error, directory),
      onFatal: (error) => {
        this.#isFailed = true
        options.onFatal(error)
      },
    })
    const { file } = options
    this.stats = statsOf(this.#queue, this.outbox, () => sizeOf(file) + sizeOf(`${file}-wal`))
  }

  get isFull(): boolean {
    return this.#queue.isFull
  }

  onFull(listener: (isFull: boolean, why: string) => void): void {
    this.#queue.onFull(listener)
  }

  stopWaiting(): void {
    this.#queue.stopWaiting()
    this.deadLetters.stopWaiting()
  }

  flushed(): Promise<void> {
    return this.#queue.flushed()
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#queue.close()
    try {
      if (!this.#isFailed) this.#end()
    } catch {} // the disk is full, or fails: then this end does not count as clean
    if (!this.#isFailed) this.#database.close() // it would write once more; the process ends anyway
  }

  /** After a crash, a command that was run in between does not make the next process forget it. */
  #end(): void {
    if (!this.#wasClean && !this.outbox.hasWorked) return
    this.#queue.run(() => {
      this.outbox.forgetStarts()
      this.#database.exec("UPDATE meta SET value = 1 WHERE name = 'clean'")
    })
  }
}

function statsOf(queue: CommitQueue, outbox: PagedOutbox, fileBytes: () => number): StoreStats {
  return {
    get commits() {
      return queue.commits
    },
    get reads() {
      return outbox.reads
    },
    fileBytes,
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}
