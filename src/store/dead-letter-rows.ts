import type { DatabaseSync } from 'node:sqlite'
import type { Envelope } from '../envelope/envelope.ts'
import { failpoint } from '../failpoint.ts'
import type { CommitQueue, Job } from './commit-queue.ts'
import type { Burial, DeadLetterFigures, DeadLetterQuery, DeadLetterStore, StoredDeadLetter } from './contract.ts'
import { bytesOfLetter, type DeadLetterWriter, LetterJob } from './dead-letter-jobs.ts'
import { DeadLetterRoom } from './dead-letter-room.ts'
import { conditionOf, letterOf, prepare, type Row, type Statements } from './dead-letter-sql.ts'
import { DeadLetterTally } from './dead-letter-tally.ts'
import type { DeadLetter, DeadLetterLimit } from './dead-letters.ts'
import type { PagedOutbox } from './outbox.ts'
import { decodeEnvelope, encodeFields, encodeParams } from './record.ts'
import { readSafely } from './sqlite-error.ts'
import type { Participant } from './transactions.ts'

/** Letters that a route's own dead letter target has too stay for reference, up to so many. */
const mostForwarded = 10_000

/** Letters that go in one transaction as they are too old. */
const mostExpired = 1_000
/** Rows that are looked at together when some have to go. */
const mostAtOnce = 10

const unlimited: DeadLetterLimit = { maxBytes: Number.POSITIVE_INFINITY, onFull: 'wait' }

/** Messages that could not be delivered, until somebody decides; within the limit that the configuration sets. */
export class DeadLetterRows implements DeadLetterStore, DeadLetterWriter, Participant {
  readonly #database: DatabaseSync
  readonly #outbox: PagedOutbox
  readonly #queue: () => CommitQueue
  readonly #limit: DeadLetterLimit
  readonly #statements: Statements
  readonly #tally: DeadLetterTally
  readonly #room: DeadLetterRoom
  /** The latest row of the transaction; 0 where it has none. */
  #newest = 0
  #isToLookAgain = false
  #droppedNow = 0
  #dropped = 0
  #expired = 0

  constructor(
    database: DatabaseSync,
    parts: { outbox: PagedOutbox; queue: () => CommitQueue; limit: DeadLetterLimit | undefined },
  ) {
    this.#database = database
    this.#outbox = parts.outbox
    this.#queue = parts.queue
    this.#limit = parts.limit ?? unlimited
    this.#statements = prepare(database)
    this.#tally = new DeadLetterTally(database)
    this.#room = new DeadLetterRoom({ limit: this.#limit, tally: this.#tally, queue: parts.queue })
  }

  add(letter: DeadLetter, safe: (id: number) => void, burial: Burial = {}): void {
    this.#room.take(new LetterJob(this, letter, safe), burial)
  }

  /** As the gateway ends. */
  stopWaiting(): void {
    this.#room.stopWaiting()
  }

  get figures(): DeadLetterFigures {
    const { maxBytes } = this.#limit
    const { bytes } = this.#tally
    return { bytes, maxBytes, held: this.#room.heldCount, dropped: this.#dropped, expired: this.#expired }
  }

  expire(diedBefore: number): number {
    const rows = readSafely(() => this.#statements.oldest.all(diedBefore, mostExpired))
    if (rows.length === 0) return 0
    const count = this.#queue().run(() => rows.filter(({ id }) => this.#remove(id as number)).length)
    this.#expired += count
    return count
  }

  list(query: DeadLetterQuery, { after, limit }: { after: number; limit: number }): readonly StoredDeadLetter[] {
    const { where, values } = conditionOf(query)
    const sql = `SELECT * FROM dead_letters WHERE id > ? AND ${where} ORDER BY id LIMIT ?`
    return readSafely(() => {
      const rows = this.#database.prepare(sql).all(after, ...values, limit)
      return rows.map((row) => letterOf(row as Row))
    })
  }

  get(id: number): StoredDeadLetter | undefined {
    return readSafely(() => {
      const row = this.#statements.get.get(id)
      return row === undefined ? undefined : letterOf(row as Row)
    })
  }

  count(query: DeadLetterQuery): number {
    const { route, ...others } = query
    if (Object.values(others).every((part) => part === undefined)) {
      if (route !== undefined) return this.#tally.byRoute.get(route) ?? 0
      return [...this.#tally.byRoute.values()].reduce((sum, count) => sum + count, 0)
    }
    const { where, values } = conditionOf(query)
    const sql = `SELECT count(*) AS count FROM dead_letters WHERE ${where}`
    return readSafely(() => this.#database.prepare(sql).get(...values)?.count as number)
  }

  countsByRoute(): ReadonlyMap<string, number> {
    return this.#tally.byRoute
  }

  requeue(moves: Parameters<DeadLetterStore['requeue']>[0]): readonly number[] {
    const moved = this.#queue().run(() => {
      const done = moves.filter((move) => this.#move(move)).map(({ id }) => id)
      failpoint('requeue.before-commit')
      return done
    })
    failpoint('requeue.after-commit')
    return moved
  }

  edit(id: number, envelope: Envelope): boolean {
    const fields = encodeFields(envelope)
    const { payload } = envelope
    return this.#queue().run(() => {
      const row = this.#statements.get.get(id) as Row | undefined
      if (row === undefined) return false
      const bytes = bytesOfLetter(fields, payload, { message: row.message as string })
      this.#tally.grow(bytes - (row.bytes as number), row.forwarded_at !== null)
      this.#isToLookAgain = true
      return this.#statements.edit.run(fields, payload, bytes, id).changes === 1
    })
  }

  discard(ids: readonly number[]): number {
    return this.#queue().run(() => ids.filter((id) => this.#remove(id)).length)
  }

  forwarded(id: number, answer: 'confirmed' | 'refused'): void {
    const apply = () => this.#noteForwarded(id, answer === 'confirmed' ? Date.now() : null)
    this.#queue().add({ pace: 'soon', sizeBytes: 0, apply })
  }

  insert(letter: DeadLetter, fields: string, bytes: number): number {
    this.#tally.add({ route: letter.route, bytes, isForwarded: false })
    const { lastInsertRowid } = this.#statements.insert.run(
      letter.route,
      letter.reason,
      letter.lastAt,
      letter.firstAt,
      letter.attempts,
      letter.requeues,
      letter.target ?? null,
      letter.bit ?? null,
      letter.toForward ? 1 : null,
      letter.error.code,
      letter.error.message,
      encodeParams(letter.params),
      fields,
      letter.envelope.payload,
      bytes,
    )
    this.#newest = Number(lastInsertRowid)
    this.#keepWithinLimit() // at once: the file would grow by all that a transaction brings
    return this.#newest
  }

