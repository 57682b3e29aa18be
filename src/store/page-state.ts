import type { Heads } from './page.ts'

/** A page whose messages have nearly all left still takes its room on the disk: from this size on it is written anew. Bytes. */
const leastSqueezedBytes = 8 * 1024
/** When so small a part of it is left. */
const sparsePart = 0.25

/** What memory knows of a page on disk: its heads, and which of its messages are done with, by target. */
export class PageState {
  readonly route: number
  readonly heads: Heads
  readonly last: number
  /** Of its body. */
  readonly bodyBytes: number
  /** Of `performance.now()`; 0: before this process. */
  readonly writtenMs: number
  /** True where tables of notes may have some of its messages. */
  hasNotes: boolean
  /** Messages that are not done with. */
  open: number
  /** What those take of the body; bytes. */
  openBytes = 0
  /** Bits that have changed since they were written. */
  changed = 0
  /** Side by side: targets, and for each a bit for every message, set where it is done. */
  readonly #targets: number[] = []
  readonly #gone: Uint8Array[] = []

  constructor(parts: {
    route: number
    heads: Heads
    bodyBytes: number
    writtenMs: number
    hasNotes: boolean
    gone?: Iterable<readonly [bit: number, places: Uint8Array]>
  }) {
    this.route = parts.route
    this.heads = parts.heads
    this.last = parts.heads.last
    this.bodyBytes = parts.bodyBytes
    this.writtenMs = parts.writtenMs
    this.hasNotes = parts.hasNotes
    for (const [bit, places] of parts.gone ?? []) {
      this.#targets.push(bit)
      this.#gone.push(new Uint8Array(places))
    }
    this.open = this.heads.count
    this.openBytes = this.bodyBytes
    if (this.#targets.length > 0) this.#count()
  }

  get first(): number {
    return this.heads.first
  }

  covers(id: number): boolean {
    return id >= this.heads.first && id <= this.last
  }

  /** The targets that are done with it. */
  doneOf(place: number): number {
    let done = 0
    for (let at = 0; at < this.#targets.length; at += 1) {
      if (isSet(this.#gone[at] as Uint8Array, place)) done |= this.#targets[at] as number
    }
    return done
  }

  /** The targets that are not yet done with it; 0: it has left. */
  openOf(place: number): number {
    return this.heads.wantedOf(place) & ~this.doneOf(place)
  }

  /** Places of the messages that any of these targets waits for. */
  waitingFor(bits: number): number[] {
    const places: number[] = []
    for (let place = 0; place < this.heads.count; place += 1) if ((this.openOf(place) & bits) !== 0) places.push(place)
    return places
  }

  /** These targets are done with it; those of them that were not before. */
  finish(place: number, bits: number): number {
    const fresh = bits & this.openOf(place)
    this.#flip(place, fresh)
    if (fresh !== 0 && this.openOf(place) === 0) {
      this.open -= 1
      this.openBytes -= this.heads.lengthOf(place)
    }
    return fresh
  }

  /** Takes back what `finish` has told. */
  reopen(place: number, fresh: number): void {
    if (fresh !== 0 && this.openOf(place) === 0) {
      this.open += 1
      this.openBytes += this.heads.lengthOf(place)
    }
    this.#flip(place, fresh)
  }

  /** By target: a bit for every message; in the order of the targets' first. */
  *goneOf(bits: number): Generator<[bit: number, places: Uint8Array]> {
    for (const [at, bit] of this.#targets.entries()) if ((bit & bits) !== 0) yield [bit, this.#gone[at] as Uint8Array]
  }

  /** True where so little is left of it that it is worth while to write that anew. */
  get isSparse(): boolean {
    return this.open > 0 && this.bodyBytes >= leastSqueezedBytes && this.openBytes <= this.bodyBytes * sparsePart
  }

  #count(): void {
    for (let place = 0; place < this.heads.count; place += 1) {
      if (this.openOf(place) !== 0) continue
      this.open -= 1
      this.openBytes -= this.heads.lengthOf(place)
    }
  }

  #flip(place: number, bits: number): void {
    this.changed |= bits
    for (let left = bits; left !== 0; left &= left - 1) {
      const places = this.#placesOf(left & -left)
      const byte = place >>> 3
      places[byte] = (places[byte] as number) ^ (1 << (place & 7))
    }
  }

  #placesOf(bit: number): Uint8Array {
    const at = this.#targets.indexOf(bit)
    if (at !== -1) return this.#gone[at] as Uint8Array
    const places = new Uint8Array(Math.ceil(this.heads.count / 8))
    this.#targets.push(bit)
    this.#gone.push(places)
    return places
  }
}

function isSet(bits: Uint8Array, at: number): boolean {
  return ((bits[at >>> 3] ?? 0) & (1 << (at & 7))) !== 0
}
