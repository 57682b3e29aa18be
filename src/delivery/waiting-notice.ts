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
  /** Refused for now, and where they go: a destination is blocked as long as one of its messages is here. */
  readonly #stuck = new Map<Parcel, string>()
  readonly #countOf = new Map<string, number>()
  /** Blocked ones of which the log speaks. */
  readonly #said = new Set<string>()

  constructor(parts: { addressOf: (target: unknown) => string; log: Log; stats: TargetStats }) {
    this.#addressOf = parts.addressOf
    this.#log = parts.log
    this.#blocked = parts.stats.blocked
  }

  say(parcel: Parcel, { code, message }: GatewayError): void {
    const target = this.#stuck.get(parcel) ?? this.#addressOf(parcel.outbound.target)
    if (!this.#stuck.has(parcel)) {
      this.#stuck.set(parcel, target)
      this.#countOf.set(target, (this.#countOf.get(target) ?? 0) + 1)
    }
    const since = this.#blocked.get(target)?.since ?? Date.now()
    if (this.#blocked.has(target) || this.#blocked.size < maxNamed) this.#blocked.set(target, { code, message, since })
    if (!this.#reminder.isDue(target)) return
    this.#said.add(target)
    this.#log.warn(`messages for ${target} wait: ${message}; trying again`, { target, code })
  }

  /** It has arrived, or it waits here no more for another reason. */
  ended(parcel: Parcel, hasArrived: boolean): void {
    if (this.#stuck.size === 0) return
    const target = this.#stuck.get(parcel)
    if (target === undefined) return
    this.#stuck.delete(parcel)
    const left = (this.#countOf.get(target) ?? 0) - 1
    if (left > 0) return void this.#countOf.set(target, left)
    this.#countOf.delete(target)
    this.#blocked.delete(target)
    if (this.#said.delete(target) && hasArrived) this.#log.info(`messages for ${target} arrive again`, { target })
  }
}
