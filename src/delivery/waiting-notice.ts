import type { Log } from '../adapter/contract.ts'
import type { GatewayError } from '../errors.ts'
import type { TargetStats } from '../telemetry/stats.ts'
import type { Parcel } from './parcel.ts'
import { Reminder } from './reminder.ts'

/** Most destinations that are named at a time; a template may make any number of them. */
const maxNamed = 20

/** Says which of a target's destinations take no messages for now: one that is missing, closed or full shows nowhere else. */
export class WaitingNotice {
  readonly #addressOf: (target: unknown) => string
  readonly #log: Log
  readonly #blocked: TargetStats['blocked']
  readonly #reminder = new Reminder()
  /** Blocked ones of which the log speaks. */
  readonly #said = new Set<string>()

  constructor(parts: { addressOf: (target: unknown) => string; log: Log; stats: TargetStats }) {
    this.#addressOf = parts.addressOf
    this.#log = parts.log
    this.#blocked = parts.stats.blocked
  }

  say(parcel: Parcel, { code, message }: GatewayError): void {
    const target = this.#addressOf(parcel.outbound.target)
    const since = this.#blocked.get(target)?.since ?? Date.now()
    if (this.#blocked.has(target) || this.#blocked.size < maxNamed) this.#blocked.set(target, { code, message, since })
    if (!this.#reminder.isDue(target)) return
    this.#said.add(target)
    this.#log.warn(`messages for ${target} wait: ${message}; trying again`, { target, code })
  }

  /** One of its messages has arrived. */
  arrived(parcel: Parcel): void {
    if (this.#blocked.size === 0 && this.#said.size === 0) return
    const target = this.#addressOf(parcel.outbound.target)
    this.#blocked.delete(target)
    if (this.#said.delete(target)) this.#log.info(`messages for ${target} arrive again`, { target })
  }

  /** One of its messages waits no more; another one that does will say so. */
  gaveUp(parcel: Parcel): void {
    if (this.#blocked.size > 0) this.#blocked.delete(this.#addressOf(parcel.outbound.target))
  }
}
