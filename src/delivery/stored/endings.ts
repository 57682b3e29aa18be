import type { DeadLetterReason, Finish, Outbox } from '../../store/contract.ts'
import type { RouteStats } from '../../telemetry/stats.ts'
import { type Ending, ended, type RouteParcel } from '../message.ts'
import type { Starts } from './starts.ts'

/** What the store has to be told of a message when a target is done with it. */
export interface Waiting {
  readonly id: number
  readonly wanted: number
  readonly receivedAt: number
}

/** How targets are done with a message. */
interface End {
  readonly bits: number
  readonly dead?: DeadLetterReason
}

/** Tells the store which targets are done with a message of one route, and counts it when the store has let go of it. */
export class Endings {
  readonly route: number
  readonly #outbox: Outbox
  readonly #stats: RouteStats
  readonly #starts: Starts

  constructor(parts: { route: number; outbox: Outbox; stats: RouteStats; starts: Starts }) {
    this.route = parts.route
    this.#outbox = parts.outbox
    this.#stats = parts.stats
    this.#starts = parts.starts
  }

  /** Its target has it. */
  confirmed(parcel: RouteParcel): void {
    this.#outbox.finish(new Confirmed(this, parcel))
  }

  /** Where it is dead, handed over with its letter. */
  dead({ id, wanted, receivedAt }: Waiting, end: End): void {
    const told = (reason: DeadLetterReason | undefined) => this.ended({ id, receivedAt }, reason ?? 'delivered')
    this.#outbox.finish({ id, route: this.route, wanted, ...end, ended: told })
  }

  /** These targets are not to have it any more, and nobody misses it. */
  dropped({ id, wanted, receivedAt }: Waiting, end: End): void {
    const told = (reason: DeadLetterReason | undefined) => this.ended({ id, receivedAt }, reason ?? 'filtered')
    this.#outbox.finish({ id, route: this.route, wanted, ...end, ended: told })
  }

  /** The store has let go of it. */
  ended({ id, receivedAt }: Pick<Waiting, 'id' | 'receivedAt'>, ending: Ending): void {
    this.#stats.waiting -= 1
    this.#starts.forget(id)
    ended(this.#stats, ending, Math.max(0, Date.now() - receivedAt))
  }
}

/** Until the store has let go of a message that has arrived, this is in memory, and the message need not be. */
class Confirmed implements Finish {
  readonly id: number
  readonly route: number
  readonly wanted: number
  readonly bits: number
  readonly receivedAt: number
  readonly #endings: Endings

  constructor(endings: Endings, { message, owner }: RouteParcel) {
    this.id = message.id
    this.route = endings.route
    this.wanted = message.wanted
    this.bits = owner.bit
    this.receivedAt = message.receivedAt
    this.#endings = endings
  }

  ended(dead: DeadLetterReason | undefined): void {
    this.#endings.ended(this, dead ?? 'delivered')
  }
}
