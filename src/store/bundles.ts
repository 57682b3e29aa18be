import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { Bundle, type BundledRow, Draft, isSet } from './bundle.ts'
import { BundleRecord, firstIdOf, goneIn, insertOpen, messagesIn } from './bundle-record.ts'
import { type InsertRow, prepareInsert } from './outbox-rows.ts'
import { reserveBytes } from './reserve.ts'
import { recordsIn, type Spool, segmentBytes } from './spool.ts'
import type { Participant } from './transactions.ts'

const somethingInSpool = "UPDATE meta SET value = 1 WHERE name = 'spool'"
const nothingInSpool = "DELETE FROM unpacked; UPDATE meta SET value = 0 WHERE name = 'spool'"

/** Beyond this size a row of its own costs a message little more. */
const mostBundledBytes = 16 * 1024
/** A record that is longer takes no more messages: it fits into a file of the spool, with what has left. */
const longestRecord = segmentBytes / 2
/** What is in bundles at most, with what has left them: so much can be unpacked in the room of the reserve. */
const mostBytes = reserveBytes
const mostBundles = 64
/** What has not left by then will take its time, and becomes rows. Milliseconds. */
const longestMs = 2_000

/**
 * Messages that are expected to leave at once: those of one transaction are one record of the spool, so that they come and go at a
 * part of the cost of rows. Where they do not leave they are unpacked, into rows of the outbox: before they are read, when they get old, or
 * when the store is opened after a crash.
 */
export class Bundles implements Participant {
  readonly #spool: Spool
  readonly #mark: StatementSync
  readonly #unmark: StatementSync
  readonly #database: DatabaseSync
  readonly #insertRow: InsertRow
  /** In the order of their ids. */
  #live: Bundle[] = []
  readonly #record = new BundleRecord()
  #draft: Draft | undefined
  /** Of those and of what this transaction has added. */
  #bytes = 0
  // of this transaction:
  readonly #unpacked = new Set<Bundle>()
  readonly #touched = new Set<Bundle>()
  /** Side by side: ids, and their routes. */
  #leftIds: number[] = []
  #leftRoutes: number[] = []
  #givesRoomBack = false
  /** True where the database knows that there is something in the spool. */
  #isNoted = false

  constructor(database: DatabaseSync, parts: { spool: Spool; insertRow: InsertRow }) {
    this.#database = database
    this.#spool = parts.spool
    this.#insertRow = parts.insertRow
    this.#mark = database.prepare('INSERT INTO unpacked (bundle, generation) VALUES (?, ?)')
    this.#unmark = database.prepare('DELETE FROM unpacked WHERE generation < ?')
  }

