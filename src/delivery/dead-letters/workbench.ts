import type { Log } from '../../adapter/contract.ts'
import type { Envelope } from '../../envelope/envelope.ts'
import { remainingMs } from '../../envelope/expiry.ts'
import { messageOf } from '../../errors.ts'
import type { DeadLetterStore, StoredDeadLetter } from '../../store/contract.ts'
import { audit } from './audit.ts'
import type { Place } from './placement.ts'
import { type LetterQuery, walkLetters } from './walk.ts'

export type { LetterQuery } from './walk.ts'

export interface Page {
  /** Letters with ids above it. Default: 0. */
  readonly after?: number | undefined
  /** Most letters. */
  readonly limit: number
}

/** A piece of work on many letters; the next piece begins after `next` of the answer. */
export interface Piece extends Page {
  /**
   * Milliseconds since the epoch: letters that died later are not meant. To be taken from the first piece's answer, so
   * that what dies again while the work goes on is left alone.
   */
  readonly before?: number | undefined
  readonly isDryRun?: boolean | undefined
}

export interface Requeue extends Piece {
  readonly delayMs?: number | undefined
  /** Letters of one route are due no faster than this, those of earlier calls counted in. */
  readonly ratePerSecond?: number | undefined
  /** Also what came back too often, or is expired. */
  readonly isForced?: boolean | undefined
}

export interface Skipped {
  readonly id: number
  readonly why: string
}

export interface PieceDone {
  /** How many were requeued or discarded; in a dry run: would be. */
  readonly done: number
  /** How many letters were looked at. */
  readonly looked: number
  readonly skipped: readonly Skipped[]
  /** Where the next piece begins; undefined: this was the last. */
  readonly next: number | undefined
  readonly before: number
}

export interface WorkbenchParts {
  readonly deadLetters: DeadLetterStore
  readonly place: Place
  readonly log: Log
  /** Told how many letters a route, by its number, has back, which are on disk then; absent where no gateway runs. */
  readonly onRequeued?: ((route: number, count: number) => void) | undefined
  /** Milliseconds since the epoch. Default: the clock. */
  readonly now?: () => number
}

interface Move {
  readonly id: number
  readonly route: number
  readonly wanted: number
  readonly dueAt: number
}

/** A letter that came back so often is not requeued again unless that is forced. */
export const maxRequeues = 3
/** Most bytes of messages that one list holds. */
const maxListBytes = 8 * 1024 ** 2

/**
 * What people do with dead letters. Each piece of work is one transaction, and what was requeued is a dead letter no more:
 * work that was interrupted is simply started again. `origin` says who asked: `api 127.0.0.1`, `cli root`.
 * Throws PermanentError USAGE for a bad condition.
 */
export class Workbench {
  readonly #deadLetters: DeadLetterStore
  readonly #place: Place
  readonly #log: Log
  readonly #onRequeued: WorkbenchParts['onRequeued']
  readonly #now: () => number
  /** By route: when the last letter that a rate spread is due. */
  readonly #lastDueAt = new Map<number, number>()

  constructor(parts: WorkbenchParts) {
    this.#deadLetters = parts.deadLetters
    this.#place = parts.place
    this.#log = parts.log
    this.#onRequeued = parts.onRequeued
    this.#now = parts.now ?? Date.now
  }

