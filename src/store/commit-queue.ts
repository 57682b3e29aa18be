import type { DatabaseSync } from 'node:sqlite'
import { GatewayError, type PermanentError, RetryableError } from '../errors.ts'
import { Gathering } from './gathering.ts'
import { type TransactionParts, Transactions } from './transactions.ts'

/** One thing to do in a transaction. */
export interface Job {
  /** `append`: waits while there is no room. `soon`: may wait for company. `now`: at the end of this turn. */
  readonly pace: 'append' | 'soon' | 'now'
  /** What it will take up, roughly; counts for appends. */
  readonly sizeBytes: number
  /** Of appends: those with the same follow each other, and go in together or not at all. */
  readonly whole?: unknown
  /** Inside the transaction; perhaps again, when that was rolled back. */
  apply(): void
  /** After the fsync. */
  done?(): void
  /** There was no room until the end; only of appends. */
  dropped?(): void
}

/** Whether appends may go on; asked before each transaction that has any. */
export interface Gate {
  /**
   * Why the next append must wait now; undefined: it may go. `bytes`: what this transaction has let in before it. Asked with 0
   * it looks anew whether there is room.
   */
  shutFor(bytes: number): string | undefined
  /** The disk is full: make some room. */
  diskIsFull(): void
  /** True since then, until it has room again. */
  readonly isDiskFull: boolean
}

const retryMs = 1000
/** Far more than one commit takes: only a disk without any room lets so many gather. */
const mostBacklogged = 10_000
/** What a transaction of `run` takes up where nobody says. */
const usualBytes = 4096

/**
 * Gathers jobs and commits them together; then calls them back, in order. Appends that find no room are held, in the order
 * they came; the other jobs go on. After a failure of the disk nothing goes on.
 */
