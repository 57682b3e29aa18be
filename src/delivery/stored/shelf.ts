import { Queue } from '../../adapter/queue.ts'
import type { Parcel } from '../parcel.ts'

/** Eight bytes each: so many of one target are remembered, then no more of it is read. */
const mostIds = 250_000
/** So many that have left by another way are taken out together, at the latest. */
const mostForgotten = 10_000

/** A message that is to be fetched from the disk. */
export interface Shelved {
  readonly lane: string
  readonly id: number
}

/** Ids of one lane, in their order. */
class LaneIds {
  /** What came back from memory: before all others of the lane. In order. */
  readonly #returned: number[] = []
  readonly #behind = new Queue<number>()
  #last = 0

  get size(): number {
    return this.#returned.length + this.#behind.size
  }

  /** Infinity where there is none. */
  get first(): number {
    return Math.min(this.#returned[0] ?? none, this.#behind.peek() ?? none)
  }

  add(id: number): void {
    if (id > this.#last) {
      this.#last = id
      this.#behind.push(id)
      return
    }
    const at = this.#returned.findLastIndex((one) => one < id)
    this.#returned.splice(at + 1, 0, id)
  }

  remove(ids: ReadonlySet<number>): void {
    const returned = this.#returned.splice(0)
    const behind = this.#behind.takeAll()
    for (const id of returned) if (!ids.has(id)) this.#returned.push(id)
    for (const id of behind) if (!ids.has(id)) this.#behind.push(id)
  }

  shift(): number | undefined {
    return this.first === this.#returned[0] ? this.#returned.shift() : this.#behind.shift()
  }
}

const none = Number.POSITIVE_INFINITY

/**
 * What of one target stays on disk behind a message of its lane that is refused for now: a lane that is stuck holds one
 * message in memory, and of those behind it their ids. Once the lane goes on they are fetched, in their order.
 *
 * A lane that is here and that the dispatcher does not hold any more is about to be fetched: the end of its last message in memory
 * sees to that (`mayGoOn`). For it all messages of a lane have one owner.
 */
export class Shelf {
  readonly #lanes = new Map<string, LaneIds>()
  /** Lanes that may go on: nothing of them was in memory for a moment. */
  readonly #going = new Set<string>()
  /** What has left by another way, and is still counted where it is here. */
  readonly #forgotten = new Set<number>()
  #size = 0

  get isFull(): boolean {
    if (this.#size >= mostIds) this.#removeForgotten()
    return this.#size >= mostIds
  }

  /** False where `next` has none. */
  get mayHaveNext(): boolean {
    return this.#going.size > 0
  }

  has(parcel: Parcel): boolean {
    return this.#lanes.size > 0 && parcel.isKeyed && this.#lanes.has(parcel.lane)
  }

  /** True where one of its lane that came before it is here. */
  holdsBefore({ lane, message, isKeyed }: Parcel): boolean {
    if (this.#lanes.size === 0 || !isKeyed) return false
    return (this.#lanes.get(lane)?.first ?? none) < message.id
  }

  put({ lane, message }: Parcel): void {
    this.putBack({ lane, id: message.id })
  }

  putBack({ lane, id }: Shelved): void {
    const ids = this.#lanes.get(lane) ?? new LaneIds()
    this.#lanes.set(lane, ids)
    ids.add(id)
    this.#size += 1
  }

  /** It was set aside: a lane that is stuck for long must not fill with ids of what is not there any more. */
  forget(id: number): void {
    if (this.#size > 0) this.#forgotten.add(id)
    if (this.#forgotten.size >= mostForgotten) this.#removeForgotten()
  }

  #removeForgotten(): void {
    if (this.#forgotten.size === 0) return
    for (const [lane, ids] of this.#lanes) {
      this.#size -= ids.size
      ids.remove(this.#forgotten)
      this.#size += ids.size
      if (ids.size === 0) this.#lanes.delete(lane)
    }
    this.#forgotten.clear()
  }

  /** One of its messages has left memory: perhaps the one that held it. */
  mayGoOn(lane: string): void {
    this.#going.add(lane)
  }

  /** All may: their target is back. */
  allMayGoOn(): void {
    for (const lane of this.#lanes.keys()) this.#going.add(lane)
  }

  /** The first id of the most urgent lane that goes on; undefined: none does. `isHeld`: a lane that does not go on after all. */
  next(isHeld: (lane: string) => boolean): number | undefined {
    let first = none
    for (const lane of this.#going) {
      const ids = isHeld(lane) ? undefined : this.#lanes.get(lane)
      if (ids === undefined) this.#going.delete(lane)
      else first = Math.min(first, ids.first)
    }
    return first === none ? undefined : first
  }

  /** Of lanes that go on, so many at most: in their order, the most urgent lanes first. */
  take(count: number): Shelved[] {
    const taken: Shelved[] = []
    const firstOf = (lane: string) => this.#lanes.get(lane)?.first ?? none
    const lanes = [...this.#going].sort((a, b) => firstOf(a) - firstOf(b))
    for (const lane of lanes) {
      const ids = this.#lanes.get(lane)
      while (taken.length < count && ids !== undefined && ids.size > 0) {
        taken.push({ lane, id: ids.shift() as number })
        this.#size -= 1
      }
      if (ids?.size === 0) this.#lanes.delete(lane)
    }
    return taken
  }
}
