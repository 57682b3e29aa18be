import type { DatabaseSync } from 'node:sqlite'
import { PermanentError } from '../errors.ts'
import { failpoint } from '../failpoint.ts'
import { idOf, maxRank, rankOf, sequenceOf } from './contract.ts'
import { Heads, type PageMessage, PageWriter } from './page.ts'
import { PageState } from './page-state.ts'
import { PagesInMemory } from './pages-in-memory.ts'
import { allOf, firstOf } from './rows.ts'
import type { Participant } from './transactions.ts'

/** A page that has become sparse is left alone for so long: most are empty soon after. Milliseconds. */
const squeezedAfterMs = 2_000
/** So much is read in one transaction to be written anew. Bytes. */
const mostSqueezedBytes = 512 * 1024

/** What a transaction is about to add. */
interface Draft {
  readonly route: number
  readonly due: number
  readonly writer: PageWriter
  hasNotes: boolean
}

/** How a message is added. */
export interface AddedTo {
  readonly route: number
  /** Milliseconds since the epoch: it waits for that time; 0: it may go now. */
  readonly dueAt: number
  /** True where tables of notes have it. */
  readonly hasNotes: boolean
}

/**
 * The messages that wait, a page for those of one route and rank in one transaction: written once, read back as it is, deleted when all
 * of its messages have left. Which have is in a table of its own, so that nothing has to be written twice.
 */
export class Pages implements Participant {
  readonly #statements: ReturnType<typeof prepare>
  readonly #isDiskFull: () => boolean
  readonly #memory = new PagesInMemory()
  /** First ids and routes of pages of which little is left, in the order they became so. */
  readonly #sparse = new Map<number, number>()
  readonly #idleWriters: PageWriter[] = []
  // of this transaction:
  /** By route and rank. */
  readonly #drafts = new Map<number, Draft>()
  readonly #added: PageState[] = []
  readonly #touched = new Set<PageState>()
  readonly #removed: PageState[] = []
  readonly #finished: { page: PageState; place: number; bits: number }[] = []

  /** On a full disk nothing is written anew. */
  constructor(database: DatabaseSync, isDiskFull: () => boolean) {
    this.#statements = prepare(database)
    this.#isDiskFull = isDiskFull
  }

  /** Inside a transaction; of a route and rank in the order of their ids. */
  add(message: PageMessage, to: AddedTo): void {
    const draft = this.#draftFor(message.id, to)
    draft.writer.add(message)
    if (to.hasNotes) draft.hasNotes = true
  }

  /** Inside a transaction: one of another page as it is there, by a new id, for the targets that still wait for it. */
  copy(from: { page: PageState; place: number; body: Uint8Array }, id: number, to: AddedTo): void {
    const { page, place, body } = from
    const draft = this.#draftFor(id, to)
    draft.writer.copy(page.heads, place, body, { id, wanted: page.openOf(place) })
    if (to.hasNotes) draft.hasNotes = true
  }

  /** Inside a transaction: what it has added to a route can be read. */
  flush(route: number): void {
    for (const [key, draft] of this.#drafts) {
      if (draft.route === route) this.#write(key, draft)
    }
  }

  /** Inside a transaction: these targets are done with it. */
  finish(page: PageState, place: number, bits: number): void {
    this.#finished.push({ page, place, bits: page.finish(place, bits) })
    this.#touched.add(page)
  }

