import type { DatabaseSync, StatementSync } from 'node:sqlite'
import {
  type Attempts,
  type Candidate,
  idOf,
  type LongestWaiting,
  rankOf,
  type StoredMessage,
  sequenceOf,
} from './contract.ts'
import { decodeEnvelope, decodeParams } from './record.ts'

export interface Page {
  readonly after: number
  readonly upTo: number
  readonly limit: number
  readonly maxBytes: number
}

interface Row {
  readonly id: number
  readonly route: number
  readonly wanted: number
  readonly done: number
  readonly bytes: number
  readonly received: number
  readonly starts: number
  readonly requeues: number
  readonly params: string | null
  readonly fields: string
  readonly payload: Uint8Array | null
}

const columns = 'id, route, wanted, done, bytes, received, starts, requeues, params, fields, payload'

/** Reads of the outbox; each sees what is committed. */
export class OutboxReader {
  readonly #page: StatementSync
  readonly #endBelow: StatementSync
  readonly #nextDue: StatementSync
  readonly #attempts: StatementSync
  readonly #lastBelow: StatementSync
  readonly #ofRank: StatementSync
  readonly #delayed: StatementSync
  readonly #firstOfAll: StatementSync
  readonly #one: StatementSync
  readonly #firstOfRank: StatementSync
  readonly #firstDelayed: StatementSync

