import { type Delivery, type Outcome, type Reply, rejected, type Settlement } from '../adapter/contract.ts'
import type { Envelope } from '../envelope/envelope.ts'
import { PermanentError } from '../errors.ts'
import type { LinkStats } from '../telemetry/stats.ts'

/**
 * A received message that several routes want: its source hears of it when the last is done. One release gives it back
 * whole: its source will hand it over again, and a route that was done gets a duplicate rather than one a loss.
 */
export class SharedDelivery implements Delivery {
  readonly envelope: Envelope
  readonly address: string
  /** None where a route keeps the message in memory alone: it must not be on disk then either. */
  readonly keep: Delivery['keep']
  readonly #delivery: Delivery
  readonly #link: LinkStats
  #routesLeft: number
  #settlement: Settlement = 'reject'
  #isAnswered = false

  constructor(delivery: Delivery, parts: { routes: number; isStoredByAll: boolean; link: LinkStats }) {
    this.envelope = delivery.envelope
    this.address = delivery.address
    this.keep = parts.isStoredByAll ? delivery.keep : undefined
    this.#delivery = delivery
    this.#link = parts.link
    this.#routesLeft = parts.routes
  }

  /** Of several routes that answer it, the asker hears the first. */
  get answer(): Delivery['answer'] {
    const delivery = this.#delivery
    return delivery.answer === undefined ? undefined : (reply) => this.#answerOnce(reply)
  }

  get isPatient(): boolean | undefined {
    return this.#delivery.isPatient
  }

  waits(): void {
    this.#delivery.waits?.()
  }

  async #answerOnce(reply: Reply): Promise<Outcome> {
    const outcome = this.#isAnswered ? undefined : this.#delivery.answer?.(reply)
    if (outcome === undefined) return rejected(new PermanentError('REPLY_UNEXPECTED', 'another route has answered it'))
    this.#isAnswered = true
    this.#isAnswered = (await outcome).kind === 'delivered'
    return outcome
  }

  settle(settlement: Settlement): void {
    if (settlement === 'release' || this.#settlement === 'reject') this.#settlement = settlement
    this.#routesLeft -= 1
    if (this.#routesLeft > 0) return
    this.#link.settled += 1
    this.#delivery.settle(this.#settlement)
  }
}
