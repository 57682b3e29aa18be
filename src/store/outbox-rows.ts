import type { DatabaseSync } from 'node:sqlite'

/** A row of the outbox, as `schema.ts` tells. */
export interface OutboxRow {
  readonly id: number
  readonly route: number
  readonly due: number
  readonly wanted: number
  readonly bytes: number
  readonly received: number
  readonly ranked: number | null
  readonly key: string | Uint8Array | null
  readonly requeues: number
  readonly params: string | null
  readonly fields: string
  readonly payload: Uint8Array | null
}

/** Writes a row, inside a transaction. */
export type InsertRow = (row: OutboxRow) => void

export function prepareInsert(database: DatabaseSync): InsertRow {
  const insert = database.prepare(
    `INSERT INTO outbox (id, route, due, wanted, bytes, received, ranked, key, requeues, params, fields, payload)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  return ({ id, route, due, wanted, bytes, received, ranked, key, requeues, params, fields, payload }) =>
    insert.run(id, route, due, wanted, bytes, received, ranked, key, requeues, params, fields, payload)
}
