/**
 * What waits for a source. The messages of one sender stay in their order; those of several go by turns, and a sender whose
 * messages take long (rules may cost 20 ms each) waits behind the others, but not for ever: after 128 of theirs it has a turn. A lane without room holds up only those whose next
 * message is for it.
 */
import type { Arrival } from './arrival.ts'
import { Flow, type Lane, type Lanes } from './lane.ts'

/** Messages of prompt senders in a row before a slow one has its turn. */
const promptRun = 128

export class FairQueue {
  readonly #lanes: Lanes
  readonly #flows = new Map<object, Flow>()
  /** Of prompt senders, since a slow one had its turn. */
  #inARow = 0

  constructor(lanes: Lanes) {
    this.#lanes = lanes
  }

  /** Returns the lane that it waits for, perhaps behind others of its sender. */
  add(arrival: Arrival, lane: Lane): Lane {
    const known = this.#flows.get(arrival.sender)
    if (known !== undefined && known.arrivals.size === 0 && known.lane !== lane) this.#move(known, lane)
    const flow = known ?? this.#enter(new Flow(arrival.sender, lane))
    flow.arrivals.add(arrival)
    return flow.lane
  }

  has(arrival: Arrival): boolean {
    return this.#flows.get(arrival.sender)?.arrivals.has(arrival) ?? false
  }

  delete(arrival: Arrival): void {
    const flow = this.#flows.get(arrival.sender)
    if (!flow?.arrivals.delete(arrival)) return
    this.#leave(flow)
    if (flow.arrivals.size > 0) this.#enter(flow)
  }

  *all(): Generator<Arrival> {
    for (const { arrivals } of this.#flows.values()) yield* arrivals
  }

  /** The next, and its lane, which has room. */
  shift(): { arrival: Arrival; lane: Lane } | undefined {
    const prompt = this.#inARow < promptRun ? this.#shift('prompt') : undefined
    this.#inARow = prompt === undefined ? 0 : this.#inARow + 1
    return prompt ?? this.#shift('slow') ?? this.#shift('prompt')
  }

  /** From now on `sender`, whose message for `lane` took long, waits behind others: until it is its turn, and there is nothing of it. */
  slowDown(sender: object, lane: Lane): void {
    const last = this.#lanes.moveBack(lane) // of several with slow senders it is another's turn
    const flow = this.#flows.get(sender) ?? new Flow(sender, last)
    this.#leave(flow)
    flow.isSlow = true
    this.#enter(flow)
  }

  #shift(kind: 'prompt' | 'slow'): { arrival: Arrival; lane: Lane } | undefined {
    for (const lane of this.#lanes.all()) {
      if (lane.isFull) continue
      for (const flow of lane[kind]) {
        const { first } = flow
        this.#leave(flow)
        if (first === undefined) continue
        flow.arrivals.delete(first)
        if (flow.arrivals.size > 0 || flow.isSlow) this.#enter(flow)
        return { arrival: first, lane }
      }
    }
    return undefined
  }

  #enter(flow: Flow): Flow {
    const { first } = flow
    if (first !== undefined) flow.lane = this.#lanes.of(first.packet.topic) ?? flow.lane
    this.#flows.set(flow.sender, flow)
    flow.lane[flow.isSlow ? 'slow' : 'prompt'].add(flow)
    return flow
  }

  #move(flow: Flow, lane: Lane): void {
    this.#leave(flow)
    flow.lane = lane
    this.#enter(flow)
  }

  #leave(flow: Flow): void {
    flow.lane.prompt.delete(flow)
    flow.lane.slow.delete(flow)
    this.#flows.delete(flow.sender)
  }
}