  /** Whether this one may be added in this transaction. */
  hasRoomFor({ bytes, key, params }: BundledRow): boolean {
    const own = bytes + (key?.length ?? 0) + (params?.length ?? 0)
    if (own > mostBundledBytes || this.#bytes + bytes > mostBytes || this.#live.length >= mostBundles) return false
    return this.#record.length < longestRecord && this.#spool.isReady()
  }

  /** Inside a transaction, in the order of their ids. */
  add(row: BundledRow): void {
    this.#draft ??= new Draft(row.id)
    this.#draft.add(row)
    this.#record.add(row)
    this.#bytes += row.bytes
  }

  /** Inside a transaction: false for a message that is in no bundle. */
  leave(id: number, route: number): boolean {
    const bundle = this.#bundleOf(id)
    if (bundle === undefined) return false
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
    return this.#live.some((bundle) => isOf(bundle, route))
  }

  /** An id that no message of the route in a bundle is above; undefined: there is none. */
  endOf(route: number): number | undefined {
    return this.#live.findLast((bundle) => isOf(bundle, route))?.shares.get(route)?.lastId
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
    return bytesOf(this.#live.filter((bundle) => isOf(bundle, route)))
  }

  /** Inside a transaction: messages of this route, or all, become rows; and what came with them. */
  unpack(route?: number): void {
    for (const bundle of this.#live) if (isOf(bundle, route)) this.#unpack(bundle)
    this.unpackNew(route)
  }

  /** Inside a transaction: what it has added, where messages of this route, or any, are among that. */
  unpackNew(route?: number): void {
    if (this.#draft === undefined || (route !== undefined && !this.#draft.shares.has(route))) return
    insertOpen(this.#record.messages, this.#insertRow, () => true)
    this.#draft = undefined
    this.#record.clear()
  }

  /** Inside a transaction: the bundle that has this message, if any. */
  unpackWith(id: number): void {
    const bundle = this.#bundleOf(id)
    if (bundle !== undefined) this.#unpack(bundle)
  }

  beforeCommit(): void {
    if (this.#draft === undefined && this.#touched.size === 0) return
    this.#unpackOld()
    for (const bundle of this.#touched) {
      if (!this.#unpacked.has(bundle)) this.#record.addGone(bundle.id, bundle.open === 0 ? undefined : bundle.gone)
    }
    if (this.#record.isEmpty) return
    if (!this.#isNoted) this.#database.exec(somethingInSpool)
    if (!this.#spool.hasRoomFor(this.#record.length)) this.#unpackOthers()
  }

  /** After the transaction: what it has left to the spool. */
  sync(): void {
    if (this.#record.isEmpty) return
    const place = this.#spool.write(this.#record.bytes)
    if (this.#draft !== undefined) this.#live.push(new Bundle(this.#draft, place))
  }

  committed(): void {
    if (!this.#record.isEmpty) this.#isNoted = true
    if (this.#givesRoomBack) {
      this.#isNoted = false
      this.#spool.remove()
    }
    const isIdle = this.#record.isEmpty && this.#touched.size === 0 && this.#unpacked.size === 0
    if (isIdle && !this.#givesRoomBack) return
    const isThere = (bundle: Bundle) => bundle.open > 0 && !this.#unpacked.has(bundle)
    this.#live = this.#live.filter(isThere)
    this.#forget()
  }

  rolledBack(): void {
    for (const [i, id] of this.#leftIds.entries()) {
      this.#live.find((one) => one.covers(id))?.comeBack(id, this.#leftRoutes[i] as number)
    }
    this.#forget()
  }

  /** What is packed would need room later. */
  diskIsFull(): void {
    this.leaveSpool()
  }

  /** Inside a transaction that adds nothing: everything becomes rows, and the files of the spool are removed after it. */
  leaveSpool(): void {
    this.unpack()
    this.#database.exec(nothingInSpool)
    this.#givesRoomBack = true
  }

  #forget(): void {
    this.#draft = undefined
    this.#record.clear()
    this.#leftIds = []
    this.#leftRoutes = []
    this.#bytes = bytesOf(this.#live)
    this.#unpacked.clear()
    this.#touched.clear()
    this.#givesRoomBack = false
  }

  #bundleOf(id: number): Bundle | undefined {
    for (const bundle of this.#live) if (bundle.has(id)) return this.#unpacked.has(bundle) ? undefined : bundle
    return undefined
  }

  #unpackOld(): void {
    const nowMs = performance.now()
    for (const bundle of this.#live) {
      if (nowMs - bundle.writtenMs < longestMs) return
      if (bundle.open > 0) this.#unpack(bundle)
    }
  }

  /** The file of the spool that begins anew must be of no use any more. */
  #unpackOthers(): void {
    const { generation } = this.#spool
    for (const bundle of this.#live) {
      if (bundle.place.generation !== generation && bundle.open > 0) this.#unpack(bundle)
    }
  }

  /** The mark is in the same transaction: nobody must find these messages in the spool again. */
  #unpack(bundle: Bundle): void {
    if (this.#unpacked.has(bundle)) return
    const { id, place } = bundle
    insertOpen(messagesIn(this.#spool.read(place)), this.#insertRow, (message) => bundle.has(message))
    if (this.#unpacked.size === 0) this.#unmark.run(this.#spool.generation - 1) // their bundles are written over
    this.#mark.run(id, place.generation)
    this.#unpacked.add(bundle)
  }
}

function bytesOf(bundles: readonly Bundle[]): number {
  return bundles.reduce((sum, { bytes }) => sum + bytes, 0)
}

/** True where it has messages of this route; of any, where none is named. */
function isOf({ shares }: Bundle, route: number | undefined): boolean {
  return route === undefined || (shares.get(route)?.open ?? 0) > 0
}

/** What a process that died has left in the spool becomes rows, in one transaction. */
export function unpackSpool(database: DatabaseSync, directory: string): void {
  if (database.prepare("SELECT value FROM meta WHERE name = 'spool'").get()?.value === 0) return
  const insertRow = prepareInsert(database)
  const isUnpacked = database.prepare('SELECT 1 FROM unpacked WHERE bundle = ? AND generation = ?')
  database.exec('BEGIN IMMEDIATE')
  for (const [id, { generation, messages, gone }] of bundlesIn(directory)) {
    if (isUnpacked.get(id, generation) !== undefined) continue
    insertOpen(messages, insertRow, (message) => !isSet(gone, message - id))
  }
  database.exec(`${nothingInSpool}; COMMIT`)
}

interface Left {
  readonly generation: number
  readonly messages: Buffer
  gone: Uint8Array
}

/** By their ids, in order; without those that have left as a whole. */
function bundlesIn(directory: string): Map<number, Left> {
  const bundles = new Map<number, Left>()
  for (const { generation, body } of recordsIn(directory)) {
    const messages = messagesIn(body)
    if (messages.length > 0) bundles.set(firstIdOf(messages), { generation, messages, gone: Buffer.of() })
    for (const [id, gone] of goneIn(body)) {
      const bundle = bundles.get(id)
      if (bundle !== undefined && gone !== undefined) bundle.gone = gone
      else bundles.delete(id)
    }
  }
  return bundles
}