  constructor(database: DatabaseSync) {
    this.#page = database.prepare(
      `SELECT ${columns} FROM outbox INDEXED BY waiting
       WHERE route = ? AND due = 0 AND id > ? AND id <= ? AND (wanted & ~done & ?) <> 0 ORDER BY id LIMIT ?`,
    )
    this.#endBelow = database.prepare(
      `SELECT id FROM outbox INDEXED BY waiting WHERE route = ? AND due = 0 AND id < ? ORDER BY id DESC LIMIT 1`,
    )
    this.#nextDue = database.prepare(
      'SELECT due FROM outbox INDEXED BY waiting WHERE route = ? AND due > 0 ORDER BY due LIMIT 1',
    )
    this.#attempts = database.prepare(
      'SELECT id, bit, attempts, failures, due, noted FROM attempts WHERE id BETWEEN ? AND ?',
    )
    this.#lastBelow = database.prepare('SELECT id FROM outbox WHERE id < ? ORDER BY id DESC LIMIT 1')
    this.#ofRank = database.prepare(
      `SELECT id, bytes, received FROM outbox INDEXED BY waiting
       WHERE route = ? AND due = 0 AND id >= ? AND id < ? AND (wanted & ~done & ?) <> 0 ORDER BY id`,
    )
    this.#delayed = database.prepare(
      `SELECT id, bytes, received FROM outbox INDEXED BY waiting
       WHERE route = ? AND due > 0 AND (wanted & ~done & ?) <> 0 ORDER BY due`,
    )
    this.#one = database.prepare(`SELECT ${columns} FROM outbox WHERE id = ?`)
    this.#firstOfAll = database.prepare('SELECT received FROM outbox WHERE id >= ? ORDER BY id LIMIT 1')
    this.#firstOfRank = database.prepare(
      `SELECT received FROM outbox INDEXED BY waiting
       WHERE route = ? AND due = 0 AND id >= ? ORDER BY id LIMIT 1`,
    )
    this.#firstDelayed = database.prepare(
      'SELECT received FROM outbox INDEXED BY waiting WHERE route = ? AND due > 0 ORDER BY due LIMIT 1',
    )
  }

  read(route: number, bit: number, { after, upTo, limit, maxBytes }: Page): StoredMessage[] {
    const rows: Row[] = []
    let bytes = 0
    for (const row of this.#page.iterate(route, after, upTo, bit, limit) as unknown as Iterable<Row>) {
      bytes += row.bytes
      if (bytes > maxBytes && rows.length > 0) break
      rows.push(row)
    }
    return this.#messages(rows)
  }

  ends(route: number): number[] {
    const ends: number[] = []
    let below = Number.MAX_SAFE_INTEGER
    for (;;) {
      const id = this.#endBelow.get(route, below)?.id as number | undefined
      if (id === undefined) return ends.reverse()
      ends.push(id)
      below = idOf(rankOf(id), 0)
    }
  }

  nextDueAt(route: number): number | undefined {
    return this.#nextDue.get(route)?.due as number | undefined
  }

  /** Rank by rank, and the delayed ones; no payload is read. */
  waitingLongest(route: number, bits: number, { limit, receivedBefore, isSuch }: LongestWaiting): Candidate[] {
    const found: Candidate[] = []
    const take = (rows: Iterable<unknown>) => {
      let left = limit
      for (const { id, bytes, received } of rows as Iterable<Candidate & { received: number }>) {
        if (left === 0 || (receivedBefore !== undefined && received >= receivedBefore)) return
        if (!isSuch(id)) continue
        found.push({ id, bytes })
        left -= 1
      }
    }
    for (const rank of this.ends(route).map(rankOf)) {
      take(this.#ofRank.iterate(route, idOf(rank, 0), idOf(rank - 1, 0), bits))
    }
    take(this.#delayed.iterate(route, bits))
    return found.sort(bySequence).slice(0, limit)
  }

  get(id: number): StoredMessage | undefined {
    return this.#messages(this.#one.all(id) as unknown as Row[])[0]
  }

  /** Receipt of the oldest message of a route; milliseconds since the epoch. */
  oldestAt(route: number): number | undefined {
    const firsts = this.ends(route).map((end) => this.#firstOfRank.get(route, idOf(rankOf(end), 0)))
    return oldestOf([...firsts, this.#firstDelayed.get(route)])
  }

  /** Of all routes. */
  oldestOfAllAt(): number | undefined {
    return oldestOf(this.#lasts().map((last) => this.#firstOfAll.get(idOf(rankOf(last), 0))))
  }

  highestSequence(): number {
    return this.#lasts().reduce((highest, id) => Math.max(highest, sequenceOf(id)), 0)
  }

  /** Highest id of each rank that is there. */
  #lasts(): number[] {
    const lasts: number[] = []
    let below = idOf(-1, 0)
    for (;;) {
      const id = this.#lastBelow.get(below)?.id as number | undefined
      if (id === undefined) return lasts
      lasts.push(id)
      below = idOf(rankOf(id), 0)
    }
  }

  #messages(rows: readonly Row[]): StoredMessage[] {
    if (rows.length === 0) return []
    const attempts = this.#attemptsOf(rows)
    return rows.map((row) => ({
      id: row.id,
      route: row.route,
      bytes: row.bytes,
      envelope: decodeEnvelope(row),
      params: decodeParams(row.params),
      wanted: row.wanted,
      done: row.done,
      receivedAt: row.received,
      starts: row.starts,
      requeues: row.requeues,
      attempts: attempts.get(row.id),
    }))
  }

  #attemptsOf(rows: readonly Row[]): Map<number, Map<number, Attempts>> {
    const found = new Map<number, Map<number, Attempts>>()
    const ids = rows.map(({ id }) => id)
    for (const row of this.#attempts.iterate(Math.min(...ids), Math.max(...ids))) {
      const { id, bit, attempts, failures, due: dueAt, noted: notedAt } = row as Record<string, number>
      const ofMessage = found.get(id as number) ?? new Map<number, Attempts>()
      ofMessage.set(bit as number, { attempts, failures, dueAt, notedAt } as Attempts)
      found.set(id as number, ofMessage)
    }
    return found
  }
}

function oldestOf(rows: readonly (Record<string, unknown> | undefined)[]): number | undefined {
  const times = rows.flatMap((row) => (row?.received as number | undefined) ?? [])
  return times.length > 0 ? Math.min(...times) : undefined
}

const bySequence = (a: { id: number }, b: { id: number }): number => sequenceOf(a.id) - sequenceOf(b.id)
