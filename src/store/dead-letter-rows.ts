import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Envelope } from '../envelope/envelope.ts'
import { failpoint } from '../failpoint.ts'
import type { CommitQueue, Job } from './commit-queue.ts'
import type { DeadLetterQuery, DeadLetterStore, StoredDeadLetter } from './contract.ts'
import type { DeadLetter, DeadLetterReason } from './dead-letters.ts'
import type { OutboxTable } from './outbox-table.ts'
import { decodeEnvelope, decodeParams, encodeFields, encodeParams } from './record.ts'
import { readSafely } from './sqlite-error.ts'
import type { Participant } from './transactions.ts'

/** Letters that a route's own dead letter target has too stay for reference, up to so many. */
const mostForwarded = 10_000

type Row = Readonly<Record<string, string | number | null>> & { readonly payload: Uint8Array | null }

/** Messages that could not be delivered, until somebody decides. */
export class DeadLetterRows implements DeadLetterStore, Participant {
  readonly #database: DatabaseSync
  readonly #outbox: OutboxTable
  readonly #queue: () => CommitQueue
  readonly #statements: Statements
  readonly #counts = new Map<string, number>()
  readonly #changes = new Map<string, number>()
  #hasNew = false
  #forwarded: number
  #forwardedChange = 0

  constructor(database: DatabaseSync, parts: { outbox: OutboxTable; queue: () => CommitQueue }) {
    this.#database = database
    this.#outbox = parts.outbox
    this.#queue = parts.queue
    this.#statements = prepare(database)
    for (const { route, count } of database.prepare(countsSql).all()) this.#counts.set(route as string, count as number)
    this.#forwarded = this.#statements.countForwarded.get()?.count as number
  }

  add(letter: DeadLetter, safe: (id: number) => void): void {
    this.#queue().add(new LetterJob(this, letter, safe))
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
      if (route !== undefined) return this.#counts.get(route) ?? 0
      return [...this.#counts.values()].reduce((sum, count) => sum + count, 0)
    }
    const { where, values } = conditionOf(query)
    const sql = `SELECT count(*) AS count FROM dead_letters WHERE ${where}`
    return readSafely(() => this.#database.prepare(sql).get(...values)?.count as number)
  }

  countsByRoute(): ReadonlyMap<string, number> {
    return this.#counts
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
    return this.#queue().run(() => this.#statements.edit.run(fields, envelope.payload, id).changes === 1)
  }

  discard(ids: readonly number[]): number {
    return this.#queue().run(() => ids.filter((id) => this.#remove(id)).length)
  }

  forwarded(id: number, answer: 'confirmed' | 'refused'): void {
    this.#queue().add(new ForwardedJob(() => this.#noteForwarded(id, answer === 'confirmed' ? Date.now() : null)))
  }

  /** Inside the transaction. */
  insert(letter: DeadLetter, fields: string): number {
    this.#hasNew = true
    this.#change(letter.route, 1)
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
    )
    return Number(lastInsertRowid)
  }

