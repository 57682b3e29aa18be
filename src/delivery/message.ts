/** One message on its way through one route, and who holds it. */
import type { Delivery, Outcome, Reply, Settlement } from '../adapter/contract.ts'
import type { Envelope } from '../envelope/envelope.ts'
import type { GatewayError } from '../errors.ts'
import { failpoint } from '../failpoint.ts'
import type { Forwarding } from '../routing/router.ts'
import type { Params, Subject } from '../routing/subject.ts'
import type { DeadLetterReason } from '../store/dead-letters.ts'
import type { LinkStats, RouteStats } from '../telemetry/stats.ts'
import type { Parcel, ParcelOwner } from './parcel.ts'

/** When a batch came in, and from where. */
export interface Arrival {
  /** Of `performance.now()`. */
  readonly ms: number
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Counts what has been settled; undefined where somebody else does. */
  readonly link: LinkStats | undefined
}

/** How a message's way through a route ends: a reason is that of its dead letter. */
export type Ending = 'delivered' | 'filtered' | 'repeated' | 'released' | DeadLetterReason

/** One target of a route. */
export interface Target extends ParcelOwner {
  /** Its place in the route's `to`. */
  readonly index: number
  /** Its bit in the store. */
  readonly bit: number
}

/** A message of a route on its way to one target. */
export type RouteParcel = Parcel<Message, Target>

/** What a dead letter says of the place where its message failed; `target` and `bit` are undefined before it came to one. */
export interface Place {
  /** Attempts that the target answered. */
  readonly attempts: number
  /** `kafka://events/telemetry`. */
  readonly target: string | undefined
  readonly bit: number | undefined
}

/**
 * Who holds a message until when: what a route's `acknowledge` chooses. It sends the message on, hears what became of it
 * at each of its targets, and sees to it that its source is settled and that it ends once (`ended`).
 */
export interface Custody {
  readonly stats: RouteStats
  /** Takes over a message that the rules send on; its source waits. */
  take(message: Message, forwarding: Forwarding): void
  /** `reply`: what the target said to it, where it answers on the spot. */
  confirmed(parcel: RouteParcel, nowMs: number, reply?: Envelope): void
  /** It is sent again, after `delayMs`; undefined: when the target is back. */
  retried(parcel: RouteParcel, error: GatewayError, delayMs: number | undefined): void
  /** It is not sent again: refused for good, expired, or its attempts are used up. It becomes a dead letter. */
  failed(parcel: RouteParcel, error: GatewayError, place: Place): void
  /** The gateway stops before it could be sent. */
  released(parcel: RouteParcel): void
  /** Of a custody whose parcels are `isKept`: see `ParcelOwner`. */
  parked?(parcel: RouteParcel): void
  shelved?(parcel: RouteParcel): void
}

export class Message implements Subject {
  readonly custody: Custody
  /** As received. */
  readonly envelope: Envelope
  readonly params: Params
  readonly #arrival: Arrival
  /** Until it has its answer; undefined for a message read back from the store. */
  #source: Delivery | undefined
  #targetsLeft = 0
  #ending: Ending = 'delivered'
  /** In the store, 0 until it is kept there: its place, a bit for each of its targets. */
  id = 0
  wanted = 0
  /** How often it came back from the dead letters. */
  requeues = 0

  constructor(
    custody: Custody,
    envelope: Envelope,
    { params, arrival, source }: { params: Params; arrival: Arrival; source?: Delivery },
  ) {
    this.custody = custody
    this.envelope = envelope
    this.params = params
    this.#arrival = arrival
    this.#source = source
  }

  /** Of `performance.now()`. */
  get receivedMs(): number {
    return this.#arrival.ms
  }

  get receivedAt(): number {
    return this.#arrival.at
  }

  /** True where other routes read it too. */
  get isShared(): boolean {
    return this.#arrival.link === undefined
  }

  /** What its source wants kept in one transaction with it. */
  get keep(): Delivery['keep'] {
    return this.#source?.keep
  }

  /** True where its asker waits on the way that it came, see `Delivery.answer`. */
  get waitsForAnswer(): boolean {
    return this.#source?.answer !== undefined
  }

  /** Nobody waits for its answer now, see `Delivery.isPatient`. */
  get isPatient(): boolean {
    return this.#source?.isPatient === true
  }

  /** See `Delivery.answerWithinMs`. */
  get answerWithinMs(): number | undefined {
    return this.#source?.answerWithinMs
  }

  /** See `Delivery.answer`; undefined where it has none. */
  answer(reply: Reply): Promise<Outcome> | undefined {
    return this.#source?.answer?.(reply)
  }

  /** So many have to be done with it before its source hears of it, see `targetEnded` and `taken`. */
  goesTo(targets: number): void {
    this.#targetsLeft = targets
  }

  /**
   * A target is done with a message that its source still holds; the last one ends it. One release gives it back whole: its
   * source will hand it over again, and a target that has it gets a duplicate rather than another a loss.
   */
  targetEnded(ending: Ending, nowMs: number): void {
    if (this.#ending === 'delivered' || ending === 'released') this.#ending = ending
    this.#targetsLeft -= 1
    if (this.#targetsLeft === 0) this.end(this.#ending, nowMs)
  }

  /** Ends a message that its source still holds. */
  end(ending: Ending, nowMs: number): void {
    const { stats } = this.custody
    stats.inFlight -= 1
    ended(stats, ending, nowMs - this.receivedMs)
    this.#settle(settlementOf(ending))
  }

  /** A target has a message that is in the store on its way, or has it wait there; after the last its source is told. */
  taken(): void {
    this.#targetsLeft -= 1
    if (this.#targetsLeft > 0) return
    this.#settle('accept')
    failpoint('source.acknowledged')
  }

  /** It is not about to leave, and owns its bytes by now: so should what its source keeps of it. */
  waits(): void {
    this.#source?.waits?.()
  }

  #settle(settlement: Settlement): void {
    const source = this.#source
    this.#source = undefined
    if (source === undefined) return
    if (this.#arrival.link !== undefined) this.#arrival.link.settled += 1
    source.settle(settlement)
  }
}

/** Mark: the message has ended on its route, whoever held it. `tookMs`: since it was received. */
export function ended(stats: RouteStats, ending: Ending, tookMs: number): void {
  if (ending === 'delivered') {
    stats.delivered += 1
    stats.duration.observeMs(tookMs)
  } else if (ending === 'filtered') stats.filtered += 1
  else if (ending === 'repeated') stats.duplicates += 1
  else if (ending === 'released') stats.released += 1
  else stats.countDeadLetter(ending)
}

function settlementOf(ending: Ending): Settlement {
  if (ending === 'released') return 'release'
  return ending === 'delivered' || ending === 'filtered' || ending === 'repeated' ? 'accept' : 'reject'
}
