import type { DatabaseSync } from 'node:sqlite'
import { GatewayError } from '../errors.ts'
import { failpoint } from '../failpoint.ts'
import type { BundledRow } from './bundle.ts'
import { Bundles } from './bundles.ts'
import type { CommitQueue } from './commit-queue.ts'
import {
  type Append,
  type Attempts,
  type Candidate,
  type Finish,
  idOf,
  type LongestWaiting,
  type Outbox,
  rankOf,
  type StoredMessage,
  type Waiting,
} from './contract.ts'
import type { DeadLetterReason } from './dead-letters.ts'
import { Endings } from './endings.ts'
import type { KeptRows } from './kept-rows.ts'
import {
  AbsolveJob,
  AppendJob,
  AttemptJob,
  bytesOfRow,
  FinishJob,
  type NewRow,
  type OutboxWriter,
} from './outbox-jobs.ts'
import { OutboxReader, type Page } from './outbox-reader.ts'
import { type InsertRow, prepareInsert } from './outbox-rows.ts'
import { isRanked, Ranks } from './ranks.ts'
import { encodeParams } from './record.ts'
import { Seen } from './seen.ts'
import type { Spool } from './spool.ts'
import { readSafely } from './sqlite-error.ts'
import { Tally } from './tally.ts'
import { TargetTable } from './target-table.ts'
import type { Participant } from './transactions.ts'

/** Each wake moves so many at most, as long as a turn of the event loop may be. */
const mostAwoken = 1000

/** The messages that are safe here and not yet delivered. */
export class OutboxTable implements Outbox, OutboxWriter {
  readonly recoveredUpTo: number
  readonly tally: Tally
  readonly participants: readonly Participant[]
  readonly #ranks: Ranks
  readonly #seen: Seen
  readonly #targets: TargetTable
  readonly #reader: OutboxReader
  readonly #kept: KeptRows
  readonly #bundles: Bundles
  readonly #endings: Endings
  readonly #insertRow: InsertRow
  readonly #statements: Statements
  readonly #queue: () => CommitQueue
  #sequence: number
  /** False in a process that only looked, or dealt with dead letters. */
  hasWorked = false
  /** Started in this process; a clean end takes that back. */
  readonly #started = new Set<number>()

