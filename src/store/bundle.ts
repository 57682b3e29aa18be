/** A bundle: the messages of one transaction in one record of the spool, and which of them have left. */
import type { OutboxRow } from './outbox-rows.ts'
import type { Place } from './spool.ts'

/** A message in a bundle: one without a priority, that may go now. */
export type BundledRow = Omit<OutboxRow, 'due' | 'ranked' | 'requeues'>

/** Of one route, in one bundle. */
interface Share {
  open: number
  lastId: number
  /** Of its first message; milliseconds since the epoch. */
  readonly receivedAt: number
}

/** What memory keeps of a bundle on disk. */
export class Bundle {
  /** That of its first message. */
  readonly id: number
  readonly place: Place
  readonly bytes: number
  readonly writtenMs = performance.now()
  readonly shares: ReadonlyMap<number, Share>
  /** One bit for each id from the first to the last; set: it has left, or was never in here. */
  readonly gone: Uint8Array
  readonly #lastId: number
  open: number

  constructor({ firstId, ids, bytes, shares }: Draft, place: Place) {
    this.id = firstId
    this.place = place
    this.bytes = bytes
    this.shares = shares
    this.open = ids.length
    this.#lastId = ids.at(-1) ?? firstId
    this.gone = new Uint8Array(Math.ceil((this.#lastId - firstId + 1) / 8)).fill(0xff)
    for (const id of ids) this.#flip(id)
  }

  /** No other bundle does. */
  covers(id: number): boolean {
    return id >= this.id && id <= this.#lastId
  }

  /** True while this message is in here. */
  has(id: number): boolean {
    return this.covers(id) && !isSet(this.gone, id - this.id)
  }

  leave(id: number, route: number): void {
    this.#change(id, route, -1)
  }

  comeBack(id: number, route: number): void {
    this.#change(id, route, 1)
  }

  #change(id: number, route: number, by: number): void {
    this.#flip(id)
    this.open += by
    const share = this.shares.get(route)
    if (share !== undefined) share.open += by
  }

  #flip(id: number): void {
    const at = id - this.id
    const byte = at >>> 3
    this.gone[byte] = (this.gone[byte] as number) ^ (1 << (at & 7))
  }
}

/** A bundle to be. */
export class Draft {
  readonly firstId: number
  readonly ids: number[] = []
  readonly shares = new Map<number, Share>()
  bytes = 0

  constructor(firstId: number) {
    this.firstId = firstId
  }

  add({ id, route, bytes, received }: BundledRow): void {
    this.ids.push(id)
    this.bytes += bytes
    const share = this.shares.get(route)
    if (share === undefined) this.shares.set(route, { open: 1, lastId: id, receivedAt: received })
    else {
      share.open += 1
      share.lastId = id
    }
  }
}

export function isSet(bits: Uint8Array, at: number): boolean {
  return ((bits[at >>> 3] ?? 0) & (1 << (at & 7))) !== 0
}
