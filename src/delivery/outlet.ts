import type { GatewayError } from '../errors.ts'
import type { TargetStats } from '../telemetry/stats.ts'
import type { DeadLetterOffice } from './dead-letter-office.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Parcel, ParcelOwner } from './parcel.ts'
import type { Transit } from './transit.ts'

/** One target of one route: owns its parcels, and tells their transits what became of them. */
export class Outlet implements ParcelOwner {
  readonly id: string
  readonly order: 'key' | 'none'
  readonly retry: ParcelOwner['retry']
  readonly dispatcher: Dispatcher
  readonly #stats: TargetStats
  readonly #deadLetters: DeadLetterOffice
  readonly #addressOf: (target: unknown) => string

  constructor(parts: {
    id: string
    order: 'key' | 'none'
    retry: ParcelOwner['retry']
    dispatcher: Dispatcher
    stats: TargetStats
    deadLetters: DeadLetterOffice
    /** `kafka://events/telemetry` for logs and dead letters. */
    addressOf: (target: unknown) => string
  }) {
    this.id = parts.id
    this.order = parts.order
    this.retry = parts.retry
    this.dispatcher = parts.dispatcher
    this.#stats = parts.stats
    this.#deadLetters = parts.deadLetters
    this.#addressOf = parts.addressOf
  }

  confirmed(parcel: Parcel, nowMs: number): void {
    this.#stats.delivered += 1
    this.#stats.attemptsOk += 1
    this.#stats.duration.observeMs(nowMs - parcel.receivedMs)
    transitOf(parcel).confirmed(nowMs)
  }

  retried(_parcel: Parcel, _error: GatewayError): void {
    this.#stats.attemptsRetry += 1
  }

  failed(parcel: Parcel, error: GatewayError): void {
    this.#stats.attemptsFail += 1
    const target = this.#addressOf(parcel.outbound.target)
    this.#deadLetters.take(transitOf(parcel), error, { attempts: parcel.attempts, target })
  }

  released(parcel: Parcel): void {
    transitOf(parcel).released(performance.now())
  }
}

const transitOf = (parcel: Parcel): Transit => parcel.context as Transit
