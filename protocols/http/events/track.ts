import type { KeptEvent } from './kept.ts'

/** One who follows a path. */
export interface Follower {
  /** Of an event of now. */
  tell(frame: Buffer): void
}

/** One path: its latest events, and those who follow it. */
export class Track {
  readonly path: string
  readonly readers = new Set<Follower>()
  readonly #events = new Map<number, KeptEvent>()
  /** The latest that is no longer kept. */
  #dropped: { readonly seq: number; readonly id: string } | undefined

  constructor(path: string) {
    this.path = path
  }

  get size(): number {
    return this.#events.size
  }

  get isIdle(): boolean {
    return this.#events.size === 0 && this.readers.size === 0
  }

  get oldest(): KeptEvent | undefined {
    return this.#events.values().next().value
  }

  add(event: KeptEvent): void {
    this.#events.set(event.seq, event)
  }

  /** The oldest. */
  drop({ seq, id }: KeptEvent): void {
    this.#events.delete(seq)
    this.#dropped = { seq, id }
  }

  /** The number of the event with this id, of several the first; undefined: it is not known any more. */
  find(id: string): number | undefined {
    for (const event of this.#events.values()) if (event.id === id) return event.seq
    return this.#dropped?.id === id ? this.#dropped.seq : undefined
  }

  /** What came after an event. */
  after(seq: number): KeptEvent[] {
    return [...this.#events.values()].filter((event) => event.seq > seq)
  }

  /** True where something that came after it is not kept any more. */
  hasGapAfter(seq: number): boolean {
    return this.#dropped !== undefined && this.#dropped.seq > seq
  }
}
