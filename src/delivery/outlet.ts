import type { Log } from '../adapter/contract.ts'
import { type GatewayError, RetryableError } from '../errors.ts'
import type { TargetStats } from '../telemetry/stats.ts'
import type { DeadLetterOffice } from './dead-letters/office.ts'
import type { DestinationLimit } from './destination-limit.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Parcel, ParcelOwner } from './parcel.ts'
import type { Transit } from './transit.ts'
import { WaitingNotice } from './waiting-notice.ts'

/** One target of one route: owns its parcels, and tells their transits what became of them. */
export class Outlet implements ParcelOwner {
  readonly id: string
  readonly order: 'key' | 'none'
  readonly retry: ParcelOwner['retry']
  readonly limit: DestinationLimit | undefined
  readonly dispatcher: Dispatcher
  readonly #bit: number
  readonly #stats: TargetStats
  readonly #deadLetters: DeadLetterOffice
  readonly #addressOf: (target: unknown) => string
  readonly #waiting: WaitingNotice

  constructor(parts: {
    id: string
    order: 'key' | 'none'
    retry: ParcelOwner['retry']
    limit?: DestinationLimit | undefined
    dispatcher: Dispatcher
    /** The target's bit in the store. */
    bit: number
    stats: TargetStats
    deadLetters: DeadLetterOffice
    /** `kafka://events/telemetry` for logs and dead letters. */
    addressOf: (target: unknown) => string
    log: Log
  }) {
    this.id = parts.id
    this.order = parts.order
    this.retry = parts.retry
    this.limit = parts.limit
    this.dispatcher = parts.dispatcher
    this.#bit = parts.bit
    this.#stats = parts.stats
    this.#deadLetters = parts.deadLetters
    this.#addressOf = parts.addressOf
    this.#waiting = new WaitingNotice(parts)
  }

  confirmed(parcel: Parcel, nowMs: number): void {
    this.#stats.delivered += 1
    this.#stats.attemptsOk += 1
    this.#stats.duration.observeMs(nowMs - parcel.receivedMs)
    this.#waiting.ended(parcel, true)
    transitOf(parcel).confirmed(nowMs)
  }

  /** Of an outage the connection speaks; a destination that is missing, closed or full shows nowhere else. */
  retried(parcel: Parcel, error: GatewayError): void {
    this.#stats.attemptsRetry += 1
    if (error instanceof RetryableError && !error.isOutage) this.#waiting.say(parcel, error)
  }

  failed(parcel: Parcel, error: GatewayError): void {
    this.#stats.attemptsFail += 1
    this.#waiting.ended(parcel, false)
    const target = this.#addressOf(parcel.outbound.target)
    this.#deadLetters.take(transitOf(parcel), error, { attempts: parcel.attempts, target, bit: this.#bit })
  }

  waits(parcel: Parcel): void {
    const { delivery } = transitOf(parcel).receipt
    parcel.outbound.envelope.ownBytes(delivery.envelope)
    delivery.waits?.()
  }

  released(parcel: Parcel): void {
    this.#waiting.ended(parcel, false)
    transitOf(parcel).released(performance.now())
  }
}

const transitOf = (parcel: Parcel): Transit => parcel.context as Transit
