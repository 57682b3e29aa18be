import type { Parcel } from './parcel.ts'

/** A lane whose messages must wait: behind one that failed, or behind one that is under way. */
export interface Lane {
  readonly name: string
  readonly waiting: Parcel[]
  /**
   * underway: a sink that keeps no order has one of its messages; backoff: waits for its time;
   * outage: waits until the target is back.
   */
  state: 'underway' | 'backoff' | 'outage'
  /** The latest send that may still hold messages of this lane: it is not let go before that one is over. */
  lastSend: number
  timer?: NodeJS.Timeout | undefined
  isDue: boolean
}

/** The lanes that wait. While none does, a message costs one look at `isEmpty`. */
export class Lanes {
  readonly #lanes = new Map<string, Lane>()
  /** Given up at the end of the gateway, with a message that was not delivered. */
  readonly #givenUp = new Set<string>()

  get isEmpty(): boolean {
    return this.#lanes.size === 0
  }

  /** Messages that wait in lanes. */
  get size(): number {
    let size = 0
    for (const lane of this.#lanes.values()) size += lane.waiting.length
    return size
  }

  of(parcel: Parcel): Lane | undefined {
    return this.#lanes.get(parcel.lane)
  }

  hold(parcel: Parcel, state: Lane['state'], lastSend: number): Lane {
    const held = this.#lanes.get(parcel.lane)
    const lane: Lane = held ?? { name: parcel.lane, waiting: [], state, lastSend, isDue: false }
    lane.state = state
    lane.lastSend = lastSend
    if (held === undefined) this.#lanes.set(lane.name, lane)
    return lane
  }

  /** Lets a lane go: its messages, in no particular order. */
  letGo(lane: Lane): readonly Parcel[] {
    this.#lanes.delete(lane.name)
    clearTimeout(lane.timer)
    return lane.waiting
  }

  /** Lanes that may go now: due or their target back, and none of their messages still under way. */
  *ready(lastFinishedSend: number): Generator<Lane> {
    for (const lane of this.#lanes.values()) {
      if (lane.isDue && lane.lastSend <= lastFinishedSend) yield lane
    }
  }

  /** The target is back: what waited for it is due. */
  endOutage(): void {
    for (const lane of this.#lanes.values()) if (lane.state === 'outage') lane.isDue = true
  }

  /** What waits in lanes whose messages are such; those lanes are let go. All messages of a lane have one owner. */
  takeWhere(isSuch: (parcel: Parcel) => boolean): Parcel[] {
    const such = [...this.#lanes.values()].filter((lane) => lane.waiting[0] !== undefined && isSuch(lane.waiting[0]))
    return such.flatMap((lane) => this.letGo(lane))
  }

  /** The same at the end of the gateway, in the first order; see `isGivenUp`. */
  giveUpWhere(isSuch: (parcel: Parcel) => boolean): Parcel[] {
    for (const { name, state, waiting } of this.#lanes.values()) {
      if (state !== 'underway' && waiting[0] !== undefined && isSuch(waiting[0])) this.#givenUp.add(name)
    }
    return this.takeWhere(isSuch).sort((a, b) => a.seq - b.seq)
  }

  /** Its message failed while the gateway ends. */
  giveUp(parcel: Parcel): void {
    this.#givenUp.add(parcel.lane)
  }

  /** True when one before it in its lane goes back undelivered: then it must too, whatever its target said. */
  isGivenUp(parcel: Parcel): boolean {
    return this.#givenUp.size > 0 && this.#givenUp.has(parcel.lane)
  }
}
