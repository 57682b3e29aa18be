import { byPlace, isOver, type Parcel } from './parcel.ts'

/**
 * A lane whose messages must wait: behind one that failed, or behind one that is under way.
 *
 * | state    | waits for                                                                       | then        |
 * |----------|---------------------------------------------------------------------------------|-------------|
 * | backoff  | its time                                                                        | trial       |
 * | trial    | its first message to leave alone: all behind it would be sent again each time   | underway    |
 * | underway | the answer to the one that is under way alone                                   | gone, or backoff or outage |
 * | outage   | its target to be back                                                           | gone        |
 */
export interface Lane {
  readonly name: string
  readonly waiting: Parcel[]
  state: 'backoff' | 'trial' | 'underway' | 'outage'
  /** In a trial: its first message, which is not among the waiting. */
  scout: Parcel | undefined
  /** Place of the first message that it holds: earlier ones may still be under way, and are no business of its. */
  firstSeq: number
  /** The latest send that may still hold messages of this lane: it is not let go before that one is over. */
  lastSend: number
  timer?: NodeJS.Timeout | undefined
}

/** True when its first message was refused for now, and is to be tried again. */
export const isStuck = ({ state, scout }: Lane): boolean =>
  state === 'backoff' || state === 'trial' || (state === 'underway' && scout !== undefined)

/** True for one that may still be under way while a later one of its lane waits. */
export const isBefore = ({ seq }: Parcel, { firstSeq }: Lane): boolean => seq < firstSeq

/** The lanes that wait. While none does, a message costs one look at `isEmpty`. */
export class Lanes {
  readonly #lanes = new Map<string, Lane>()
  /** Those whose time has come, or whose target is back. */
  readonly #due = new Set<Lane>()
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

  has(name: string): boolean {
    return this.#lanes.has(name)
  }

  of(parcel: Parcel): Lane | undefined {
    return this.#lanes.get(parcel.lane)
  }

  hold(parcel: Parcel, state: Lane['state'], lastSend: number): Lane {
    const held = this.#lanes.get(parcel.lane)
    if (held === undefined) {
      const { lane: name, seq: firstSeq } = parcel
      const lane: Lane = { name, waiting: [], state, scout: undefined, firstSeq, lastSend }
      this.#lanes.set(name, lane)
      return lane
    }
    clearTimeout(held.timer)
    this.#due.delete(held)
    return Object.assign(held, { state, scout: undefined, firstSeq: Math.min(held.firstSeq, parcel.seq), lastSend })
  }

  /** Begins the trial of a lane that is due; the message that is to leave alone. */
  tryFirst(lane: Lane): Parcel {
    const { waiting } = lane
    const first = waiting.reduce((a, b) => (byPlace(a, b) <= 0 ? a : b))
    waiting.splice(waiting.indexOf(first), 1)
    clearTimeout(lane.timer)
    lane.state = 'trial'
    lane.scout = first
    this.#due.delete(lane)
    return first
  }

  /** Lets a lane go: its messages, in no particular order. */
  letGo(lane: Lane): readonly Parcel[] {
    this.#lanes.delete(lane.name)
    this.#due.delete(lane)
    clearTimeout(lane.timer)
    return lane.waiting
  }

  /** Lanes that may go now: due or their target back, and none of their messages still under way. */
  *ready(lastFinishedSend: number): Generator<Lane> {
    for (const lane of this.#due) if (lane.lastSend <= lastFinishedSend) yield lane
  }

  /** Its time has come. */
  due(lane: Lane): void {
    this.#due.add(lane)
  }

  /** The target is back: what waited for it is due. */
  endOutage(): void {
    for (const lane of this.#lanes.values()) if (lane.state === 'outage') this.#due.add(lane)
  }

  /** What waits in lanes whose messages are such; those lanes are let go. */
  takeWhere(isSuch: (parcel: Parcel) => boolean): Parcel[] {
    const such = [...this.#lanes.values()].filter((lane) => consistsOf(lane, isSuch))
    return such.flatMap((lane) => this.letGo(lane))
  }

  /** Requests that are over, of those that wait; a lane of nothing else is let go, unless its first message is on trial. */
  takeOver(): Parcel[] {
    const over: Parcel[] = []
    for (const lane of [...this.#lanes.values()]) {
      const { waiting } = lane
      const left = waiting.filter((parcel) => !isOver(parcel))
      if (left.length === waiting.length) continue
      over.push(...waiting.filter(isOver))
      waiting.splice(0, Number.POSITIVE_INFINITY, ...left)
      if (left.length === 0 && (lane.state === 'backoff' || lane.state === 'outage')) this.letGo(lane)
    }
    return over
  }

  /** The same at the end of the gateway, in the first order; see `isGivenUp`. */
  giveUpWhere(isSuch: (parcel: Parcel) => boolean): Parcel[] {
    for (const lane of this.#lanes.values()) {
      if (lane.state !== 'underway' && consistsOf(lane, isSuch)) this.#givenUp.add(lane.name)
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

/** All messages of a lane have one owner. */
function consistsOf({ waiting, scout }: Lane, isSuch: (parcel: Parcel) => boolean): boolean {
  const any = waiting[0] ?? scout
  return any !== undefined && isSuch(any)
}
