import type { GatewayError } from '../errors.ts'
import type { Forwarding } from '../routing/router.ts'
import type { RouteStats } from '../telemetry/stats.ts'
import type { DeadLetterOffice } from './dead-letters/office.ts'
import type { Custody, Message, Place, RouteParcel } from './message.ts'
import type { Outlet } from './outlet.ts'

/** `acknowledge: delivered`: the source holds a message until every target has confirmed it, or its dead letter is on disk. */
export class SourceCustody implements Custody {
  readonly stats: RouteStats
  readonly #outlets: readonly Outlet[]
  readonly #deadLetters: DeadLetterOffice

  constructor(parts: { stats: RouteStats; outlets: readonly Outlet[]; deadLetters: DeadLetterOffice }) {
    this.stats = parts.stats
    this.#outlets = parts.outlets
    this.#deadLetters = parts.deadLetters
  }

  take(message: Message, { outbounds }: Forwarding): void {
    for (let index = 0; index < outbounds.length; index += 1) {
      const outbound = outbounds[index]
      if (outbound === undefined) continue
      const outlet = this.#outlets[index] as Outlet
      outlet.dispatcher.add(outlet.parcelOf(message, outbound))
    }
  }

  confirmed({ message }: RouteParcel, nowMs: number): void {
    message.targetEnded('delivered', nowMs)
  }

  retried(): void {}

  failed({ message }: RouteParcel, error: GatewayError, place: Place): void {
    this.#deadLetters.take(message, error, place)
  }

  released({ message }: RouteParcel): void {
    message.targetEnded('released', performance.now())
  }
}
