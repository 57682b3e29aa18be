import type { DatabaseSync } from 'node:sqlite'
import { failpoint } from '../failpoint.ts'
import type { CommitQueue } from './commit-queue.ts'
import {
  type Append,
  type Attempts,
  type Candidate,
  type Finish,
  idOf,
  type LongestWaiting,
  type Outbox,
  rankOf,
  type StoredMessage,
  type Waiting,
} from './contract.ts'
import type { DeadLetterReason } from './dead-letters.ts'
import type { KeptRows } from './kept-rows.ts'
import { Notes } from './notes.ts'
import { AppendJob, bytesOfMessage, FinishJob, type OutboxWriter } from './outbox-jobs.ts'
import { OutboxReader, type ReadRange } from './outbox-reader.ts'
import { contentOf, type PageMessage } from './page.ts'
import type { PageState } from './page-state.ts'
import { Pages } from './pages.ts'
import { Ranks } from './ranks.ts'
import { encodeParams } from './record.ts'
import { Seen } from './seen.ts'
import { readSafely } from './sqlite-error.ts'
import { Tally } from './tally.ts'
import { TargetTable } from './target-table.ts'
import type { Participant } from './transactions.ts'

/** A wake goes on from page to page until it has moved so many, as long as a turn of the event loop may be. */
const mostAwoken = 1000

/** A message to be, e.g. one that comes back from the dead letters. */
export type NewMessage = Pick<
  PageMessage,
  'wanted' | 'key' | 'params' | 'fields' | 'payload' | 'received' | 'requeues'
> & {
  readonly route: number
  readonly priority: number | undefined
  readonly dueAt: number
}

/** The messages that are safe here and not yet delivered. */
export class PagedOutbox implements Outbox, OutboxWriter {
  readonly recoveredUpTo: number
  readonly tally = new Tally()
  readonly participants: readonly Participant[]
  readonly #pages: Pages
  readonly #notes: Notes
  readonly #reader: OutboxReader
  readonly #ranks: Ranks
  readonly #seen: Seen
  readonly #targets: TargetTable
  readonly #kept: KeptRows
  readonly #queue: () => CommitQueue
  #sequence: number
  /** False in a process that only looked, or dealt with dead letters. */
  hasWorked = false
  reads = 0
  /** Started in this process; a clean end takes that back. */
  readonly #started = new Set<number>()

