import type { DatabaseSync } from 'node:sqlite'
import type { Attempts } from './contract.ts'
import type { DeadLetterReason } from './dead-letters.ts'
import { allOf, firstOf } from './rows.ts'

/** What is noted of some messages beside their page, by id: few have anything. Inside the transaction, but for what reads. */
export class Notes {
  readonly #statements: ReturnType<typeof prepare>

  constructor(database: DatabaseSync) {
    this.#statements = prepare(database)
  }

  /** What a target answered so far. */
  attempted(id: number, bit: number, { attempts, failures, dueAt, notedAt }: Attempts): void {
    this.#statements.attempted.run(id, bit, attempts, failures, dueAt, notedAt)
  }

  /** By id and bit. */
  attemptsBetween(first: number, last: number): Map<number, Map<number, Attempts>> {
    const found = new Map<number, Map<number, Attempts>>()
    const rows = allOf<Attempts & { id: number; bit: number }>(this.#statements.attemptsBetween, first, last)
    for (const { id, bit, ...attempts } of rows) {
      const ofMessage = found.get(id) ?? new Map<number, Attempts>()
      found.set(id, ofMessage.set(bit, attempts))
    }
    return found
  }

  /** Why the first of its targets that did not get it did not. */
  noteReason(id: number, reason: DeadLetterReason): void {
    this.#statements.noteReason.run(id, reason)
  }

  reasonOf(id: number): DeadLetterReason | undefined {
    return firstOf<{ reason: DeadLetterReason }>(this.#statements.reason, id)?.reason
  }

  /** Adds to the starts that a message may be to blame for. */
  addStarts(id: number, starts: number): void {
    if (starts > 0) this.#statements.suspect.run(id, starts)
    else this.#statements.absolve.run(starts, id)
  }

  startsBetween(first: number, last: number): ReadonlyMap<number, number> {
    const rows = allOf<{ id: number; starts: number }>(this.#statements.startsBetween, first, last)
    return new Map(rows.map(({ id, starts }) => [id, starts]))
  }

  /** It has left. */
  forget(id: number): void {
    for (const statement of this.#statements.forget) statement.run(id)
  }

  /** Once, as the store is opened: what is noted of ids above all that wait must not pass for notes of messages to come. */
  forgetAbove(sequence: number): void {
    for (const statement of this.#statements.forgetAbove) statement.run(sequence)
  }
}

const tables = ['attempts', 'first_reasons', 'suspects'] as const

function prepare(database: DatabaseSync) {
  return {
    attempted: database.prepare(
      `INSERT INTO attempts (id, bit, attempts, failures, due, noted) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET attempts = excluded.attempts, failures = excluded.failures, due = excluded.due,
         noted = excluded.noted`,
    ),
    attemptsBetween: database.prepare(
      `SELECT id, bit, attempts, failures, due AS dueAt, noted AS notedAt FROM attempts WHERE id BETWEEN ? AND ?`,
    ),
    noteReason: database.prepare('INSERT INTO first_reasons (id, reason) VALUES (?, ?) ON CONFLICT DO NOTHING'),
    reason: database.prepare('SELECT reason FROM first_reasons WHERE id = ?'),
    suspect: database.prepare(
      'INSERT INTO suspects (id, starts) VALUES (?, ?) ON CONFLICT DO UPDATE SET starts = starts + excluded.starts',
    ),
    absolve: database.prepare('UPDATE suspects SET starts = max(0, starts + ?) WHERE id = ?'),
    startsBetween: database.prepare('SELECT id, starts FROM suspects WHERE id BETWEEN ? AND ?'),
    forget: tables.map((table) => database.prepare(`DELETE FROM ${table} WHERE id = ?`)),
    forgetAbove: [...tables, 'ranked'].map((table) =>
      database.prepare(`DELETE FROM ${table} WHERE id % ${2 ** 45} > ?`),
    ),
  }
}