  /** Letters in the order of their ids; fewer than `limit` where they are large. `next` is undefined at the end. */
  list(query: LetterQuery, { after = 0, limit }: Page): { letters: StoredDeadLetter[]; next: number | undefined } {
    const letters: StoredDeadLetter[] = []
    let bytes = 0
    const { next } = walkLetters(this.#deadLetters, query, after, (letter) => {
      letters.push(letter)
      bytes += letter.envelope.sizeBytes
      return letters.length < limit && bytes < maxListBytes
    })
    return { letters, next }
  }

  get(id: number): StoredDeadLetter | undefined {
    return this.#deadLetters.get(id)
  }

  /** How many the query finds; its `where` is not looked at. */
  count({ where: _, ...query }: LetterQuery): number {
    return this.#deadLetters.count(query)
  }

  /** Sends letters to their routes again: to the target that failed, or to all where it failed before. */
  requeue(query: LetterQuery, order: Requeue, origin: string): PieceDone {
    const moves: Move[] = []
    const lastDueAt = new Map(this.#lastDueAt)
    const piece = this.#work(query, order, (letter) => {
      const move = this.#moveOf(letter, order, lastDueAt)
      if ('why' in move) return move.why
      moves.push({ ...move, dueAt: Math.round(move.dueAt) })
      if (order.ratePerSecond !== undefined) lastDueAt.set(move.route, move.dueAt)
      return undefined
    })
    if (order.isDryRun || moves.length === 0) return { ...piece, done: moves.length }
    const ids = new Set(this.#deadLetters.requeue(moves))
    const done = moves.filter(({ id }) => ids.has(id))
    for (const [route, moved] of Map.groupBy(done, (move) => move.route)) this.#onRequeued?.(route, moved.length)
    for (const [route, dueAt] of lastDueAt) this.#lastDueAt.set(route, dueAt)
    const { delayMs, ratePerSecond, isForced } = order
    this.#audit('requeue', origin, done, { ...query, delayMs, ratePerSecond, isForced })
    return { ...piece, done: done.length }
  }

  /** Deletes letters for good. */
  discard(query: LetterQuery, piece: Piece, origin: string): PieceDone {
    const letters: StoredDeadLetter[] = []
    const worked = this.#work(query, piece, (letter) => {
      letters.push(letter)
      return undefined
    })
    if (piece.isDryRun || letters.length === 0) return { ...worked, done: letters.length }
    const done = this.#deadLetters.discard(letters.map(({ id }) => id))
    this.#audit('discard', origin, letters, query)
    return { ...worked, done }
  }

  /** Replaces a letter's message by what `change` makes of it; the letter as it is now, or undefined when it is gone. */
  edit(id: number, change: (envelope: Envelope) => Envelope, origin: string): StoredDeadLetter | undefined {
    const letter = this.#deadLetters.get(id)
    if (letter === undefined || !this.#deadLetters.edit(id, change(letter.envelope))) return undefined
    this.#audit('edit', origin, [letter], {})
    return this.#deadLetters.get(id)
  }

  /** All that the query finds. The audit line comes at the end, also where the reader went away before. */
  async *export(query: LetterQuery, origin: string): AsyncGenerator<StoredDeadLetter, void> {
    const given: { id: number }[] = []
    try {
      for (let after: number | undefined = 0; after !== undefined; ) {
        const page = this.list(query, { after, limit: 100 })
        for (const letter of page.letters) {
          given.push({ id: letter.id })
          yield letter
        }
        after = page.next
        await new Promise((resolve) => setImmediate(resolve)) // the gateway's own work goes on in between
      }
    } finally {
      this.#audit('export', origin, given, query)
    }
  }

  /** Walks one piece; `take` returns why a letter is skipped. */
  #work(query: LetterQuery, piece: Piece, take: (letter: StoredDeadLetter) => string | undefined) {
    const { after = 0, limit, before = this.#now() } = piece
    const skipped: Skipped[] = []
    const seen = new Set<number>()
    let taken = 0
    const { looked, next } = walkLetters(this.#deadLetters, query, after, (letter) => {
      seen.add(letter.id)
      if (letter.lastAt > before) return true
      const why = take(letter)
      if (why === undefined) taken += 1
      else skipped.push({ id: letter.id, why })
      return taken + skipped.length < limit
    })
    const isMissing = (id: number) => id > after && id <= (next ?? Number.POSITIVE_INFINITY) && !seen.has(id)
    for (const id of new Set(query.ids?.filter(isMissing))) skipped.push({ id, why: 'no such dead letter' })
    return { looked, skipped, next, before }
  }

  #moveOf(letter: StoredDeadLetter, order: Requeue, lastDueAt: ReadonlyMap<number, number>): Move | { why: string } {
    if (letter.requeues >= maxRequeues && !order.isForced) {
      return {
        why: `it came back ${letter.requeues} times already; mend it with edit, or send it all the same with --force`,
      }
    }
    const placed = this.#place(letter)
    if ('problem' in placed) return { why: placed.problem }
    const dueAt = this.#dueAt(order, lastDueAt.get(placed.route))
    const problem = order.isForced ? undefined : expiry(letter.envelope, Math.max(dueAt, this.#now()))
    return problem === undefined ? { id: letter.id, ...placed, dueAt } : { why: problem }
  }

  /** Milliseconds since the epoch; 0: at once. */
  #dueAt({ delayMs, ratePerSecond }: Requeue, lastDueAt = 0): number {
    if (delayMs === undefined && ratePerSecond === undefined) return 0
    const earliest = this.#now() + (delayMs ?? 0)
    return ratePerSecond === undefined ? earliest : Math.max(earliest, lastDueAt + 1_000 / ratePerSecond)
  }

  #audit(
    action: 'requeue' | 'edit' | 'discard' | 'export',
    origin: string,
    letters: readonly { id: number }[],
    asked: object,
  ) {
    audit(this.#log, { action, origin, ids: letters.map(({ id }) => id), asked })
  }
}

/** Why a message would expire again at once, or undefined. */
function expiry(envelope: Envelope, atEpochMs: number): string | undefined {
  try {
    remainingMs(envelope, atEpochMs)
    return undefined
  } catch (error) {
    return `it would expire again: ${messageOf(error)}; edit its ttl, or force it`
  }
}
