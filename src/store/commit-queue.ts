import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { GatewayError, messageOf, PermanentError, RetryableError } from '../errors.ts'
import { failpoint } from '../failpoint.ts'
import { reserveBytes } from './reserve.ts'

/** One thing to do in a transaction. */
export interface Job {
  /** `append`: waits while there is no room. `soon`: may wait for company. `now`: at the end of this turn. */
  readonly pace: 'append' | 'soon' | 'now'
  /** What it will take up, roughly; counts for appends. */
  readonly sizeBytes: number
  /** Inside the transaction; perhaps again, when that was rolled back. */
  apply(): void
  /** After the fsync. */
  done(): void
  /** There was no room until the end; only of appends. */
  dropped?(): void
}

/** Somebody who keeps figures in memory that must follow the transaction. */
export interface Participant {
  /** The last thing in the transaction. */
  beforeCommit(): void
  /** The transaction is on disk: what belongs to it and is written elsewhere is put on disk too. A failure ends the store. */
  sync?(): void
  committed(): void
  rolledBack(): void
  /** In a transaction of its own, in the room that the reserve gave: what would need room later is written now. */
  diskIsFull?(): void
}

/** Whether appends may go on; asked before each transaction that has any. */
export interface Gate {
  /** Why the next append must wait now, after others of this size that are let in already; undefined: it may go. */
  shutFor(bytes: number): string | undefined
  /** The disk is full: make some room. */
  diskIsFull(): void
  /** True since then, until it has room again. */
  readonly isDiskFull: boolean
}

/** Jobs that free something wait so long for others, so that they do not cost an fsync each; milliseconds. */
const companyMs = 20
const mostInCompany = 1000
/** Jobs are gathered over turns of the event loop that follow each other as long as that; milliseconds, jobs. */
const gatherMs = 2
const mostGathered = 512
const retryMs = 1000
/** Far more than one commit takes: only a disk without any room lets so many gather. */
const mostBacklogged = 10_000
/**
 * The log is carried over about so often; each commit writes a few pages besides the messages. No more than the reserve, so
 * that on a full disk the room for carrying it over is there.
 */
const checkpointBytes = reserveBytes
const pageBytes = 4096
const commitBytes = 4 * pageBytes

/**
 * Gathers jobs over a turn of the event loop, or several that follow each other at once, and commits them together; then calls them back, in order. Appends that find
 * no room are held, in the order they came; the other jobs go on. After a failure of the disk nothing goes on.
 */
export class CommitQueue {
  readonly #database: DatabaseSync
  readonly #begin: StatementSync
  readonly #commit: StatementSync
  readonly #checkpoint: StatementSync
  readonly #changes: StatementSync
  readonly #participants: readonly Participant[]
  readonly #gate: Gate
  readonly #causeOf: (error: unknown) => string
  readonly #observe: (ms: number) => void
  readonly #onFatal: (error: PermanentError) => void
  readonly #fullListeners: ((isFull: boolean, why: string) => void)[] = []
  #jobs: Job[] = []
  #held: Job[] = []
  #waiters: PromiseWithResolvers<void>[] = []
  #toCall: (readonly Job[])[] = []
  #isCalling = false
  #immediate: NodeJS.Immediate | undefined
  #gatheringSinceMs = 0
  #gathered = 0
  #company: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  #failure: PermanentError | undefined
  #isClosed = false
  #isEnding = false
  #toldFull = false
  /** Why appends were held the last time. */
  #why: string | undefined
  #bytesSinceCheckpoint = 0
  #changesSoFar = 0
  commits = 0

  constructor(
    database: DatabaseSync,
    parts: {
      participants: readonly Participant[]
      gate: Gate
      causeOf: (error: unknown) => string
      observe: (ms: number) => void
      onFatal: (error: PermanentError) => void
    },
  ) {
    this.#database = database
    this.#begin = database.prepare('BEGIN') // one that writes nothing costs nothing
    this.#commit = database.prepare('COMMIT')
    this.#checkpoint = database.prepare('PRAGMA wal_checkpoint(PASSIVE)')
    this.#changes = database.prepare('SELECT total_changes() AS count')
    this.#participants = parts.participants
    this.#gate = parts.gate
    this.#causeOf = parts.causeOf
    this.#observe = parts.observe
    this.#onFatal = parts.onFatal
  }

  get isFull(): boolean {
    return this.#held.length > 0
  }

  /** True while so many jobs cannot be committed that no more should be made. */
  get isBacklogged(): boolean {
    return this.#jobs.length > mostBacklogged
  }

  get isDiskFull(): boolean {
    return this.#gate.isDiskFull
  }

  onFull(listener: (isFull: boolean, why: string) => void): void {
    this.#fullListeners.push(listener)
  }

