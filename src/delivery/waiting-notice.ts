import type { Log } from '../adapter/contract.ts'
import type { GatewayError } from '../errors.ts'
import type { Parcel } from './parcel.ts'
import { Reminder } from './reminder.ts'

/** Says which of a target's destinations takes no messages for now: one that is missing, closed or full shows nowhere else. */
export class WaitingNotice {
  readonly #addressOf: (target: unknown) => string
  readonly #log: Log
  readonly #reminder = new Reminder()

  constructor({ addressOf, log }: { addressOf: (target: unknown) => string; log: Log }) {
    this.#addressOf = addressOf
    this.#log = log
  }

  say(parcel: Parcel, error: GatewayError): void {
    const target = this.#addressOf(parcel.outbound.target)
    if (!this.#reminder.isDue(target)) return
    this.#log.warn(`messages for ${target} wait: ${error.message}; trying again`, { target, code: error.code })
  }
}
