import { Budget } from '../../../src/adapter/budget.ts'
import type { Arrival } from './arrival.ts'
import { compileFilter } from './filter.ts'

const unlimited = { maxCount: Number.POSITIVE_INFINITY, maxBytes: Number.POSITIVE_INFINITY }
/** Of a lane that nobody reads. */
const nothing = new Budget({ maxCount: 0, maxBytes: 0 })
/** Topics whose lane is remembered. */
const maxTopics = 1_024

/** What one sender has waiting, in order. */
export class Flow {
  readonly sender: object
  readonly arrivals = new Set<Arrival>()
  /** Where it waits for its turn: of the first of `arrivals`. */
  lane: Lane
  isSlow = false

  constructor(sender: object, lane: Lane) {
    this.sender = sender
    this.lane = lane
  }

  get first(): Arrival | undefined {
    for (const arrival of this.arrivals) return arrival
    return undefined
  }
}

/** The way to one set of routes: where one of these takes no more, what is for others is not behind it. */
export class Lane {
  /** Distinguishes it from the others of its source. */
  readonly key: string
  /** Senders whose next message is for these routes, whose turn comes first is first. */
  readonly prompt = new Set<Flow>()
  /** Those whose messages took long. */
  readonly slow = new Set<Flow>()
  #budget = nothing
  #isAwaited = false

  constructor(key: string) {
    this.key = key
  }

  /** From now on it is a part of `whole`. */
  attach(whole: Budget | undefined): void {
    this.#budget = whole === undefined ? nothing : new Budget({ ...unlimited, parent: whole })
    this.#isAwaited = false
  }

  /** True where nothing is taken before something is settled. */
  get isFull(): boolean {
    return this.#budget.isFull
  }

  get hasWaiting(): boolean {
    return this.prompt.size + this.slow.size > 0
  }

  /** Nothing waits or is in flight. */
  get isIdle(): boolean {
    return !this.hasWaiting && this.#budget.count === 0
  }

  /** What its messages are taken from. */
  get budget(): Budget {
    return this.#budget
  }

  /** Calls `goOn` once when there is room, unless it will already be called or `signal` aborts before. */
  whenRoom(goOn: () => void, signal: AbortSignal): void {
    if (this.#isAwaited) return
    this.#isAwaited = true
    void this.#budget.whenRoom(signal).then(() => {
      if (signal.aborted) return
      this.#isAwaited = false
      goOn()
    })
  }
}

/** The lanes of one source, by the filters that match a topic. */
export class Lanes {
  readonly #matchers: readonly ((topic: string) => boolean)[]
  readonly #lanes = new Map<string, Lane>()
  readonly #ofTopics = new Map<string, Lane | undefined>()
  #budget: Budget | undefined

  constructor(filters: readonly string[]) {
    this.#matchers = filters.map(compileFilter)
  }

  /** From now on they share `budget`. */
  attach(budget: Budget): void {
    this.#budget = budget
    for (const lane of this.all()) lane.attach(this.#budget)
  }

  /** Undefined where no filter matches. */
  of(topic: string): Lane | undefined {
    if (this.#ofTopics.has(topic)) return this.#ofTopics.get(topic)
    if (this.#ofTopics.size >= maxTopics) this.#forgetIdle()
    const matching = this.#matchers.flatMap((matches, index) => (matches(topic) ? [index] : []))
    const lane = matching.length === 0 ? undefined : this.#named(matching.join())
    this.#ofTopics.set(topic, lane)
    return lane
  }

  all(): Iterable<Lane> {
    return this.#lanes.values()
  }

  /** The lane of that key, now the last of `all`: it may have been idle, and forgotten, since it was given. */
  moveBack({ key }: Lane): Lane {
    const lane = this.#named(key)
    this.#lanes.delete(key)
    this.#lanes.set(key, lane)
    return lane
  }

  #named(key: string): Lane {
    const known = this.#lanes.get(key)
    if (known !== undefined) return known
    const lane = new Lane(key)
    lane.attach(this.#budget)
    this.#lanes.set(key, lane)
    return lane
  }

  #forgetIdle(): void {
    this.#ofTopics.clear()
    for (const [key, lane] of this.#lanes) if (lane.isIdle) this.#lanes.delete(key)
  }
}
