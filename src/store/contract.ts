/**
 * What the store promises the rest of the gateway. One process, one directory, one SQLite file. What is handed
 * over in one turn of the event loop is one transaction, often together with that of following turns (see gathering.ts for
 * how long). A full store or disk splits it, never the copies of one message. Callbacks come after the fsync, in the order of
 * the hand-over. Reads are synchronous, write nothing, and see everything committed.
 */
import type { KeptEntry } from '../adapter/contract.ts'
import type { Envelope } from '../envelope/envelope.ts'
import type { DeadLetter, DeadLetterReason } from './dead-letters.ts'

export type { DeadLetter, DeadLetterReason } from './dead-letters.ts'

/** What a route captured from the message's address. */
export type Params = Readonly<Record<string, string>>

/** An entry of one connection that its source wants committed with a message. */
export interface KeepWith {
  readonly connection: string
  readonly entry: KeptEntry
}

/** What a message may be a copy of: the same `id` in the same scope within the window. */
export interface Repeatable {
  /** Of `Outbox.scope`. */
  readonly scope: number
  readonly id: string
  readonly windowMs: number
}

/** A message to keep for a route. `safe` or `duplicate` is called once, after the fsync. */
export interface Append {
  readonly route: number
  /** As received: original bytes, headers and source. */
  readonly envelope: Envelope
  readonly params: Params
  /** Milliseconds since the epoch. Default: now. */
  readonly receivedAt?: number | undefined
  /** One bit for each target it goes to, see `Outbox.route`. */
  readonly wanted: number
  /** The message's ordering key; undefined: it is ordered behind nothing. */
  readonly key: string | Uint8Array | undefined
  /** By what a repeated message is known; undefined: nobody looks. */
  readonly deduplicate?: Repeatable | undefined
  /** An entry that its source wants committed with it. */
  readonly keep?: KeepWith | undefined
  /** `id` orders the messages of a route: see `rankOf`. */
  safe(id: number): void
  /** It was seen within the window: it is not kept again, and safe all the same. */
  duplicate(): void
  /** The store ends and had no room for it. */
  released(): void
}

/** One target is done with a message. `ended` is called after the fsync, once, when it was the last one. */
export interface Finish {
  readonly id: number
  readonly route: number
  readonly wanted: number
  /** The bits that are done now. */
  readonly bits: number
  /** Why it became a dead letter there; undefined: delivered, or no longer wanted. */
  readonly dead?: DeadLetterReason | undefined
  /** The first reason any of its targets gave; undefined: every target has it. */
  ended(dead: DeadLetterReason | undefined): void
}

/** What a target answered so far. */
export interface Attempts {
  readonly attempts: number
  readonly failures: number
  /** Milliseconds since the epoch: not to be sent before, and when that was said. */
  readonly dueAt: number
  readonly notedAt: number
}

/** A message read back. */
export interface StoredMessage {
  readonly id: number
  readonly route: number
  /** What it takes up. */
  readonly bytes: number
  readonly envelope: Envelope
  readonly params: Params
  readonly wanted: number
  readonly done: number
  /** Milliseconds since the epoch. */
  readonly receivedAt: number
  /** How often a process died after it had read this message back and before it was done with it. */
  readonly starts: number
  /** How often it came back from the dead letters. */
  readonly requeues: number
  /** By bit; absent where no target has answered. */
  readonly attempts: ReadonlyMap<number, Attempts> | undefined
  /** True where it is not what was written: then its envelope has what is there of it as its payload, and nothing else is known. */
  readonly isDamaged: boolean
}

export interface Waiting {
  readonly count: number
  readonly bytes: number
  /** Milliseconds since the epoch: receipt of the oldest. */
  readonly oldestAt: number | undefined
}

export interface LongestWaiting {
  readonly limit: number
  /** Milliseconds since the epoch. */
  readonly receivedBefore?: number | undefined
  isSuch(id: number): boolean
}

/** A message that waits, without what is in it. */
export interface Candidate {
  readonly id: number
  /** What it takes up. */
  readonly bytes: number
}

/** Messages that are safe here and not yet delivered. */
export interface Outbox {
  /**
   * The number of a route by its name, and the bit of each of its targets. A target is known again by its text
   * (`events/telemetry.{params.site}`), else by its place; at most 31. What waits for a target that is gone stays.
   */
  route(name: string, targets: readonly string[]): { readonly route: number; readonly bits: readonly number[] }
  /** The number of a scope in which messages are known again for so long at least. */
  scope(name: string, windowMs: number): number
  append(entry: Append): void
  finish(done: Finish): void
  /** Notes what a target answered, so that a restart does not forget it. */
  attempted(route: number, id: number, bit: number, attempts: Attempts): void
  /** Messages of one rank, ids above `after` up to `upTo`, that `bit` still waits for and that are due; in order. */
  read(
    route: number,
    bit: number,
    range: { readonly after: number; readonly upTo: number; readonly limit: number; readonly maxBytes: number },
  ): StoredMessage[]
  /**
   * Those of these ids, which are in order, that `bit` still waits for; in order. It ends at so many bytes, with one at least: of
   * ids above the last that it found nothing is known; where it found none, none is there.
   */
  fetch(route: number, bit: number, ids: readonly number[], maxBytes: number): StoredMessage[]
  /** An id for each rank that waits, highest rank first: none of that rank is above it. Delayed ones are not counted. */
  ends(route: number): readonly number[]
  /** When the next delayed message of a route is due, in milliseconds since the epoch. */
  nextDueAt(route: number): number | undefined
  /**
   * Makes delayed messages that are due by then ordinary ones (committed at once): each takes a new id, behind all that
   * wait. How many those were.
   */
  wake(route: number, nowEpochMs: number): number
  /** Notes, committed at once, that these are handed out again by a process that follows one that died. */
  markStart(route: number, ids: readonly number[]): void
  /** Takes that back: the process has outlived them. Goes with the next commit. */
  absolve(ids: readonly number[]): void
  /** Ids up to this one were here when the store was opened after a process had died; 0 after a clean end. By sequence, see `sequenceOf`. */
  readonly recoveredUpTo: number
  /** True while so much that was handed over cannot be written that no more should be read. */
  readonly isBacklogged: boolean
  /** What waits longest for some targets of a route: in the order of receipt, delayed messages too. */
  waitingLongest(route: number, bits: number, which: LongestWaiting): readonly Candidate[]
  get(route: number, id: number): StoredMessage | undefined
  waiting(route: number): Waiting
  /** Routes that have messages here and are not among `names`, with their counts. */
  orphans(names: readonly string[]): readonly { readonly name: string; readonly count: number }[]
  /** Targets that messages wait for and that `route` was not told of, with their counts; of routes it was told of. */
  orphanTargets(): readonly { readonly route: string; readonly target: string; readonly count: number }[]
  readonly total: Waiting
}