  beforeCommit(): void {
    if (this.#hasNew) failpoint('dead-letter.before-commit')
  }

  committed(): void {
    if (this.#hasNew) failpoint('dead-letter.after-commit')
    this.#hasNew = false
    for (const [route, change] of this.#changes) {
      const count = (this.#counts.get(route) ?? 0) + change
      if (count > 0) this.#counts.set(route, count)
      else this.#counts.delete(route)
    }
    this.#changes.clear()
    this.#forwarded += this.#forwardedChange
    this.#forwardedChange = 0
  }

  rolledBack(): void {
    this.#hasNew = false
    this.#changes.clear()
    this.#forwardedChange = 0
  }

  #move({ id, route, wanted, dueAt }: Parameters<DeadLetterStore['requeue']>[0][number]): boolean {
    const row = this.#statements.get.get(id) as Row | undefined
    if (row === undefined || !this.#remove(id)) return false
    const { key = null, priority } = decodeEnvelope({ fields: row.fields as string, payload: null })
    this.#outbox.insert({
      ...{ route, wanted, key, priority, dueAt: dueAt > Date.now() ? dueAt : 0 },
      receivedAt: Date.now(), // its age in the store counts from here
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
    this.#change(row.route as string, -1)
    if (row.forwarded_at !== null) this.#forwardedChange -= 1
    return true
  }

  #noteForwarded(id: number, at: number | null): void {
    const { changes } = this.#statements.forwarded.run(at, id)
    if (at !== null) this.#forwardedChange += Number(changes)
    const tooMany = this.#forwarded + this.#forwardedChange - mostForwarded
    if (tooMany <= 0) return
    for (const row of this.#statements.oldestForwarded.all(tooMany)) this.#remove(row.id as number)
  }

  #change(route: string, by: number): void {
    this.#changes.set(route, (this.#changes.get(route) ?? 0) + by)
  }
}

const countsSql = 'SELECT route, count(*) AS count FROM dead_letters GROUP BY route'

type Statements = ReturnType<typeof prepare>

function prepare(
  database: DatabaseSync,
): Record<'insert' | 'get' | 'edit' | 'remove' | 'forwarded' | 'oldestForwarded' | 'countForwarded', StatementSync> {
  return {
    insert: database.prepare(
      `INSERT INTO dead_letters (route, reason, last_at, first_at, attempts, requeues, target, bit, to_forward, code, message,
         params, fields, payload)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    get: database.prepare('SELECT * FROM dead_letters WHERE id = ?'),
    edit: database.prepare('UPDATE dead_letters SET fields = ?, payload = ?, requeues = 0 WHERE id = ?'),
    remove: database.prepare('DELETE FROM dead_letters WHERE id = ? RETURNING route, forwarded_at'),
    forwarded: database.prepare(
      'UPDATE dead_letters SET forwarded_at = ?, to_forward = NULL WHERE id = ? AND forwarded_at IS NULL',
    ),
    oldestForwarded: database.prepare(
      'SELECT id FROM dead_letters WHERE forwarded_at IS NOT NULL ORDER BY forwarded_at, id LIMIT ?',
    ),
    countForwarded: database.prepare('SELECT count(*) AS count FROM dead_letters WHERE forwarded_at IS NOT NULL'),
  }
}

function conditionOf(query: DeadLetterQuery): { where: string; values: (string | number)[] } {
  const now = Date.now()
  const parts: (readonly [sql: string, value: string | number])[] = []
  if (query.ids !== undefined) parts.push(['id IN (SELECT value FROM json_each(?))', JSON.stringify(query.ids)])
  if (query.route !== undefined) parts.push(['route = ?', query.route])
  if (query.reason !== undefined) parts.push(['reason = ?', query.reason])
  if (query.olderThanMs !== undefined) parts.push(['last_at <= ?', now - query.olderThanMs])
  if (query.toForward !== undefined) parts.push(['(to_forward IS 1) = ?', query.toForward ? 1 : 0])
  if (query.youngerThanMs !== undefined) parts.push(['last_at >= ?', now - query.youngerThanMs])
  return { where: parts.map(([sql]) => sql).join(' AND ') || 'TRUE', values: parts.map(([, value]) => value) }
}

function letterOf(row: Row): StoredDeadLetter {
  return {
    id: row.id as number,
    envelope: decodeEnvelope({ fields: row.fields as string, payload: row.payload }),
    reason: row.reason as DeadLetterReason,
    error: { code: row.code as string, message: row.message as string },
    attempts: row.attempts as number,
    route: row.route as string,
    target: (row.target as string | null) ?? undefined,
    bit: (row.bit as number | null) ?? undefined,
    params: decodeParams(row.params as string | null),
    requeues: row.requeues as number,
    firstAt: row.first_at as number,
    lastAt: row.last_at as number,
    toForward: row.to_forward === 1,
    forwardedAt: (row.forwarded_at as number | null) ?? undefined,
  }
}

/** A letter that is being stored. */
class LetterJob implements Job {
  readonly pace = 'now'
  readonly sizeBytes: number
  readonly #letters: DeadLetterRows
  readonly #letter: DeadLetter
  readonly #fields: string
  readonly #safe: (id: number) => void
  #id = 0

  constructor(letters: DeadLetterRows, letter: DeadLetter, safe: (id: number) => void) {
    this.#letters = letters
    this.#letter = letter
    this.#fields = encodeFields(letter.envelope)
    this.#safe = safe
    this.sizeBytes = letter.envelope.sizeBytes
  }

  apply(): void {
    this.#id = this.#letters.insert(this.#letter, this.#fields)
  }

  done(): void {
    this.#safe(this.#id)
  }
}

class ForwardedJob implements Job {
  readonly pace = 'soon'
  readonly sizeBytes = 0
  readonly apply: () => void

  constructor(apply: () => void) {
    this.apply = apply
  }

  done(): void {}
}
