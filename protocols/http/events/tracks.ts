/** The latest events by path, within their bounds: what readers that come back have missed. */
import type { Kept } from '../../../src/adapter/contract.ts'
import type { ReplaySettings } from './config.ts'
import { type KeptEvent, keyOf, readKept, space, writeKept } from './kept.ts'
import { Track } from './track.ts'

/** One that goes out now. */
export interface NewEvent {
  readonly id: string
  readonly frame: Buffer
  /** Over a restart too. */
  readonly isKept: boolean
}

export class Tracks {
  readonly #limits: ReplaySettings
  readonly #kept: Kept | undefined
  readonly #tracks = new Map<string, Track>()
  /** Of all paths, the oldest first. */
  readonly #events = new Map<number, KeptEvent>()
  #bytes = 0
  #lastSeq = 0

  /** Takes up what an earlier run has kept. */
  constructor(limits: ReplaySettings, kept: Kept | undefined) {
    this.#limits = limits
    this.#kept = kept
    for (const event of readKept(kept)) this.#take(event)
    this.prune()
  }

  of(path: string): Track {
    const track = this.#tracks.get(path) ?? new Track(path)
    this.#tracks.set(path, track)
    return track
  }

  /** Its place among the events; it is kept as long as the bounds allow. */
  add(path: string, { id, frame, isKept }: NewEvent): Track {
    const event: KeptEvent = { seq: this.#lastSeq + 1, path, id, frame, atMs: Date.now(), isKept }
    if (isKept && this.#limits.maxEvents > 0) this.#kept?.put({ space, key: keyOf(event.seq), value: writeKept(event) })
    const track = this.#take(event)
    this.prune()
    return track
  }

  /** Drops what is over the bounds, and forgets paths of which nothing is left. */
  prune(): void {
    const oldestMs = Date.now() - this.#limits.maxAge
    for (const event of this.#events.values()) {
      if (this.#bytes <= this.#limits.maxBytes && event.atMs >= oldestMs) return
      this.#drop(event)
    }
  }

  /** Nobody follows the path, and nothing is kept of it. */
  forget(track: Track): void {
    if (track.isIdle) this.#tracks.delete(track.path)
  }

  #take(event: KeptEvent): Track {
    const track = this.of(event.path)
    this.#lastSeq = event.seq
    this.#events.set(event.seq, event)
    this.#bytes += event.frame.byteLength
    track.add(event)
    if (track.size > this.#limits.maxEvents) this.#drop(track.oldest as KeptEvent)
    return track
  }

  #drop(event: KeptEvent): void {
    this.#events.delete(event.seq)
    this.#bytes -= event.frame.byteLength
    if (event.isKept) this.#kept?.delete(space, keyOf(event.seq))
    const track = this.of(event.path)
    track.drop(event)
    this.forget(track)
  }
}
