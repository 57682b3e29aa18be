import { rankOf } from '../../store/contract.ts'
import type { Parcel } from '../parcel.ts'

/** By rank: the first message to be read again. */
export type Beginnings = Map<number, number>

/**
 * What of one target stays on disk behind a message of its lane that is refused for now: a lane that is stuck holds one
 * message in memory, not all that come behind it. Once a lane goes on, its messages are read again from their first.
 *
 * A lane that is here and that the dispatcher does not hold any more is about to be taken back: the end of its last message
 * in memory sees to that. For it all messages of a lane have one owner.
 */
export class Shelf {
  readonly #lanes = new Map<string, Beginnings>()

  get isEmpty(): boolean {
    return this.#lanes.size === 0
  }

  has(parcel: Parcel): boolean {
    return this.#lanes.size > 0 && parcel.isKeyed && this.#lanes.has(parcel.lane)
  }

  put(parcel: Parcel): void {
    const { id } = parcel.message
    const firsts: Beginnings = this.#lanes.get(parcel.lane) ?? new Map()
    this.#lanes.set(parcel.lane, firsts)
    startAt(firsts, rankOf(id), id)
  }

  /** Forgets the lanes that do not stay; from where all of theirs has to be read, or undefined where all do. */
  takeBack(stays: (lane: string, firsts: Beginnings) => boolean): Beginnings | undefined {
    const all: Beginnings = new Map()
    for (const [lane, firsts] of this.#lanes) {
      if (stays(lane, firsts)) continue
      this.#lanes.delete(lane)
      for (const [rank, id] of firsts) startAt(all, rank, id)
    }
    return all.size === 0 ? undefined : all
  }

  clear(): void {
    this.#lanes.clear()
  }
}

function startAt(beginnings: Beginnings, rank: number, id: number): void {
  beginnings.set(rank, Math.min(id, beginnings.get(rank) ?? id))
}
