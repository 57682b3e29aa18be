import type { Log, Outbound, Outcome } from '../adapter/contract.ts'
import type { Envelope } from '../envelope/envelope.ts'
import { type GatewayError, RetryableError } from '../errors.ts'
import type { TargetStats } from '../telemetry/stats.ts'
import type { DestinationLimit } from './destination-limit.ts'
import type { Dispatcher } from './dispatcher.ts'
import { hopsOf } from './hops.ts'
import type { Message, RouteParcel, Target } from './message.ts'
import { Parcel, type ParcelOwner } from './parcel.ts'
import { WaitingNotice } from './waiting-notice.ts'

/** One target of one route: counts what becomes of its parcels, tells the log, and whoever holds the message. */
export class Outlet implements Target {
  readonly id: string
  readonly index: number
  readonly bit: number
  readonly order: 'key' | 'none'
  readonly retry: ParcelOwner['retry']
  readonly limit: DestinationLimit | undefined
  readonly dispatcher: Dispatcher
  readonly #gatewayId: string
  readonly #stats: TargetStats
  readonly #addressOf: (target: unknown) => string
  readonly #waiting: WaitingNotice

  constructor(parts: {
    id: string
    index: number
    bit: number
    order: 'key' | 'none'
    retry: ParcelOwner['retry']
    limit?: DestinationLimit | undefined
    dispatcher: Dispatcher
    gatewayId: string
    stats: TargetStats
    /** `kafka://events/telemetry` for logs and dead letters. */
    addressOf: (target: unknown) => string
    log: Log
  }) {
    this.id = parts.id
    this.index = parts.index
    this.bit = parts.bit
    this.order = parts.order
    this.retry = parts.retry
    this.limit = parts.limit
    this.dispatcher = parts.dispatcher
    this.#gatewayId = parts.gatewayId
    this.#stats = parts.stats
    this.#addressOf = parts.addressOf
    this.#waiting = new WaitingNotice(parts)
  }

  /** The message for this target. */
  parcelOf(message: Message, outbound: Outbound): RouteParcel {
    outbound.hops = hopsOf(message.envelope, this.#gatewayId)
    return new Parcel<Message, Target>(this, outbound, message)
  }

  confirmed(parcel: RouteParcel, nowMs: number, reply?: Envelope): void {
    this.sent('delivered')
    this.#stats.duration.observeMs(nowMs - parcel.message.receivedMs)
    this.#waiting.ended(parcel, true)
    parcel.message.custody.confirmed(parcel, nowMs, reply)
  }

  /** Of an outage the connection speaks; a destination that is missing, closed or full shows nowhere else. */
  retried(parcel: RouteParcel, error: GatewayError, delayMs: number | undefined): void {
    this.sent('retryable')
    parcel.message.custody.retried(parcel, error, delayMs)
    if (error instanceof RetryableError && !error.isOutage) this.#waiting.say(parcel, error)
  }

  failed(parcel: RouteParcel, error: GatewayError): void {
    this.sent('rejected')
    this.#waiting.ended(parcel, false)
    const target = this.addressOf(parcel.outbound)
    parcel.message.custody.failed(parcel, error, { attempts: parcel.attempts, target, bit: this.bit })
  }

  /** `kafka://events/telemetry`. */
  addressOf({ target }: Outbound): string {
    return this.#addressOf(target)
  }

  waits({ outbound, message }: RouteParcel): void {
    outbound.envelope.ownBytes(message.envelope)
    message.waits()
  }

  released(parcel: RouteParcel): void {
    this.#waiting.ended(parcel, false)
    parcel.message.custody.released(parcel)
  }

  parked(parcel: RouteParcel): void {
    this.#waiting.ended(parcel, false)
    parcel.message.custody.parked?.(parcel)
  }

  shelved(parcel: RouteParcel): void {
    this.#waiting.ended(parcel, false)
    parcel.message.custody.shelved?.(parcel)
  }

  /** Mark: a message was sent, and this is the target's answer. */
  sent(answer: Outcome['kind']): void {
    const stats = this.#stats
    if (answer === 'retryable') stats.attemptsRetry += 1
    else if (answer === 'rejected') stats.attemptsFail += 1
    else {
      stats.attemptsOk += 1
      stats.delivered += 1
    }
  }
}
