import type { Delivery } from '../adapter/contract.ts'
import type { CompiledRoute, Decision } from '../routing/router.ts'
import type { Params } from '../routing/subject.ts'
import type { RouteStats } from '../telemetry/stats.ts'
import type { DeadLetterOffice } from './dead-letters/office.ts'
import { loopOf } from './hops.ts'
import type { Reader } from './intake.ts'
import { type Arrival, type Custody, Message } from './message.ts'

/** Of a message that failed before it came to any target. */
const noPlace = { attempts: 0, target: undefined, bit: undefined } as const

/** A running route: decides about a message, and gives it into the custody that its `acknowledge` has chosen. */
export class Route implements Reader {
  readonly compiled: CompiledRoute
  readonly stats: RouteStats
  readonly #custody: Custody
  readonly #deadLetters: DeadLetterOffice
  readonly #gatewayId: string

  constructor(parts: { compiled: CompiledRoute; custody: Custody; deadLetters: DeadLetterOffice; gatewayId: string }) {
    this.compiled = parts.compiled
    this.stats = parts.custody.stats
    this.#custody = parts.custody
    this.#deadLetters = parts.deadLetters
    this.#gatewayId = parts.gatewayId
  }

  /** Mark: a source has handed over a message that this route reads. */
  received(delivery: Delivery, params: Params, arrival: Arrival): void {
    const { envelope } = delivery
    this.stats.matched += 1
    this.stats.inFlight += 1
    const message = new Message(this.#custody, envelope, { params, arrival, source: delivery })
    const error = loopOf(envelope, this.#gatewayId)
    this.decided(message, error === undefined ? this.compiled.decide(message) : { kind: 'failed', error })
  }

  /** Mark: the rules have decided about it. What they refuse, its source holds until the dead letter is on disk. */
  decided(message: Message, decision: Decision): void {
    if (decision.kind === 'filtered') message.end('filtered', performance.now())
    else if (decision.kind === 'forward') {
      message.goesTo(decision.count)
      this.#custody.take(message, decision)
    } else {
      message.goesTo(1)
      this.#deadLetters.take(message, decision.error, noPlace)
    }
  }
}
