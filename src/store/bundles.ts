import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { Bundle, type BundledRow, BundleWriter, Draft, isSet, rowsOf } from './bundle.ts'
import type { Participant } from './commit-queue.ts'
import { type InsertRow, prepareInsert } from './outbox-rows.ts'
import { reserveBytes } from './reserve.ts'

/** Beyond this size a row of its own costs a message little more. */
const mostBundledBytes = 16 * 1024
const bundleBytes = 1024 ** 2
/** What is in bundles at most, with what has left them: so much can be unpacked in the room of the reserve. */
const mostBytes = reserveBytes
const mostBundles = 64
/** What has not left by then will take its time, and becomes rows. Milliseconds. */
const longestMs = 2_000

/**
 * Messages that are expected to leave at once: those of one transaction are one row, so that they come and go at a part of
 * the cost. Where they do not leave they are unpacked, into rows of the outbox: before they are read, when they get old, or
 * when the store is opened after a crash.
 */
export class Bundles implements Participant {
  readonly #statements: Statements
  readonly #insertRow: InsertRow
  /** In the order of their ids. */
  #live: Bundle[] = []
  readonly #writer = new BundleWriter()
  #draft: Draft | undefined
  /** Of those and of what this transaction has added. */
  #bytes = 0
  // of this transaction:
  #written: Bundle[] = []
  readonly #unpacked = new Set<Bundle>()
  readonly #touched = new Set<Bundle>()
  /** Side by side: ids, and their routes. */
  #leftIds: number[] = []
  #leftRoutes: number[] = []

  constructor(database: DatabaseSync, insertRow: InsertRow) {
    this.#statements = prepare(database)
    this.#insertRow = insertRow
  }

  /** Whether one more of this size may be added in this transaction. */
  hasRoomFor(bytes: number): boolean {
    const count = this.#live.length + this.#written.length
    return bytes <= mostBundledBytes && this.#bytes + bytes <= mostBytes && count < mostBundles
  }

