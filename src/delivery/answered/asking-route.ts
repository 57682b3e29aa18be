import type { Delivery } from '../../adapter/contract.ts'
import { withRequestId } from '../../routing/request.ts'
import type { CompiledRoute, Decision } from '../../routing/router.ts'
import type { Params } from '../../routing/subject.ts'
import type { DeadLetterOffice } from '../dead-letters/office.ts'
import type { Arrival, Message } from '../message.ts'
import { Route } from '../route.ts'
import type { AnsweredCustody } from './answered-custody.ts'

/** A route that expects replies: its rules see `request.id`, and whoever asks hears where they let the request go nowhere. */
export class AskingRoute extends Route {
  readonly #custody: AnsweredCustody

  constructor(parts: {
    compiled: CompiledRoute
    custody: AnsweredCustody
    deadLetters: DeadLetterOffice
    gatewayId: string
  }) {
    super(parts)
    this.#custody = parts.custody
  }

  override received(delivery: Delivery, params: Params, arrival: Arrival): void {
    super.received(delivery, withRequestId(params, this.#custody.nextId()), arrival)
  }

  override decided(message: Message, decision: Decision): void {
    if (decision.kind === 'failed') this.#custody.refuse(message, decision.error)
    else if (decision.kind === 'filtered' && !message.isShared) this.#custody.filtered(message)
    else super.decided(message, decision)
  }
}