  arrived(job: Job): void {
    this.#room.arrived(job)
  }

  beforeCommit(): number {
    if (this.#newest !== 0) failpoint('dead-letter.before-commit')
    return 0
  }

  committed(): void {
    if (this.#newest !== 0) failpoint('dead-letter.after-commit')
    this.#tally.committed()
    this.#dropped += this.#droppedNow
    if (this.#isToLookAgain) this.#room.lookAgain()
    this.#forget()
  }

  rolledBack(): void {
    this.#tally.rolledBack()
    this.#forget()
  }

  #forget(): void {
    this.#newest = 0
    this.#droppedNow = 0
    this.#isToLookAgain = false
  }

  /** What the route's own target has too gives way first: it is here for reference alone. */
  #keepWithinLimit(): void {
    const { forwarded, oldestButNewest } = this.#statements
    this.#removeWhileOver(() => forwarded.oldest.all(mostAtOnce))
    if (this.#limit.onFull === 'wait') return
    this.#droppedNow += this.#removeWhileOver(() => oldestButNewest.all(this.#newest, mostAtOnce))
  }

  get #isOverLimit(): boolean {
    return this.#tally.next.bytes > this.#limit.maxBytes
  }

  /** As many of those found, and found again, as have to go; how many did. */
  #removeWhileOver(find: () => readonly { id?: unknown }[]): number {
    let removed = 0
    while (this.#isOverLimit) {
      const removedBefore = removed
      for (const { id } of find()) if (this.#isOverLimit && this.#remove(id as number)) removed += 1
      if (removed === removedBefore) break
    }
    return removed
  }

  #move({ id, route, wanted, dueAt }: Parameters<DeadLetterStore['requeue']>[0][number]): boolean {
    const row = this.#statements.get.get(id) as Row | undefined
    if (row === undefined || !this.#remove(id)) return false
    const { key = null, priority } = decodeEnvelope({ fields: row.fields as string, payload: null })
    this.#outbox.insert({
      ...{ route, wanted, key, priority, dueAt: dueAt > Date.now() ? dueAt : 0 },
      received: Date.now(), // its age in the store counts from here
      requeues: (row.requeues as number) + 1,
      params: row.params as string | null,
      fields: row.fields as string,
      payload: row.payload,
    })
    return true
  }

  #remove(id: number): boolean {
    const row = this.#statements.remove.get(id)
    if (row === undefined) return false
    const { route, bytes, forwarded_at: forwardedAt } = row
    this.#tally.remove({ route: route as string, bytes: bytes as number, isForwarded: forwardedAt !== null })
    this.#isToLookAgain = true
    return true
  }

  #noteForwarded(id: number, at: number | null): void {
    const row = this.#statements.forwarded.note.get(at, id)
    if (row === undefined || at === null) return
    this.#tally.forwarded(row.bytes as number)
    this.#isToLookAgain = true
    const tooMany = this.#tally.next.forwarded - mostForwarded
    if (tooMany <= 0) return
    for (const { id: oldest } of this.#statements.forwarded.oldest.all(tooMany)) this.#remove(oldest as number)
  }
}
