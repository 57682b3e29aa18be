import type { Envelope } from '../envelope/envelope.ts'
import {
  type Attempts,
  type Candidate,
  idOf,
  type LongestWaiting,
  rankOf,
  type StoredMessage,
  sequenceOf,
} from './contract.ts'
import type { Notes } from './notes.ts'
import { contentOf } from './page.ts'
import type { PageState } from './page-state.ts'
import type { Pages } from './pages.ts'
import { damagedEnvelope, decodeEnvelope, decodeParams } from './record.ts'

/** What a read is to find. */
export interface ReadRange {
  readonly after: number
  readonly upTo: number
  readonly limit: number
  readonly maxBytes: number
}

/** Reads of the outbox, between transactions; each sees what is committed. */
export class OutboxReader {
  readonly #pages: Pages
  readonly #notes: Notes

  constructor(pages: Pages, notes: Notes) {
    this.#pages = pages
    this.#notes = notes
  }

  read(route: number, bit: number, { after, upTo, limit, maxBytes }: ReadRange): StoredMessage[] {
    const found: StoredMessage[] = []
    const isWithin = limitOf(maxBytes)
    for (const page of this.#pages.between(route, { after, upTo, bits: bit })) {
      const isMeant = (place: number) => isBetween(page.heads.idOf(place), after, upTo)
      const waiting = page.waitingFor(bit).filter(isMeant)
      const wanted = waiting.slice(0, limit - found.length)
      const places = takeWhile(wanted, isWithin(page))
      if (found.length === 0 && places.length === 0) places.push(...wanted.slice(0, 1))
      found.push(...this.#messages(page, places))
      if (places.length < waiting.length || found.length === limit) break
    }
    return found
  }

  /** Those of these that the target still waits for, up to so many bytes. */
  fetch(route: number, bit: number, { ids, maxBytes }: { ids: readonly number[]; maxBytes: number }): StoredMessage[] {
    const found: StoredMessage[] = []
    const isWithin = limitOf(maxBytes)
    for (const [page, ofPage] of Map.groupBy(ids, (id) => this.#pages.find(route, id))) {
      if (page === undefined) continue
      const waiting = ofPage.map((id) => page.heads.placeOf(id)).filter((place) => isWaiting(page, place, bit))
      const places = takeWhile(waiting, isWithin(page))
      if (found.length === 0 && places.length === 0) places.push(...waiting.slice(0, 1))
      found.push(...this.#messages(page, places))
      if (places.length < waiting.length) break
    }
    return found
  }

  get(route: number, id: number): StoredMessage | undefined {
    const page = this.#pages.find(route, id)
    const place = page?.heads.placeOf(id) ?? -1
    return page !== undefined && isWaiting(page, place, -1) ? this.#messages(page, [place])[0] : undefined
  }

  /** Rank by rank, and the delayed ones; no payload is read. */
  waitingLongest(route: number, bits: number, { limit, receivedBefore, isSuch }: LongestWaiting): Candidate[] {
    const found: Candidate[] = []
    const take = (pages: Iterable<PageState>) => {
      let left = limit
      for (const page of pages) {
        for (const place of page.waitingFor(bits)) {
          const id = page.heads.idOf(place)
          if (left === 0 || (receivedBefore !== undefined && page.heads.receivedOf(place) >= receivedBefore)) return
          if (!isSuch(id)) continue
          found.push({ id, bytes: page.heads.bytesOf(place) })
          left -= 1
        }
      }
    }
    for (const rank of this.#pages.ends(route).map(rankOf)) {
      take(this.#pages.between(route, { after: idOf(rank, 0) - 1, upTo: idOf(rank - 1, 0) - 1, bits }))
    }
    take(this.#pages.due(route, Number.MAX_SAFE_INTEGER))
    return found.sort(bySequence).slice(0, limit)
  }

  /** Receipt of the oldest message of a route; milliseconds since the epoch. */
  oldestAt(route: number): number | undefined {
    const firsts = this.#pages.ends(route).map((end) => {
      const rank = rankOf(end)
      const pages = this.#pages.between(route, { after: idOf(rank, 0) - 1, upTo: end, bits: -1 })
      return oldestIn(pages)
    })
    return oldestOf([...firsts, oldestIn(this.#pages.due(route, Number.MAX_SAFE_INTEGER))])
  }

  /** How many messages a target waits for. */
  countWaiting(route: number, bit: number): number {
    let count = 0
    for (const page of this.#pages.all(route)) count += page.waitingFor(bit).length
    return count
  }

  /** What of a route has a key. */
  *keyed(route: number): Generator<{ id: number; key: string | Uint8Array }> {
    for (const page of this.#pages.all(route)) {
      const body = this.#pages.bodyOf(page)
      for (const place of page.waitingFor(-1)) {
        const part = page.heads.partOf(place, body)
        const key = part === undefined ? null : contentOf(part).key
        if (key !== null) yield { id: page.heads.idOf(place), key }
      }
    }
  }

  #messages(page: PageState, places: readonly number[]): StoredMessage[] {
    if (places.length === 0) return []
    this.#pages.keep(page)
    const { first, last, hasNotes } = page
    const notes = {
      body: this.#pages.bodyOf(page),
      attempts: hasNotes ? this.#notes.attemptsBetween(first, last) : noAttempts,
      starts: hasNotes ? this.#notes.startsBetween(first, last) : noStarts,
    }
    // a few messages must not hold the whole page in memory
    const isPart = places.reduce((sum, place) => sum + page.heads.lengthOf(place), 0) < notes.body.byteLength / 2
    return places.map((place) => messageOf(page, place, { ...notes, isPart }))
  }
}

interface Beside {
  readonly body: Uint8Array
  /** True where what is read owns its bytes. */
  readonly isPart: boolean
  readonly attempts: ReadonlyMap<number, ReadonlyMap<number, Attempts>>
  readonly starts: ReadonlyMap<number, number>
}

const noAttempts: Beside['attempts'] = new Map()
const noStarts: Beside['starts'] = new Map()

function messageOf(page: PageState, place: number, { body, isPart, attempts, starts }: Beside): StoredMessage {
  const { heads, route } = page
  const { id, wanted, bytes, received, requeues } = heads.headOf(place)
  const rest = {
    ...{ id, route, bytes, wanted, requeues, done: page.doneOf(place) & wanted, receivedAt: received },
    ...{ starts: starts.get(id) ?? 0, attempts: attempts.get(id) },
  }
  const part = heads.partOf(place, body)
  if (part === undefined) return { ...rest, ...damaged(id, heads.rawPartOf(place, body)) }
  const { params, fields, payload } = contentOf(isPart ? Buffer.from(part) : part)
  return { ...rest, envelope: decodeEnvelope({ fields, payload }), params: decodeParams(params), isDamaged: false }
}

/** As nothing of it is to be believed, all of it is the payload. */
function damaged(id: number, part: Buffer): { envelope: Envelope; params: StoredMessage['params']; isDamaged: true } {
  return { envelope: damagedEnvelope(id, Buffer.from(part)), params: {}, isDamaged: true }
}

const isBetween = (id: number, after: number, upTo: number): boolean => id > after && id <= upTo

const isWaiting = (page: PageState, place: number, bits: number): boolean =>
  place !== -1 && (page.openOf(place) & bits) !== 0

/** Adds up what messages take up, page after page, and tells whether that is within the limit. */
function limitOf(maxBytes: number): (page: PageState) => (place: number) => boolean {
  let bytes = 0
  return ({ heads }) =>
    (place) => {
      bytes += heads.bytesOf(place)
      return bytes <= maxBytes
    }
}

function takeWhile<T>(list: readonly T[], isSuch: (one: T) => boolean): T[] {
  const end = list.findIndex((one) => !isSuch(one))
  return list.slice(0, end === -1 ? list.length : end)
}

/** Of the first page that has any left. */
function oldestIn(pages: Iterable<PageState>): number | undefined {
  for (const page of pages) {
    const times = page.waitingFor(-1).map((place) => page.heads.receivedOf(place))
    if (times.length > 0) return Math.min(...times)
  }
  return undefined
}

function oldestOf(times: readonly (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined)
  return known.length > 0 ? Math.min(...known) : undefined
}

const bySequence = (a: { id: number }, b: { id: number }): number => sequenceOf(a.id) - sequenceOf(b.id)