/** A dead letter on disk. */
export interface StoredDeadLetter extends Omit<DeadLetter, 'error'> {
  readonly id: number
  readonly error: { readonly code: string; readonly message: string }
  readonly requeues: number
  /** When the route's dead letter target confirmed it; milliseconds since the epoch. */
  readonly forwardedAt: number | undefined
}

/** Which dead letters; all that are named must hold. */
export interface DeadLetterQuery {
  readonly ids?: readonly number[] | undefined
  readonly route?: string | undefined
  readonly reason?: DeadLetterReason | undefined
  /** Last attempt at least this long ago, or at most; milliseconds. */
  readonly olderThanMs?: number | undefined
  readonly youngerThanMs?: number | undefined
  /** Those that are still to be sent to the route's dead letter target. */
  readonly toForward?: boolean | undefined
}

/** What becomes of a letter before it is on disk. */
export interface Burial {
  /**
   * Called once, at once where there is room, else when there is: it goes into the next transaction, and a `Finish` handed
   * over now goes with it.
   */
  admitted?(): void
  /** There is no room for now: it waits, and so should own the bytes that it holds. */
  held?(): void
  /** In place of it: the store ends and had no room. */
  released?(): void
}

/** How the dead letters stand against their limits. */
export interface DeadLetterFigures {
  readonly bytes: number
  readonly maxBytes: number
  /** Letters that wait for room, in memory. */
  readonly held: number
  /** Let go since the start: as there was no room, and as they were too old. */
  readonly dropped: number
  readonly expired: number
}

export interface DeadLetterStore {
  /** `safe` after the fsync. Where there is no room for it, the letter waits, or the oldest go; see `DeadLetterLimit`. */
  add(letter: DeadLetter, safe: (id: number) => void, burial?: Burial): void
  readonly figures: DeadLetterFigures
  /** Committed at once: letters that died before go, a piece of them; how many did. */
  expire(diedBefore: number): number
  /** In order of their ids, above `after`. */
  list(query: DeadLetterQuery, page: { readonly after: number; readonly limit: number }): readonly StoredDeadLetter[]
  get(id: number): StoredDeadLetter | undefined
  count(query: DeadLetterQuery): number
  countsByRoute(): ReadonlyMap<string, number>
  /** Committed at once: each letter leaves the dead letters and waits for its route again, in one transaction; which did. */
  requeue(
    moves: readonly { readonly id: number; readonly route: number; readonly wanted: number; readonly dueAt: number }[],
  ): readonly number[]
  /** Committed at once. Replaces the message, whose requeues are counted anew; false when it is gone. */
  edit(id: number, envelope: Envelope): boolean
  /** Committed at once; how many there were. */
  discard(ids: readonly number[]): number
  /**
   * The route's dead letter target has it too, and the newest 10,000 of those stay for reference; or it refused it, and
   * it stays here like any other.
   */
  forwarded(id: number, answer: 'confirmed' | 'refused'): void
}

export interface KeptTable {
  all(connection: string, space: string): Iterable<readonly [key: string, value: Uint8Array]>
  put(connection: string, space: string, key: string, value: Uint8Array): void
  delete(connection: string, space: string, key: string): void
  /** The connections that have entries. */
  connections(): readonly string[]
}

export interface Store {
  /** As the gateway ends: an append that finds no room, now or later, is given back at once. */
  stopWaiting(): void
  readonly outbox: Outbox
  readonly deadLetters: DeadLetterStore
  readonly kept: KeptTable
  /** Resolves when all that was handed over so far is on disk, but for appends that wait for room. Rejects when the disk has failed. */
  flushed(): Promise<void>
  /** True while appends wait because the limit is reached or the disk is full. */
  readonly isFull: boolean
  /** Called when that changes. */
  onFull(listener: (isFull: boolean, why: string) => void): void
  /** For metrics. */
  readonly stats: StoreStats
  /** Commits what was handed over and closes; this end counts as clean. Appends that wait for room are dropped unsettled. */
  close(): void
}

export interface StoreStats {
  readonly commits: number
  /** How often a target looked on disk for what waits for it. One that keeps up never does. */
  readonly reads: number
  readonly fileBytes: () => number
}

/** Of one route, higher ranks come first; within a rank the sequence counts. Both are in the id: 8 bits and 45. */
const rankUnit = 2 ** 45
export const maxRank = 255
export function idOf(rank: number, sequence: number): number {
  return (maxRank - rank) * rankUnit + sequence
}
export function rankOf(id: number): number {
  return maxRank - Math.floor(id / rankUnit)
}
export function sequenceOf(id: number): number {
  return id - Math.floor(id / rankUnit) * rankUnit // exact, and much faster than %
}