  add(job: Job): void {
    if (this.#failure !== undefined || this.#isClosed) return
    this.#jobs.push(job)
    if (job.pace === 'soon' && this.#jobs.length < mostInCompany) this.#commitInCompany()
    else this.#commitThisTurn()
  }

  /** Held appends excepted: they hear by themselves. */
  flushed(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#jobs.length === 0) return Promise.resolve()
    const waiter = Promise.withResolvers<void>()
    this.#waiters.push(waiter)
    this.#commitThisTurn()
    return waiter.promise
  }

  /** Commits what is pending, then `work` in a transaction of its own. Throws where that fails; STORE_FULL leaves it undone. */
  run<T>(work: () => T, sizeBytes = pageBytes): T {
    this.commitPending()
    if (this.#failure !== undefined) throw this.#failure
    try {
      return this.#alone(work, sizeBytes)
    } catch (error) {
      this.#throwUnlessFull(error)
    }
    this.#makeRoom()
    try {
      return this.#alone(work, sizeBytes)
    } catch (error) {
      this.#throwUnlessFull(error)
      throw new RetryableError('STORE_FULL', 'the disk is full', { cause: error })
    }
  }

  #throwUnlessFull(error: unknown): void {
    if (error instanceof GatewayError) throw error
    if (this.#causeOf(error) !== 'full') throw this.#failed(error)
  }

  /** Commits what was handed over so far. */
  commitPending(): void {
    clearImmediate(this.#immediate)
    clearTimeout(this.#company)
    this.#immediate = undefined
    this.#company = undefined
    if (this.#failure !== undefined) return
    const waiters = this.#waiters
    this.#waiters = []
    if (this.#commitJobs()) for (const waiter of waiters) waiter.resolve()
    else this.#waiters.unshift(...waiters)
    if (this.#failure !== undefined) for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#failure)
  }

  /** Appends that wait for room, now or later, are dropped instead. */
  stopWaiting(): void {
    this.#isEnding = true
    this.#dropHeld()
  }

  #dropHeld(): void {
    for (const job of this.#held.splice(0)) job.dropped?.()
  }

  /** No job is taken or called back any more. */
  close(): void {
    this.commitPending()
    this.#isClosed = true
    clearTimeout(this.#retry)
    this.#held = []
    this.#jobs = []
  }

  /** False when jobs other than appends are left. */
  #commitJobs(): boolean {
    const all = this.#jobs
    this.#jobs = []
    if (all.length === 0 && this.#held.length === 0) return true
    const jobs = this.#admit(all)
    try {
      if (jobs.length > 0) this.#transaction(jobs)
      this.#tellFull(this.#why)
      return true
    } catch (error) {
      if (this.#causeOf(error) !== 'full') {
        this.#failed(error)
        return false
      }
      return this.#withoutAppends(jobs)
    }
  }

  /** What may go into this transaction; appends without room are held in the order they came. */
  #admit(all: Job[]): Job[] {
    const appends = all.filter(isAppend)
    if (this.#held.length === 0 && this.#isRoomFor(appends)) return all
    this.#held = this.#held.concat(appends)
    const admitted = all.filter((job) => !isAppend(job))
    for (const job of this.#held.splice(0, this.#countWithRoom())) admitted.push(job)
    if (this.#isEnding) this.#dropHeld()
    return admitted
  }

  #isRoomFor(appends: readonly Job[]): boolean {
    if (appends.length === 0) return true
    let bytes = 0
    for (const job of appends) bytes += job.sizeBytes
    return this.#gate.shutFor(bytes) === undefined
  }

  /** How many of the held go now: one by one, as a burst is many times what a small store may hold. */
  #countWithRoom(): number {
    let bytes = 0
    let count = 0
    this.#why = this.#gate.shutFor(bytes)
    for (; this.#why === undefined && count < this.#held.length; count += 1) {
      bytes += (this.#held[count] as Job).sizeBytes
      this.#why = this.#gate.shutFor(bytes)
    }
    return count
  }

  /** The disk is full: appends wait, the rest goes on in the room that the reserve gives. */
  #withoutAppends(jobs: readonly Job[]): boolean {
    this.#makeRoom()
    const appends = jobs.filter(isAppend)
    const others = jobs.filter((job) => !isAppend(job))
    this.#held = appends.concat(this.#held)
    if (this.#isEnding) this.#dropHeld()
    this.#tellFull('the disk is full')
    if (others.length === 0) return true
    try {
      this.#transaction(others)
      return true
    } catch (error) {
      if (this.#causeOf(error) !== 'full') this.#failed(error)
      else this.#jobs = others.concat(this.#jobs)
      this.#retryLater()
      return false
    }
  }

  #transaction(jobs: readonly Job[]): void {
    this.#commitWork(() => {
      for (const job of jobs) job.apply()
    })
    let bytes = 0
    for (const job of jobs) bytes += job.sizeBytes
    this.#countLog(bytes)
    this.#toCall.push(jobs)
    this.#callBack()
    this.#checkpointIfDue()
    if (this.#held.length > 0 && this.#gate.shutFor(0) === undefined) this.#commitThisTurn()
  }

  #alone<T>(work: () => T, sizeBytes: number): T {
    const result = this.#commitWork(work)
    this.#countLog(sizeBytes)
    this.#checkpointIfDue()
    if (this.#held.length > 0 && this.#gate.shutFor(0) === undefined) this.#commitThisTurn()
    return result
  }

  #commitWork<T>(work: () => T): T {
    const startedAt = performance.now()
    let result: T
    try {
      this.#begin.run()
      result = work()
      for (const participant of this.#participants) participant.beforeCommit()
      failpoint('store.before-commit')
      this.#commit.run()
    } catch (error) {
      this.#rollBack()
      throw error
    }
    this.#sync()
    this.commits += 1
    this.#observe(performance.now() - startedAt)
    failpoint('store.after-commit')
    for (const participant of this.#participants) participant.committed()
    return result
  }

  /** What SQLite has committed stays, untold. */
  #sync(): void {
    failpoint('store.before-sync')
    try {
      for (const participant of this.#participants) participant.sync?.()
    } catch (error) {
      throw this.#failed(error)
    }
  }

  #rollBack(): void {
    try {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
    } catch {} // then it was rolled back already
    for (const participant of this.#participants) participant.rolledBack()
  }

  /** In order; a job that is called back may commit more, which is called back after it. */
  #callBack(): void {
    if (this.#isCalling) return
    this.#isCalling = true
    for (const jobs of this.#toCall) for (const job of jobs) callBack(job) // more may be added meanwhile
    this.#toCall = []
    this.#isCalling = false
  }

  /** A transaction that has changed nothing, as all of it went to the spool, has not written to the log. */
  #countLog(bytes: number): void {
    const changes = this.#changes.get()?.count as number
    if (changes !== this.#changesSoFar) this.#bytesSinceCheckpoint += bytes + commitBytes
    this.#changesSoFar = changes
  }

  /** Carries the log over into the file, before it gets long. */
  #checkpointIfDue(): void {
    if (this.#bytesSinceCheckpoint < checkpointBytes) return
    this.#bytesSinceCheckpoint = 0
    failpoint('store.checkpoint')
    try {
      this.#checkpoint.get()
    } catch (error) {
      if (this.#causeOf(error) === 'full') this.#makeRoom()
      else this.#failed(error)
    }
  }

  /** The disk is full: the reserve is given up, and the log is emptied, as no transaction may come that would. */
  #makeRoom(): void {
    this.#gate.diskIsFull()
    this.#prepareForFullDisk()
  }

  #prepareForFullDisk(): void {
    this.#shortenLog()
    if (this.#failure !== undefined) return
    try {
      this.#commitWork(() => {
        for (const participant of this.#participants) participant.diskIsFull?.()
      })
    } catch (error) {
      if (this.#causeOf(error) !== 'full') this.#failed(error)
    }
  }

  /** Gives the room of the log back to the disk: what it holds is carried over first. */
  #shortenLog(): void {
    try {
      this.#database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    } catch (error) {
      if (this.#causeOf(error) !== 'full') this.#failed(error)
    }
  }

  #tellFull(why: string | undefined): void {
    const isFull = this.#held.length > 0
    if (isFull) this.#retryLater()
    if (isFull === this.#toldFull) return
    this.#toldFull = isFull
    for (const listener of this.#fullListeners) listener(isFull, isFull ? (why ?? '') : 'there is room again')
  }

  /** The disk did not do what it was told: whatever it says next may be wrong too. */
  #failed(error: unknown): PermanentError {
    if (this.#failure !== undefined) return this.#failure
    const failure = new PermanentError('STORE_FAILED', `the store cannot write any more: ${messageOf(error)}`, {
      cause: error,
    })
    this.#failure = failure
    clearTimeout(this.#retry)
    this.#onFatal(failure)
    return failure
  }

  #commitThisTurn(): void {
    if (this.#immediate !== undefined) return
    this.#gatheringSinceMs = performance.now()
    this.#gathered = 0
    this.#immediate = setImmediate(() => this.#commitUnlessMoreComes())
  }

  /** While each turn of the event loop brings more, one commit for several turns; a lone message waits for one empty turn. */
  #commitUnlessMoreComes(): void {
    const isComing = this.#jobs.length > this.#gathered && this.#jobs.length < mostGathered
    if (!isComing || performance.now() - this.#gatheringSinceMs > gatherMs) return this.commitPending()
    this.#gathered = this.#jobs.length
    this.#immediate = setImmediate(() => this.#commitUnlessMoreComes())
  }

  #commitInCompany(): void {
    if (this.#immediate === undefined) this.#company ??= setTimeout(() => this.commitPending(), companyMs)
  }

  #retryLater(): void {
    if (this.#failure !== undefined || this.#isClosed) return
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      if (this.#gate.isDiskFull) this.#prepareForFullDisk()
      this.commitPending()
    }, retryMs)
  }
}

/** A bug of its owner's must not keep the others from hearing. */
function callBack(job: Job): void {
  try {
    job.done()
  } catch (error) {
    setImmediate(() => {
      throw error
    })
  }
}

function isAppend(job: Job): boolean {
  return job.pace === 'append'
}