  constructor(
    database: DatabaseSync,
    parts: { kept: KeptRows; spool: Spool; queue: () => CommitQueue; wasClean: boolean },
  ) {
    this.tally = new Tally(database)
    this.#ranks = new Ranks(database)
    this.#seen = new Seen(database)
    this.#targets = new TargetTable(database)
    this.#reader = new OutboxReader(database)
    this.#kept = parts.kept
    this.#insertRow = prepareInsert(database)
    this.#bundles = new Bundles(database, { spool: parts.spool, insertRow: this.#insertRow })
    this.#endings = new Endings(database, () => this.#recount())
    this.#queue = parts.queue
    this.#statements = prepare(database)
    this.#sequence = this.#reader.highestSequence()
    this.recoveredUpTo = parts.wasClean ? 0 : this.#sequence
    this.participants = [this.#endings, this.#bundles, this.#seen, this.#ranks, this.tally]
  }

  route(name: string, targets: readonly string[]): { route: number; bits: number[] } {
    return this.#queue().run(() => {
      this.#bundles.unpack() // which targets are waited for is asked of rows
      return this.#targets.assign(name, targets)
    })
  }

  scope(name: string, windowMs: number): number {
    return this.#seen.find(name, windowMs) ?? this.#queue().run(() => this.#seen.name(name, windowMs))
  }

  append(entry: Append): void {
    this.hasWorked = true
    this.#seen.areAllNamed = true
    this.#queue().add(new AppendJob(this, entry))
  }

  finish(done: Finish): void {
    this.hasWorked = true
    this.#queue().add(new FinishJob(this, done))
  }

  attempted(id: number, bit: number, attempts: Attempts): void {
    this.#queue().add(new AttemptJob(this.#statements.noteAttempt, id, bit, attempts))
  }

  read(route: number, bit: number, page: Page): StoredMessage[] | undefined {
    if (!this.#unpack(route)) return undefined
    return readSafely(() => this.#reader.read(route, bit, page))
  }

  ends(route: number): readonly number[] {
    const ends = readSafely(() => this.#reader.ends(route))
    const end = this.#bundles.endOf(route)
    if (end === undefined) return ends
    const others = ends.filter((one) => rankOf(one) !== rankOf(end))
    return [...others, Math.max(end, ends.at(-1) ?? 0)] // rank 0 is the last
  }

  nextDueAt(route: number): number | undefined {
    return readSafely(() => this.#reader.nextDueAt(route))
  }

  /** At most 1,000; they get new ids, behind all that waits. */
  wake(route: number, nowEpochMs: number): number {
    const dueAt = this.nextDueAt(route)
    if (dueAt === undefined || dueAt > nowEpochMs) return 0
    return this.#queue().run(() => {
      const rows = this.#statements.due.all(route, nowEpochMs, mostAwoken)
      for (const { id, key } of rows) this.#wakeRow(id as number, route, key as string | Uint8Array | null)
      return rows.length
    })
  }

  markStart(ids: readonly number[]): void {
    this.hasWorked = true
    this.#queue().run(() => {
      if (ids.some((id) => this.#bundles.has(id))) this.#bundles.unpack()
      for (const id of ids) this.#statements.start.run(1, id)
    })
    for (const id of ids) this.#started.add(id)
    failpoint('start.marked')
  }

  absolve(ids: readonly number[]): void {
    for (const id of ids) this.#started.delete(id)
    this.#queue().add(new AbsolveJob(this.#statements.start, ids))
  }

  /** Inside a transaction of its own: everything is in rows then. */
  leaveSpool(): void {
    this.#bundles.leaveSpool()
  }

  /** Nothing that was started killed this process. */
  forgetStarts(): void {
    for (const id of this.#started) this.#statements.start.run(-1, id)
  }

  get isBacklogged(): boolean {
    return this.#queue().isBacklogged
  }

  waitingLongest(route: number, bits: number, which: LongestWaiting): readonly Candidate[] {
    if (
      (this.#bundles.oldestAt(route) ?? Number.POSITIVE_INFINITY) < (which.receivedBefore ?? Number.POSITIVE_INFINITY)
    )
      this.#unpack(route)
    return readSafely(() => this.#reader.waitingLongest(route, bits, which))
  }

  get(id: number): StoredMessage | undefined {
    if (this.#bundles.has(id)) this.#unpack()
    return readSafely(() => this.#reader.get(id))
  }

  waiting(route: number): Waiting {
    const oldestAt = readSafely(() => this.#reader.oldestAt(route))
    return { ...this.tally.of(route), oldestAt: earlier(oldestAt, this.#bundles.oldestAt(route)) }
  }

  orphans(names: readonly string[]): readonly { readonly name: string; readonly count: number }[] {
    const found = []
    for (const [route, name] of this.#targets.names) {
      const { count } = this.tally.of(route)
      if (count > 0 && !names.includes(name)) found.push({ name, count })
    }
    return found
  }

  orphanTargets(): readonly { readonly route: string; readonly target: string; readonly count: number }[] {
    return readSafely(() => this.#targets.orphans())
  }

  get total(): Waiting {
    const oldestAt = readSafely(() => this.#reader.oldestOfAllAt())
    const { count, bytes } = this.tally
    return { count, bytes, oldestAt: earlier(oldestAt, this.#bundles.oldestAt()) }
  }

  keep(entry: Append, fields: string, bytes: number): number | undefined {
    const { keep, deduplicate, envelope, route, key = null, wanted } = entry
    if (keep !== undefined) this.#kept.write(keep.connection, keep.entry)
    if (deduplicate !== undefined && this.#seen.isRepeated(deduplicate)) return undefined
    const { payload, priority } = envelope
    const id = this.#nextId(route, key, priority)
    const row = {
      id,
      route,
      wanted,
      bytes,
      received: entry.receivedAt ?? Date.now(),
      key,
      params: encodeParams(entry.params),
      fields,
      payload,
    }
    this.tally.change(route, 1, bytes)
    if (this.#isForBundle(entry, row)) {
      this.#bundles.add(row)
      return id
    }
    this.#bundles.unpackNew(route) // the rows of a transaction are on disk before its bundle: nothing may be overtaken
    this.#insertRow({ ...row, due: 0, ranked: this.#rankedOf(route, key), requeues: 0 })
    return id
  }

  /** Inside the transaction. */
  insert(row: NewRow): void {
    const { route, key, payload, wanted, requeues, params, fields, dueAt: due, receivedAt: received } = row
    const id = this.#nextId(route, key, row.priority)
    const bytes = bytesOfRow(fields, payload)
    const ranked = this.#rankedOf(route, key)
    this.#insertRow({ id, route, due, wanted, bytes, received, ranked, key, requeues, params, fields, payload })
    this.tally.change(route, 1, bytes)
  }

  /** On a full disk nothing is put off that takes up room later. */
  #isForBundle({ leavesSoon, route, wanted, keep, deduplicate }: Append, row: BundledRow): boolean {
    const hasOneTarget = (wanted & (wanted - 1)) === 0 // a bundle cannot note which of several is done
    if (leavesSoon !== true || !hasOneTarget) return false
    if (keep !== undefined || deduplicate !== undefined) return false // noted in one transaction with the message
    return !this.#ranks.areKeptFor(route) && !this.#queue().isDiskFull && this.#bundles.hasRoomFor(row)
  }

  /**
   * What is in bundles becomes rows; what was handed over is committed and called back before. False when the disk has no
   * room for that, or has failed, which its owner hears by itself.
   */
  #unpack(route?: number): boolean {
    if (!this.#bundles.holds(route)) return true
    try {
      this.#queue().run(() => this.#bundles.unpack(route), this.#bundles.bytesOf(route))
      return true
    } catch (error) {
      if (error instanceof GatewayError) return false
      throw error
    }
  }

  #nextId(route: number, key: string | Uint8Array | null, priority: number | undefined): number {
    if (isRanked(priority) && !this.#ranks.areKeptFor(route)) this.#bundles.unpack(route) // ranks see only rows
    return idOf(this.#ranks.rankFor(route, key, priority), ++this.#sequence)
  }

  #rankedOf(route: number, key: string | Uint8Array | null): number | null {
    return key !== null && this.#ranks.areKeptFor(route) ? 1 : null
  }

  take(done: Finish): { readonly isLast: boolean; readonly dead: DeadLetterReason | undefined } {
    let { dead } = done
    if (done.bits !== done.wanted) {
      const row = this.#statements.finishBits.get(done.bits, done.dead ?? null, done.id)
      if (row === undefined || row.open !== 0) return { isLast: false, dead }
      dead = (row.dead as DeadLetterReason | null) ?? undefined
    }
    if (dead !== undefined) this.#bundles.unpackWith(done.id) // it leaves in one transaction with its letter
    const isInBundle = this.#bundles.leave(done.id, done.route)
    this.#endings.add(done, isInBundle)
    this.tally.change(done.route, -1, -done.bytes)
    return dead === undefined ? deliveredToLast : { isLast: true, dead }
  }

  #recount(): void {
    this.#bundles.unpack()
    this.tally.recount()
  }

  #wakeRow(id: number, route: number, key: string | Uint8Array | null): void {
    const own = rankOf(id)
    const rank = key === null || own === 0 ? own : this.#ranks.below(own, { route, key, except: id })
    const newId = idOf(rank, ++this.#sequence)
    this.#statements.wake.run(newId, id)
    this.#statements.moveAttempts.run(newId, id)
  }
}

/** The same for nearly all, to save an object. */
const deliveredToLast = { isLast: true, dead: undefined }

function earlier(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.min(one, other)
}

type Statements = ReturnType<typeof prepare>

function prepare(database: DatabaseSync) {
  return {
    finishBits: database.prepare(
      `UPDATE outbox SET done = done | ?, dead = coalesce(dead, ?) WHERE id = ?
       RETURNING wanted & ~done AS open, dead`,
    ),
    moveAttempts: database.prepare('UPDATE attempts SET id = ? WHERE id = ?'),
    noteAttempt: database.prepare(
      `INSERT INTO attempts (id, bit, attempts, failures, due, noted) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET attempts = excluded.attempts, failures = excluded.failures, due = excluded.due,
         noted = excluded.noted`,
    ),
    due: database.prepare(
      'SELECT id, key FROM outbox INDEXED BY waiting WHERE route = ? AND due > 0 AND due <= ? ORDER BY due, id LIMIT ?',
    ),
    wake: database.prepare('UPDATE outbox SET id = ?, due = 0 WHERE id = ?'),
    start: database.prepare('UPDATE outbox SET starts = max(0, starts + ?) WHERE id = ?'),
  }
}
