/** Until format 5 a message was a row of `outbox`. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { idOf, rankOf } from '../contract.ts'
import { Heads, type PageMessage, PageWriter } from '../page.ts'
import { eachOf, firstOf } from '../rows.ts'
import { leaveSpool } from './bundles.ts'

/** A page tells how far an id is above its first with 32 bits. */
const mostSpread = 2 ** 32 - 1
/** Of a page. */
const mostCount = 256
const mostBytes = 256 * 1024

interface Row extends PageMessage {
  readonly route: number
  readonly due: number
  readonly done: number
  readonly ranked: number | null
  readonly starts: number
  readonly dead: string | null
}

const newTables = `
  DELETE FROM attempts WHERE id NOT IN (SELECT id FROM outbox);
  CREATE TABLE pages (
    first INTEGER PRIMARY KEY, route INTEGER NOT NULL, due INTEGER NOT NULL, last INTEGER NOT NULL,
    count INTEGER NOT NULL, bytes INTEGER NOT NULL, received INTEGER NOT NULL, wanted INTEGER NOT NULL,
    checksum INTEGER NOT NULL, heads BLOB NOT NULL, body BLOB NOT NULL
  );
  CREATE INDEX pages_by_route ON pages (route, first, last, due, wanted);
  CREATE INDEX pages_by_time ON pages (route, due, first) WHERE due > 0;
  CREATE TABLE gone (
    page INTEGER NOT NULL, bit INTEGER NOT NULL, places BLOB NOT NULL, PRIMARY KEY (page, bit)
  ) WITHOUT ROWID;
  CREATE TABLE first_reasons (id INTEGER PRIMARY KEY, reason TEXT NOT NULL);
  CREATE TABLE suspects (id INTEGER PRIMARY KEY, starts INTEGER NOT NULL);
  CREATE TABLE ranked (id INTEGER PRIMARY KEY, route INTEGER NOT NULL, key NOT NULL);
  CREATE INDEX ranked_by_key ON ranked (route, key, id);
`
const oldTables = `
  DROP TABLE outbox;
  DROP TABLE unpacked;
  DELETE FROM meta WHERE name = 'spool';
`

/** Inside a transaction: rows become pages, piece by piece, in the room that the rows before them give back. */
export function leaveRows(database: DatabaseSync, directory: string): void {
  leaveSpool(database, directory)
  database.exec(newTables)
  const { read, remove, highest, ...insert } = prepare(database)
  let sequence = firstOf<{ sequence: number | null }>(highest)?.sequence ?? 0
  const writer = new PageWriter()
  for (;;) {
    const rows = nextPage(eachOf<Row>(read, mostCount))
    // the ids of no two pages of a route may overlap: what is delayed takes new ones, as it will when it is due
    const moved = rows.map((row) => (row.due === 0 ? row : { ...row, id: idOf(rankOf(row.id), ++sequence) }))
    if (moved[0] === undefined) break
    writer.begin(moved[0].id)
    for (const row of moved) writer.add(row)
    insertPage(insert.page, moved[0], writer)
    for (const row of moved) insertNotes(insert, row)
    insertGone(insert.gone, moved)
    for (const { id } of rows) remove.run(id)
  }
  database.exec(oldTables)
}

/** Those from the first on that may share a page. */
function nextPage(rows: Iterable<Row>): Row[] {
  const page: Row[] = []
  let bytes = 0
  for (const row of rows) {
    const { id, route, due } = page[0] ?? row
    bytes += row.bytes
    const isOther = row.route !== route || row.due !== due || rankOf(row.id) !== rankOf(id) || row.id - id > mostSpread
    if (isOther || (page.length > 0 && bytes > mostBytes)) break
    page.push(row)
  }
  return page
}

function insertPage(insert: StatementSync, { route, due }: Row, writer: PageWriter): void {
  const { first, last, count, bytes, received, wanted, heads, body } = writer
  const { checksum } = new Heads(first, heads)
  insert.run(...[first, route, due, last, count, bytes, received, wanted, checksum], heads, body)
}

function insertGone(insert: StatementSync, rows: readonly Row[]): void {
  const all = rows.reduce((bits, { done }) => bits | done, 0)
  for (let left = all; left !== 0; left &= left - 1) {
    const bit = left & -left
    const places = new Uint8Array(Math.ceil(rows.length / 8))
    for (const [at, { done }] of rows.entries()) {
      if ((done & bit) !== 0) places[at >>> 3] = (places[at >>> 3] as number) | (1 << (at & 7))
    }
    insert.run(rows[0]?.id ?? 0, bit, places)
  }
}

type Inserts = Record<'reason' | 'suspect' | 'ranked', StatementSync>

function insertNotes({ reason, suspect, ranked }: Inserts, row: Row): void {
  if (row.dead !== null) reason.run(row.id, row.dead)
  if (row.starts > 0) suspect.run(row.id, row.starts)
  if (row.ranked === 1 && row.key !== null) ranked.run(row.id, row.route, row.key)
}

function prepare(database: DatabaseSync) {
  return {
    read: database.prepare(
      `SELECT id, route, due, wanted, done, bytes, received, ranked, key, starts, requeues, dead, params, fields, payload
       FROM outbox INDEXED BY waiting ORDER BY route, due, id LIMIT ?`,
    ),
    highest: database.prepare(`SELECT max(id % ${2 ** 45}) AS sequence FROM outbox`),
    remove: database.prepare('DELETE FROM outbox WHERE id = ?'),
    page: database.prepare(
      `INSERT INTO pages (first, route, due, last, count, bytes, received, wanted, checksum, heads, body)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    gone: database.prepare('INSERT INTO gone (page, bit, places) VALUES (?, ?, ?)'),
    reason: database.prepare('INSERT INTO first_reasons (id, reason) VALUES (?, ?)'),
    suspect: database.prepare('INSERT INTO suspects (id, starts) VALUES (?, ?)'),
    ranked: database.prepare('INSERT INTO ranked (id, route, key) VALUES (?, ?, ?)'),
  }
}
