import type { Delivery } from '../adapter/contract.ts'
import type { LinkStats } from '../telemetry/stats.ts'

/** When a batch came in: by `performance.now()`, and in milliseconds since the epoch. */
export interface Moment {
  readonly ms: number
  readonly at: number
}

/** What a route made of a message in the end; `stored` is an end for its source. */
export type RouteResult = 'stored' | 'delivered' | 'filtered' | 'dead_lettered' | 'released'

/**
 * A received message until every route that wanted it is done; only then its source hears of it. One release gives it
 * back whole: its source will hand it over again, and a route that was done gets a duplicate rather than one a loss.
 */
export class Receipt {
  readonly delivery: Delivery
  /** False where a route keeps it in memory alone: what its source wants kept with the message must not be kept either. */
  isStoredByAll = true
  /** Of `performance.now()`. */
  readonly receivedMs: number
  /** Milliseconds since the epoch. */
  readonly receivedAt: number
  readonly #link: LinkStats
  #routesLeft: number
  #isReleased = false
  #isWanted = false

  constructor(delivery: Delivery, routes: number, { ms, at }: Moment, link: LinkStats) {
    this.delivery = delivery
    this.receivedMs = ms
    this.receivedAt = at
    this.#routesLeft = routes
    this.#link = link
  }

  end(result: RouteResult): void {
    if (result === 'released') this.#isReleased = true
    else if (result !== 'dead_lettered') this.#isWanted = true
    this.#routesLeft -= 1
    if (this.#routesLeft > 0) return
    this.#link.settled += 1
    this.delivery.settle(this.#isReleased ? 'release' : this.#isWanted ? 'accept' : 'reject')
  }
}