  constructor(database: DatabaseSync, parts: { kept: KeptRows; queue: () => CommitQueue; wasClean: boolean }) {
    this.#kept = parts.kept
    this.#queue = parts.queue
    this.#pages = new Pages(database, () => this.#queue().isDiskFull)
    this.#notes = new Notes(database)
    this.#reader = new OutboxReader(this.#pages, this.#notes)
    this.#ranks = new Ranks(database, (route) => this.#keyed(route))
    this.#seen = new Seen(database)
    this.#targets = new TargetTable(database, (route, bit) => this.#reader.countWaiting(route, bit))
    const routes = [...this.#targets.names.keys()]
    this.#sequence = Math.max(0, ...routes.map((route) => this.#pages.highestSequence(route)))
    this.recoveredUpTo = parts.wasClean ? 0 : this.#sequence
    this.#count()
    this.#notes.forgetAbove(this.#sequence)
    this.participants = [this.#pages, this.#seen, this.#ranks, this.tally]
  }

  route(name: string, targets: readonly string[]): { route: number; bits: number[] } {
    return this.#queue().run(() => this.#targets.assign(name, targets))
  }

  scope(name: string, windowMs: number): number {
    return this.#seen.find(name, windowMs) ?? this.#queue().run(() => this.#seen.name(name, windowMs))
  }

  append(entry: Append): void {
    this.hasWorked = true
    this.#seen.areAllNamed = true
    this.#queue().add(new AppendJob(this, entry))
  }

  finish(done: Finish): void {
    this.hasWorked = true
    this.#queue().add(new FinishJob(this, done))
  }

  attempted(route: number, id: number, bit: number, attempts: Attempts): void {
    const apply = () => this.#note(route, id, () => this.#notes.attempted(id, bit, attempts))
    this.#queue().add({ pace: 'soon', sizeBytes: 0, apply })
  }

  read(route: number, bit: number, range: ReadRange): StoredMessage[] {
    this.reads += 1
    return readSafely(() => this.#reader.read(route, bit, range))
  }

  fetch(route: number, bit: number, ids: readonly number[], maxBytes: number): StoredMessage[] {
    this.reads += 1
    return readSafely(() => this.#reader.fetch(route, bit, { ids, maxBytes }))
  }

  ends(route: number): readonly number[] {
    return readSafely(() => this.#pages.ends(route))
  }

  nextDueAt(route: number): number | undefined {
    return readSafely(() => this.#pages.nextDueAt(route))
  }

  wake(route: number, nowEpochMs: number): number {
    const dueAt = this.nextDueAt(route)
    if (dueAt === undefined || dueAt > nowEpochMs) return 0
    return this.#queue().run(() => {
      let count = 0
      for (const page of this.#pages.due(route, nowEpochMs)) {
        count += this.#wakePage(page)
        if (count >= mostAwoken) break
      }
      return count
    })
  }

  markStart(route: number, ids: readonly number[]): void {
    this.hasWorked = true
    this.#queue().run(() => {
      for (const id of ids) this.#note(route, id, () => this.#notes.addStarts(id, 1))
    })
    for (const id of ids) this.#started.add(id)
    failpoint('start.marked')
  }

  absolve(ids: readonly number[]): void {
    for (const id of ids) this.#started.delete(id)
    const apply = () => {
      for (const id of ids) this.#notes.addStarts(id, -1)
    }
    this.#queue().add({ pace: 'soon', sizeBytes: 0, apply })
  }

  /** Inside a transaction. Nothing that was started killed this process. */
  forgetStarts(): void {
    for (const id of this.#started) this.#notes.addStarts(id, -1)
  }

  get isBacklogged(): boolean {
    return this.#queue().isBacklogged
  }

  waitingLongest(route: number, bits: number, which: LongestWaiting): readonly Candidate[] {
    return readSafely(() => this.#reader.waitingLongest(route, bits, which))
  }

  get(route: number, id: number): StoredMessage | undefined {
    return readSafely(() => this.#reader.get(route, id))
  }

  waiting(route: number): Waiting {
    return { ...this.tally.of(route), oldestAt: readSafely(() => this.#reader.oldestAt(route)) }
  }

  orphans(names: readonly string[]): readonly { readonly name: string; readonly count: number }[] {
    const found = []
    for (const [route, name] of this.#targets.names) {
      const { count } = this.tally.of(route)
      if (count > 0 && !names.includes(name)) found.push({ name, count })
    }
    return found
  }

  orphanTargets(): readonly { readonly route: string; readonly target: string; readonly count: number }[] {
    return readSafely(() => this.#targets.orphans())
  }

  get total(): Waiting {
    const routes = [...this.#targets.names.keys()].filter((route) => this.tally.of(route).count > 0)
    const times = readSafely(() => routes.map((route) => this.#reader.oldestAt(route) ?? Number.POSITIVE_INFINITY))
    const { count, bytes } = this.tally
    return { count, bytes, oldestAt: times.length === 0 ? undefined : Math.min(...times) }
  }

  keep(entry: Append, fields: string, bytes: number): number | undefined {
    const { keep, deduplicate, envelope, route, key = null, wanted } = entry
    if (keep !== undefined) this.#kept.write(keep.connection, keep.entry)
    if (deduplicate !== undefined && this.#seen.isRepeated(deduplicate)) return undefined
    const { payload, priority } = envelope
    const id = this.#nextId(this.#ranks.rankFor(route, key, priority))
    const params = encodeParams(entry.params)
    const received = entry.receivedAt ?? Date.now()
    const hasNotes = this.#rank(route, id, key)
    this.#pages.add(
      { id, wanted, bytes, received, requeues: 0, key, params, fields, payload },
      { route, dueAt: 0, hasNotes },
    )
    this.tally.change(route, 1, bytes)
    return id
  }

  /** Inside the transaction. */
  insert({ route, priority, dueAt, ...message }: NewMessage): void {
    const { key, fields, payload } = message
    const id = this.#nextId(this.#ranks.rankFor(route, key, priority))
    const bytes = bytesOfMessage(fields, payload)
    this.#pages.add({ ...message, id, bytes }, { route, dueAt, hasNotes: this.#rank(route, id, key) })
    this.tally.change(route, 1, bytes)
  }

  take({ route, id, bits, wanted, dead }: Finish): { isLast: boolean; dead: DeadLetterReason | undefined } {
    const page = this.#pages.find(route, id)
    const place = page?.heads.placeOf(id) ?? -1
    if (page === undefined || place === -1 || page.openOf(place) === 0) return { isLast: bits === wanted, dead }
    this.#pages.finish(page, place, bits)
    if (page.openOf(place) !== 0) {
      if (dead !== undefined) this.#noteReason(page, id, dead)
      return { isLast: false, dead }
    }
    this.tally.change(route, -1, -page.heads.bytesOf(place))
    if (!page.hasNotes) return dead === undefined ? deliveredToLast : { isLast: true, dead }
    const first = this.#notes.reasonOf(id) ?? dead
    this.#forgetNotes(id)
    return { isLast: true, dead: first }
  }

  /** Of the pages that are begun only what they still have. */
  #count(): void {
    for (const { route, count, bytes } of this.#pages.written()) this.tally.change(route, count, bytes)
    for (const page of this.#pages.begun()) {
      for (let place = 0; place < page.heads.count; place += 1) {
        if (page.openOf(place) === 0) this.tally.change(page.route, -1, -page.heads.bytesOf(place))
      }
    }
    this.tally.committed()
  }

  #nextId(rank: number): number {
    this.#sequence += 1
    return idOf(rank, this.#sequence)
  }

  /** True where it is noted. */
  #rank(route: number, id: number, key: string | Uint8Array | null): boolean {
    if (key === null || !this.#ranks.areKeptFor(route)) return false
    this.#ranks.note(route, { id, key })
    return true
  }

  #keyed(route: number): Iterable<{ id: number; key: string | Uint8Array }> {
    this.#pages.flush(route)
    this.#pages.expectNotes(route)
    return this.#reader.keyed(route)
  }

  /** What is noted of a message goes with it. */
  #note(route: number, id: number, note: () => void): void {
    const page = this.#pages.find(route, id)
    const place = page?.heads.placeOf(id) ?? -1
    if (page === undefined || place === -1 || page.openOf(place) === 0) return
    page.hasNotes = true
    note()
  }

  #noteReason(page: PageState, id: number, reason: DeadLetterReason): void {
    page.hasNotes = true
    this.#notes.noteReason(id, reason)
  }

  #forgetNotes(id: number): void {
    this.#notes.forget(id)
    this.#ranks.forget(id)
  }

  /** Its messages go behind all that wait; how many those were. */
  #wakePage(page: PageState): number {
    const body = this.#pages.bodyOf(page)
    const places = page.waitingFor(-1)
    for (const place of places) {
      const id = page.heads.idOf(place)
      const reason = page.hasNotes ? this.#notes.reasonOf(id) : undefined
      this.#forgetNotes(id)
      const part = page.heads.partOf(place, body)
      const key = part === undefined ? null : contentOf(part).key
      const own = rankOf(id)
      const newId = this.#nextId(
        key === null || own === 0 ? own : this.#ranks.below(own, { route: page.route, key, except: id }),
      )
      const hasNotes = this.#rank(page.route, newId, key) || reason !== undefined
      if (reason !== undefined) this.#notes.noteReason(newId, reason)
      this.#pages.copy({ page, place, body }, newId, { route: page.route, dueAt: 0, hasNotes })
      this.#pages.finish(page, place, page.openOf(place))
    }
    return places.length
  }
}

/** The same for nearly all, to save an object. */
const deliveredToLast = { isLast: true, dead: undefined }