  /** The page that has this message, whether it has left or not. */
  find(route: number, id: number): PageState | undefined {
    const known = this.#memory.find(route, id)
    if (known !== undefined) return known
    const floor = firstOf<{ first: number; last: number }>(this.#statements.floor, route, id)
    const page = floor === undefined || floor.last < id ? undefined : this.#load(route, floor.first)
    if (page !== undefined) this.#memory.add(page)
    return page
  }

  /** Messages of this one are about to be on their way, and then to leave. */
  keep(page: PageState): void {
    if (this.#memory.at(page.route, page.first) !== undefined) return
    this.#memory.add(page)
    if (this.#touched.size === 0) this.#memory.forgetOldest() // one that a transaction has changed must not be loaded again
  }

  /** Pages with messages above `after` up to `upTo` that any of these targets was to have; in order, without delayed ones. */
  *between(route: number, { after, upTo, bits }: { after: number; upTo: number; bits: number }): Generator<PageState> {
    const floor = firstOf<{ first: number; last: number }>(this.#statements.floor, route, after)
    let next = floor !== undefined && floor.last > after ? floor.first : after + 1
    for (;;) {
      const row = firstOf<{ first: number }>(this.#statements.next, route, next, upTo, bits)
      if (row === undefined) return
      const page = this.#at(route, row.first)
      if (page !== undefined) yield page
      next = row.first + 1
    }
  }

  /** Pages of delayed messages that are due by then, in the order of their time. */
  *due(route: number, dueBy: number): Generator<PageState> {
    for (const { first } of allOf<{ first: number }>(this.#statements.due, route, dueBy)) {
      const page = this.#at(route, first)
      if (page !== undefined) yield page
    }
  }

  /** All of a route, delayed or not. */
  *all(route: number): Generator<PageState> {
    for (const { first } of allOf<{ first: number }>(this.#statements.ofRoute, route)) {
      const page = this.#at(route, first)
      if (page !== undefined) yield page
    }
  }

  /** The last id of each rank that waits, highest rank first; of what may go now. */
  ends(route: number): number[] {
    const ends: number[] = []
    for (let below = Number.MAX_SAFE_INTEGER; ; ) {
      const row = firstOf<{ last: number }>(this.#statements.lastBelow, route, below)
      if (row === undefined) return ends.reverse()
      ends.push(row.last)
      below = idOf(rankOf(row.last), 0)
    }
  }

  /** When the next delayed message is due; milliseconds since the epoch. */
  nextDueAt(route: number): number | undefined {
    return firstOf<{ due: number }>(this.#statements.nextDue, route)?.due
  }

  /** The highest sequence that a message of the route has, delayed or not; 0: it has none. */
  highestSequence(route: number): number {
    let highest = 0
    for (let below = Number.MAX_SAFE_INTEGER; ; ) {
      const row = firstOf<{ last: number }>(this.#statements.anyBelow, route, below)
      if (row === undefined) return highest
      highest = Math.max(highest, sequenceOf(row.last))
      below = idOf(rankOf(row.last), 0)
    }
  }

  /** Count and bytes of what was written, by route; of pages that are begun, that is more than they still have. */
  written(): { route: number; count: number; bytes: number }[] {
    return allOf(this.#statements.written)
  }

  bodyOf({ first }: PageState): Uint8Array {
    const row = firstOf<{ body: Uint8Array }>(this.#statements.body, first)
    if (row === undefined) throw damagedPage(first)
    return row.body
  }

  /** Those of its messages that memory knows may be in tables of notes now. */
  expectNotes(route: number): void {
    for (const page of [...this.#memory.of(route), ...this.#added]) page.hasNotes = true
  }

  /** Once, as the store is opened: pages of which some messages have left; what they still have is to be counted. */
  *begun(): Generator<PageState> {
    for (const { first, route } of allOf<{ first: number; route: number }>(this.#statements.begun)) {
      const page = this.#at(route, first)
      if (page === undefined) continue
      if (page.isSparse) this.#sparse.set(first, route)
      yield page
    }
  }

  beforeCommit(): number {
    for (const [key, draft] of this.#drafts) this.#write(key, draft)
    for (const page of this.#touched) this.#noteGone(page)
    const squeezed = this.#sparse.size > 0 && !this.#isDiskFull() ? this.#squeeze() : 0
    if (this.#touched.size > 0) failpoint('store.before-finish-commit')
    return squeezed
  }

  committed(): void {
    for (const page of this.#removed) this.#memory.delete(page)
    for (const page of this.#added) this.#memory.add(page)
    for (const page of this.#touched) if (page.isSparse) this.#sparse.set(page.first, page.route)
    this.#forget()
    this.#memory.forgetOldest()
  }

  rolledBack(): void {
    for (const { page, place, bits } of this.#finished.reverse()) page.reopen(place, bits)
    for (const page of this.#removed) if (page.isSparse) this.#sparse.set(page.first, page.route)
    for (const { writer } of this.#drafts.values()) this.#giveBack(writer)
    this.#drafts.clear()
    this.#forget()
  }

  #forget(): void {
    this.#added.length = 0
    this.#removed.length = 0
    this.#finished.length = 0
    this.#touched.clear()
  }

  /** One at a time for a route and rank, so that the ids of no two pages of a route overlap. */
  #draftFor(id: number, { route, dueAt }: AddedTo): Draft {
    const key = route * ranks + rankOf(id)
    const known = this.#drafts.get(key)
    if (known !== undefined && known.due === dueAt && !known.writer.isFull) return known
    if (known !== undefined) this.#write(key, known)
    const draft = { route, due: dueAt, writer: this.#takeWriter(id), hasNotes: false }
    this.#drafts.set(key, draft)
    return draft
  }

  #write(key: number, { route, due, writer, hasNotes }: Draft): void {
    const { first, last, count, bytes, received, wanted, body } = writer
    const heads = new Heads(first, new Uint8Array(writer.heads))
    this.#statements.insert.run(
      ...[first, route, due, last, count, bytes, received, wanted],
      heads.checksum,
      writer.heads,
      body,
    )
    this.#added.push(new PageState({ route, heads, bodyBytes: body.length, writtenMs: performance.now(), hasNotes }))
    this.#drafts.delete(key) // where a later one cannot be written, nobody gives back its writer once more
    this.#giveBack(writer)
  }

  #takeWriter(first: number): PageWriter {
    const writer = this.#idleWriters.pop() ?? new PageWriter()
    writer.begin(first)
    return writer
  }

  #giveBack(writer: PageWriter): void {
    if (this.#idleWriters.length < mostIdleWriters) this.#idleWriters.push(writer)
  }

  #noteGone(page: PageState): void {
    if (page.open === 0) return this.#remove(page)
    for (const [bit, places] of page.goneOf(page.changed)) this.#statements.noteGone.run(page.first, bit, places)
    page.changed = 0
  }

  #remove(page: PageState): void {
    this.#statements.remove.run(page.first)
    this.#statements.forgetGone.run(page.first)
    this.#removed.push(page)
  }

  #at(route: number, first: number): PageState | undefined {
    return this.#memory.at(route, first) ?? this.#load(route, first)
  }

  #load(route: number, first: number): PageState | undefined {
    const row = firstOf<PageRow>(this.#statements.load, first)
    if (row === undefined) return undefined
    const heads = new Heads(first, row.heads)
    if (heads.count === 0 || heads.checksum !== row.checksum) throw damagedPage(first)
    const gone = allOf<{ bit: number; places: Uint8Array }>(this.#statements.gone, first)
    return new PageState({
      route,
      heads,
      bodyBytes: row.bodyBytes,
      writtenMs: Number.NEGATIVE_INFINITY,
      hasNotes: firstOf<{ has: number }>(this.#statements.hasNotes, first, heads.last)?.has === 1,
      gone: gone.map(({ bit, places }) => [bit, places] as const),
    })
  }

  /** Writes sparse pages anew with what is left of them, so that what has left gives its room back; how many bytes it has read. */
  #squeeze(): number {
    let bytes = 0
    for (const [first, route] of this.#sparse) {
      if (bytes >= mostSqueezedBytes) break
      const page = this.#at(route, first)
      if (page !== undefined && page.writtenMs > performance.now() - squeezedAfterMs) break
      this.#sparse.delete(first)
      if (page === undefined || !page.isSparse) continue
      bytes += page.bodyBytes
      this.#rewrite(page)
    }
    return bytes
  }

  #rewrite(page: PageState): void {
    const body = this.bodyOf(page)
    const places = page.waitingFor(-1)
    const writer = this.#takeWriter(page.first)
    for (const place of places) writer.copy(page.heads, place, body)
    const heads = new Heads(page.first, new Uint8Array(writer.heads))
    const { last, count, bytes, received, wanted } = writer
    this.#statements.rewrite.run(
      ...[last, count, bytes, received, wanted, heads.checksum],
      writer.heads,
      writer.body,
      page.first,
    )
    const { route, writtenMs, hasNotes } = page
    const bodyBytes = writer.body.length
    const gone = [...page.goneOf(-1)].map(([bit, all]) => [bit, placesOf(all, places)] as const)
    this.#statements.forgetGone.run(page.first)
    for (const [bit, some] of gone) this.#statements.noteGone.run(page.first, bit, some)
    this.#removed.push(page)
    this.#added.push(new PageState({ route, heads, bodyBytes, writtenMs, hasNotes, gone }))
    this.#giveBack(writer)
  }
}

const mostIdleWriters = 8
const ranks = maxRank + 1

interface PageRow {
  readonly checksum: number
  readonly heads: Uint8Array
  readonly bodyBytes: number
}

/** Of a bit for every message the ones at these places. */
function placesOf(all: Uint8Array, places: readonly number[]): Uint8Array {
  const some = new Uint8Array(Math.ceil(places.length / 8))
  for (const [at, place] of places.entries()) {
    if (((all[place >>> 3] as number) & (1 << (place & 7))) !== 0)
      some[at >>> 3] = (some[at >>> 3] as number) | (1 << (at & 7))
  }
  return some
}

function damagedPage(first: number): PermanentError {
  const text = `page ${first} of stored messages cannot be read: it is not what was written; copy the directory away before anything else`
  return new PermanentError('STORE_DAMAGED', `the store is damaged: ${text}`)
}

function prepare(database: DatabaseSync) {
  const ofRoute = 'FROM pages INDEXED BY pages_by_route WHERE route = ?'
  const noted = (table: string) => `EXISTS (SELECT 1 FROM ${table} WHERE id BETWEEN ?1 AND ?2)`
  return {
    insert: database.prepare(
      `INSERT INTO pages (first, route, due, last, count, bytes, received, wanted, checksum, heads, body)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    rewrite: database.prepare(
      `UPDATE pages SET last = ?, count = ?, bytes = ?, received = ?, wanted = ?, checksum = ?, heads = ?, body = ?
       WHERE first = ?`,
    ),
    remove: database.prepare('DELETE FROM pages WHERE first = ?'),
    noteGone: database.prepare(
      'INSERT INTO gone (page, bit, places) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET places = excluded.places',
    ),
    forgetGone: database.prepare('DELETE FROM gone WHERE page = ?'),
    gone: database.prepare('SELECT bit, places FROM gone WHERE page = ?'),
    begun: database.prepare('SELECT first, route FROM pages WHERE first IN (SELECT page FROM gone)'),
    written: database.prepare('SELECT route, sum(count) AS count, sum(bytes) AS bytes FROM pages GROUP BY route'),
    lastBelow: database.prepare(`SELECT last ${ofRoute} AND first < ? AND due = 0 ORDER BY first DESC LIMIT 1`),
    anyBelow: database.prepare(`SELECT last ${ofRoute} AND first < ? ORDER BY first DESC LIMIT 1`),
    nextDue: database.prepare(
      'SELECT due FROM pages INDEXED BY pages_by_time WHERE route = ? AND due > 0 ORDER BY due LIMIT 1',
    ),
    floor: database.prepare(`SELECT first, last ${ofRoute} AND first <= ? ORDER BY first DESC LIMIT 1`),
    next: database.prepare(
      `SELECT first ${ofRoute} AND first >= ? AND first <= ? AND due = 0 AND (wanted & ?) <> 0 ORDER BY first LIMIT 1`,
    ),
    due: database.prepare(
      'SELECT first FROM pages INDEXED BY pages_by_time WHERE route = ? AND due > 0 AND due <= ? ORDER BY due, first',
    ),
    ofRoute: database.prepare(`SELECT first ${ofRoute} ORDER BY first`),
    load: database.prepare('SELECT checksum, heads, octet_length(body) AS bodyBytes FROM pages WHERE first = ?'),
    body: database.prepare('SELECT body FROM pages WHERE first = ?'),
    hasNotes: database.prepare(
      `SELECT ${['attempts', 'first_reasons', 'suspects', 'ranked'].map(noted).join(' OR ')} AS has`,
    ),
  }
}
