/** Dead letters in SQL: the statements, and a row as a letter. */
import type { DatabaseSync } from 'node:sqlite'
import type { DeadLetterQuery, StoredDeadLetter } from './contract.ts'
import type { DeadLetterReason } from './dead-letters.ts'
import { decodeEnvelope, decodeParams } from './record.ts'

export type Row = Readonly<Record<string, string | number | null>> & { readonly payload: Uint8Array | null }

export type Statements = ReturnType<typeof prepare>

export function prepare(database: DatabaseSync) {
  return {
    insert: database.prepare(
      `INSERT INTO dead_letters (route, reason, last_at, first_at, attempts, requeues, target, bit, to_forward, code, message,
         params, fields, payload, bytes)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    get: database.prepare('SELECT * FROM dead_letters WHERE id = ?'),
    edit: database.prepare('UPDATE dead_letters SET fields = ?, payload = ?, bytes = ?, requeues = 0 WHERE id = ?'),
    remove: database.prepare('DELETE FROM dead_letters WHERE id = ? RETURNING route, bytes, forwarded_at'),
    oldest: database.prepare('SELECT id FROM dead_letters WHERE last_at < ? ORDER BY last_at LIMIT ?'),
    oldestButNewest: database.prepare('SELECT id FROM dead_letters WHERE id < ? ORDER BY id LIMIT ?'),
    forwarded: {
      note: database.prepare(
        `UPDATE dead_letters SET forwarded_at = ?, to_forward = NULL WHERE id = ? AND forwarded_at IS NULL
         RETURNING bytes`,
      ),
      oldest: database.prepare(
        'SELECT id FROM dead_letters WHERE forwarded_at IS NOT NULL ORDER BY forwarded_at, id LIMIT ?',
      ),
    },
  }
}

/** The condition of a query in SQL, and its values. */
export function conditionOf(query: DeadLetterQuery): { where: string; values: (string | number)[] } {
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

export function letterOf(row: Row): StoredDeadLetter {
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