export class CommitQueue {
  readonly #transactions: Transactions
  readonly #gate: Gate
  readonly #gathering = new Gathering(
    () => this.#jobs.length,
    () => this.commitPending(),
  )
  readonly #fullListeners: ((isFull: boolean, why: string) => void)[] = []
  #jobs: Job[] = []
  #held: Job[] = []
  #waiters: PromiseWithResolvers<void>[] = []
  #toCall: (readonly Job[])[] = []
  #isCalling = false
  #retry: NodeJS.Timeout | undefined
  #isClosed = false
  #isEnding = false
  #toldFull = false
  /** Why appends were held the last time. */
  #why: string | undefined

  constructor(database: DatabaseSync, parts: TransactionParts & { readonly gate: Gate }) {
    const onFatal: TransactionParts['onFatal'] = (failure) => {
      clearTimeout(this.#retry)
      this.#rejectWaiters(failure)
      parts.onFatal(failure)
    }
    this.#transactions = new Transactions(database, { ...parts, onFatal })
    this.#gate = parts.gate
  }

  get commits(): number {
    return this.#transactions.commits
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
    if (this.#transactions.failure !== undefined || this.#isClosed) return
    this.#jobs.push(job)
    if (job.pace === 'soon') this.#gathering.commitSoon()
    else this.#gathering.commitThisTurn()
  }

  /** Held appends excepted: they hear by themselves. */
  flushed(): Promise<void> {
    const { failure } = this.#transactions
    if (failure !== undefined) return Promise.reject(failure)
    if (this.#jobs.length === 0) return Promise.resolve()
    const waiter = Promise.withResolvers<void>()
    this.#waiters.push(waiter)
    this.#gathering.commitThisTurn()
    return waiter.promise
  }

  /** Commits what is pending, then `work` in a transaction of its own. Throws where that fails; STORE_FULL leaves it undone. */
  run<T>(work: () => T, sizeBytes = usualBytes): T {
    this.commitPending()
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
    if (!this.#transactions.isAboutRoom(error)) throw this.#transactions.fail(error)
  }

  /** Commits what was handed over so far. */
  commitPending(): void {
    this.#gathering.forget()
    if (this.#transactions.failure !== undefined) return
    const waiters = this.#waiters
    this.#waiters = []
    if (this.#commitJobs()) for (const waiter of waiters) waiter.resolve()
    else this.#waiters.unshift(...waiters)
    const { failure } = this.#transactions
    if (failure !== undefined) this.#rejectWaiters(failure)
  }

  #rejectWaiters(failure: PermanentError): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(failure)
  }

  /** Appends that wait for room, now or later, are dropped instead. */
  stopWaiting(): void {
    this.#isEnding = true
    this.#toldFull = false // nobody is to read on because these are gone
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
    const outcome = this.#together(jobs)
    if (outcome === 'full') return this.#withoutAppends(jobs)
    if (outcome === 'done') this.#tellFull(this.#why)
    return outcome === 'done'
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
    return appends.length === 0 || (!this.#gate.isDiskFull && this.#gate.shutFor(sizeOf(appends)) === undefined)
  }

  /** How many of the held go now: one by one, as a burst is many times what a small store may hold. */
  #countWithRoom(): number {
    let bytes = 0
    let count = 0
    this.#why = this.#gate.shutFor(bytes)
    while (count < this.#held.length && (this.#why === undefined || this.#isWithinWhole(count))) {
      bytes += (this.#held[count] as Job).sizeBytes
      count += 1
      this.#why = this.#gate.shutFor(bytes)
    }
    return count
  }

  /** What a source was promised of a message may stand in any of its copies. */
  #isWithinWhole(index: number): boolean {
    const whole = this.#held[index]?.whole
    return index > 0 && whole !== undefined && whole === this.#held[index - 1]?.whole
  }

  /** The disk is full: appends wait, the rest goes on in the room that the reserve gives. */
  #withoutAppends(jobs: readonly Job[]): boolean {
    this.#makeRoom()
    const others = jobs.filter((job) => !isAppend(job))
    this.#held = jobs.filter(isAppend).concat(this.#held)
    if (this.#isEnding) this.#dropHeld()
    const outcome = this.#together(others)
    if (outcome === 'full') this.#jobs = others.concat(this.#jobs)
    if (outcome !== 'done') this.#retryLater()
    this.#tellFull('the disk is full')
    return outcome === 'done'
  }

  /** Commits them and calls them back; `full`: there was no room on the disk, `failed`: nothing goes on. */
  #together(jobs: readonly Job[]): 'done' | 'full' | 'failed' {
    if (jobs.length === 0) return 'done'
    const apply = () => {
      for (const job of jobs) job.apply()
    }
    try {
      this.#transactions.run(apply, sizeOf(jobs))
    } catch (error) {
      if (this.#transactions.isAboutRoom(error)) return 'full'
      this.#transactions.fail(error)
      return 'failed'
    }
    this.#toCall.push(jobs)
    this.#callBack()
    this.#afterwards()
    return 'done'
  }

  #alone<T>(work: () => T, sizeBytes: number): T {
    const result = this.#transactions.run(work, sizeBytes)
    this.#afterwards()
    return result
  }

  #afterwards(): void {
    if (!this.#transactions.keepLogShort()) this.#makeRoom()
    if (this.#held.length > 0 && this.#gate.shutFor(0) === undefined) this.#gathering.commitThisTurn()
  }

  /** In order; a job that is called back may commit more, which is called back after it. */
  #callBack(): void {
    if (this.#isCalling) return
    this.#isCalling = true
    for (const jobs of this.#toCall) for (const job of jobs) callBack(job) // more may be added meanwhile
    this.#toCall = []
    this.#isCalling = false
  }

  /** The disk is full: the reserve is given up. */
  #makeRoom(): void {
    this.#gate.diskIsFull()
    this.#transactions.prepareForFullDisk()
  }

  #tellFull(why: string | undefined): void {
    const isFull = this.#held.length > 0
    if (isFull) this.#retryLater()
    if (isFull === this.#toldFull) return
    this.#toldFull = isFull
    for (const listener of this.#fullListeners) listener(isFull, isFull ? (why ?? '') : 'there is room again')
  }

  #retryLater(): void {
    if (this.#transactions.failure !== undefined || this.#isClosed) return
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      if (this.#gate.isDiskFull) this.#transactions.prepareForFullDisk()
      this.commitPending()
    }, retryMs)
  }
}

/** A bug of its owner's must not keep the others from hearing. */
function callBack(job: Job): void {
  try {
    job.done?.()
  } catch (error) {
    setImmediate(() => {
      throw error
    })
  }
}

function isAppend(job: Job): boolean {
  return job.pace === 'append'
}

function sizeOf(jobs: readonly Job[]): number {
  let bytes = 0
  for (const job of jobs) bytes += job.sizeBytes
  return bytes
}