  /** Inside a transaction, in the order of their ids. */
  add(row: BundledRow): void {
    this.#draft ??= new Draft(row, this.#writer)
    this.#draft.add(row)
    this.#bytes += row.bytes
    if (this.#draft.bytes >= bundleBytes) this.#write()
  }

  /** Inside a transaction: false for a message that is in no bundle. */
  leave(id: number, route: number): boolean {
    const bundle = this.#live.find((one) => one.has(id))
    if (bundle === undefined || this.#unpacked.has(bundle)) return false
    bundle.leave(id, route)
    this.#touched.add(bundle)
    this.#leftIds.push(id)
    this.#leftRoutes.push(route)
    return true
  }

  has(id: number): boolean {
    return this.#live.some((bundle) => bundle.has(id))
  }

  /** True while messages of this route, or any, are in bundles. */
  holds(route?: number): boolean {
    return this.#live.some((bundle) => route === undefined || openOf(bundle, route) > 0)
  }

  /** An id that no message of the route in a bundle is above; undefined: there is none. */
  endOf(route: number): number | undefined {
    return this.#live.findLast((bundle) => openOf(bundle, route) > 0)?.shares.get(route)?.lastId
  }

  /** Receipt of the oldest, to within the time of a commit; milliseconds since the epoch. */
  oldestAt(route?: number): number | undefined {
    for (const { shares } of this.#live) {
      for (const [of, { open, receivedAt }] of shares) {
        if (open > 0 && (route === undefined || of === route)) return receivedAt
      }
    }
    return undefined
  }

  /** What unpacking that route, or all, may write; bytes. */
  bytesOf(route?: number): number {
    return bytesOf(this.#live.filter((bundle) => route === undefined || openOf(bundle, route) > 0))
  }

  /** Inside a transaction: messages of this route, or all, become rows; and what came with them. */
  unpack(route?: number): void {
    if (this.#draft !== undefined) this.#write()
    for (const bundle of [...this.#live, ...this.#written]) {
      if (route === undefined || openOf(bundle, route) > 0) this.#unpack(bundle)
    }
  }

  beforeCommit(): void {
    if (this.#draft !== undefined) this.#write()
    if (this.#touched.size > 0 || this.#written.length > 0) this.#unpackOld()
    for (const bundle of this.#touched) {
      if (this.#unpacked.has(bundle)) continue
      if (bundle.open === 0) this.#remove(bundle)
      else this.#statements.note.run(bundle.id, bundle.gone)
    }
  }

  committed(): void {
    if (this.#written.length === 0 && this.#touched.size === 0 && this.#unpacked.size === 0) return
    const isThere = (bundle: Bundle) => bundle.open > 0 && !this.#unpacked.has(bundle)
    this.#live = [...this.#live, ...this.#written].filter(isThere)
    this.#forget()
  }

  /** What is packed would need room later. */
  diskIsFull(): void {
    this.unpack()
  }

  rolledBack(): void {
    for (const [i, id] of this.#leftIds.entries()) {
      this.#live.find((one) => one.covers(id))?.comeBack(id, this.#leftRoutes[i] as number)
    }
    this.#forget()
  }

  #forget(): void {
    this.#draft = undefined
    this.#written = []
    this.#leftIds = []
    this.#leftRoutes = []
    this.#bytes = bytesOf(this.#live)
    this.#unpacked.clear()
    this.#touched.clear()
  }

  #write(): void {
    const draft = this.#draft as Draft
    this.#draft = undefined
    this.#statements.insert.run(draft.firstId, this.#writer.bytes)
    this.#written.push(new Bundle(draft))
  }

  #unpackOld(): void {
    const nowMs = performance.now()
    for (const bundle of this.#live) {
      if (nowMs - bundle.writtenMs < longestMs) return
      if (bundle.open > 0) this.#unpack(bundle)
    }
  }

  #unpack(bundle: Bundle): void {
    if (this.#unpacked.has(bundle)) return
    unpackRow(this.#statements, this.#insertRow, bundle.id, (id) => bundle.has(id))
    this.#unpacked.add(bundle)
  }

  #remove({ id }: Bundle): void {
    this.#statements.remove.run(id)
    this.#statements.forget.run(id)
  }
}

/** What a process that died has left in bundles becomes rows. */
export function unpackBundles(database: DatabaseSync): void {
  const statements = prepare(database)
  const insertRow = prepareInsert(database)
  for (const { id } of statements.ids.all()) {
    const gone = statements.gone.get(id as number)?.gone as Uint8Array | undefined
    const isOpen = (message: number) => gone === undefined || !isSet(gone, message - (id as number))
    database.exec('BEGIN IMMEDIATE')
    unpackRow(statements, insertRow, id as number, isOpen)
    database.exec('COMMIT')
  }
}

function unpackRow(
  { read, remove, forget }: Statements,
  insertRow: InsertRow,
  bundle: number,
  isOpen: (id: number) => boolean,
): void {
  const row = read.get(bundle)
  if (row === undefined) return
  remove.run(bundle) // first, so that its pages are there for the rows
  forget.run(bundle)
  for (const message of rowsOf(row.messages as Uint8Array)) {
    if (isOpen(message.id)) insertRow({ ...message, due: 0, ranked: null, requeues: 0 })
  }
}

function bytesOf(bundles: readonly Bundle[]): number {
  return bundles.reduce((sum, { bytes }) => sum + bytes, 0)
}

function openOf({ shares }: Bundle, route: number): number {
  return shares.get(route)?.open ?? 0
}

type Statements = Record<'ids' | 'gone' | 'read' | 'insert' | 'note' | 'remove' | 'forget', StatementSync>

function prepare(database: DatabaseSync): Statements {
  return {
    ids: database.prepare('SELECT id FROM bundles ORDER BY id'),
    gone: database.prepare('SELECT gone FROM bundles_gone WHERE id = ?'),
    read: database.prepare('SELECT messages FROM bundles WHERE id = ?'),
    insert: database.prepare('INSERT INTO bundles (id, messages) VALUES (?, ?)'),
    note: database.prepare('INSERT INTO bundles_gone VALUES (?, ?) ON CONFLICT DO UPDATE SET gone = excluded.gone'),
    remove: database.prepare('DELETE FROM bundles WHERE id = ?'),
    forget: database.prepare('DELETE FROM bundles_gone WHERE id = ?'),
  }
}
