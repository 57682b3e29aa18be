import type { Log, Outbound } from '../../adapter/contract.ts'
import { type GatewayError, PermanentError, RetryableError } from '../../errors.ts'
import { failpoint } from '../../failpoint.ts'
import type { Attempts, DeadLetterReason, Finish, Outbox, StoredMessage } from '../../store/contract.ts'
import type { TargetStats } from '../../telemetry/stats.ts'
import type { Burial, Dead, DeadLetterOffice } from '../dead-letters/office.ts'
import type { DestinationLimit } from '../destination-limit.ts'
import type { Dispatcher } from '../dispatcher.ts'
import type { Parcel, ParcelOwner } from '../parcel.ts'
import { WaitingNotice } from '../waiting-notice.ts'
import { Feed, type Offered } from './feed.ts'
import { type Residence, Room } from './residence.ts'
import type { Starts } from './starts.ts'
import { type Ended, type Resident, StoredParcel, type StoredParcelOwner } from './stored-parcel.ts'

/** The route that a message in the store belongs to. */
export interface StoredRouteEnd {
  readonly starts: Starts
  /** What the rules make of a message that is read back, for one of its targets; undefined: it does not go there. */
  outboundAgain(message: StoredMessage, index: number): Outbound | undefined
  /** The store has let go of it. */
  ended(message: Ended, dead: DeadLetterReason | undefined, isDropped: boolean): void
}

/** One target of one route, fed from the store: what became of a message is written there. */
export class StoredOutlet implements StoredParcelOwner {
  readonly id: string
  readonly order: 'key' | 'none'
  readonly retry: ParcelOwner['retry']
  readonly limit: DestinationLimit | undefined
  readonly feed: Feed
  readonly bit: number
  readonly #index: number
  readonly #outbox: Outbox
  readonly #room: Room
  readonly #route: StoredRouteEnd
  readonly #stats: TargetStats
  readonly #deadLetters: DeadLetterOffice
  readonly #addressOf: (target: unknown) => string
  readonly #waiting: WaitingNotice

  constructor(parts: {
    id: string
    order: 'key' | 'none'
    retry: ParcelOwner['retry']
    limit?: DestinationLimit | undefined
    /** The target's place in the route's `to`. */
    index: number
    bit: number
    /** The route's number in the store. */
    number: number
    outbox: Outbox
    flushed: () => Promise<void>
    residence: Residence
    dispatcher: Dispatcher
    route: StoredRouteEnd
    stats: TargetStats
    deadLetters: DeadLetterOffice
    addressOf: (target: unknown) => string
    log: Log
  }) {
    this.id = `${parts.id}/stored`
    this.order = parts.order
    this.retry = parts.retry
    this.limit = parts.limit
    this.bit = parts.bit
    this.#index = parts.index
    this.#outbox = parts.outbox
    this.#room = new Room(parts.residence)
    this.#route = parts.route
    this.#stats = parts.stats
    this.#deadLetters = parts.deadLetters
    this.#addressOf = parts.addressOf
    this.#waiting = new WaitingNotice(parts)
    const { outbox, number: route, bit, dispatcher, flushed } = parts
    const { starts } = parts.route
    this.feed = new Feed({ outbox, route, bit, dispatcher, room: this.#room, owner: this, starts, flushed })
  }

  /** True while messages of it are in memory, on their way. */
  get isBusy(): boolean {
    return !this.#room.isEmpty
  }

  /** A message that has just been stored, see `Feed.offer`. */
  offer(message: Resident & Offered, outbound: Outbound, receivedMs: number): void {
    this.feed.offer(new StoredParcel(this, outbound, receivedMs, message), message)
  }

  readBack(row: StoredMessage): boolean {
    const outbound = this.#route.outboundAgain(row, this.#index)
    return outbound !== undefined && this.feed.handOut(this.#parcelOf(row, outbound))
  }

  /** It waits on disk and is not to wait any longer; `outlets` are all those that this is for. */
  setAside(row: StoredMessage, error: PermanentError, outlets: readonly StoredOutlet[] = [this]): void {
    const feeds = outlets.map(({ feed }) => feed)
    const bits = outlets.reduce((all, { bit }) => all | bit, 0)
    const at = { attempts: 0, target: undefined, bit: bits === this.bit ? bits : undefined }
    for (const feed of feeds) feed.hold(row)
    this.#bury(row, error, at, {
      admitted: (dead) => {
        this.#finish(row, { bits, dead, hasAttempts: row.attempts !== undefined })
        for (const feed of feeds) feed.skip(row.id)
        for (const feed of feeds) feed.letGo(row)
      },
      released: () => {
        for (const feed of feeds) feed.letGo(row)
      },
    })
  }

  poisoned(row: StoredMessage): void {
    const error = new PermanentError(
      'MESSAGE_POISONOUS',
      `${row.starts} starts of the gateway ended while it was on its way`,
    )
    this.setAside(row, error)
  }

  confirmed(parcel: Parcel, nowMs: number): void {
    const stored = parcel as StoredParcel
    failpoint('send.confirmed')
    this.#stats.delivered += 1
    this.#stats.attemptsOk += 1
    this.#stats.duration.observeMs(nowMs - parcel.receivedMs)
    this.#waiting.ended(parcel, true)
    this.#outbox.finish(stored.delivered())
    this.feed.left(stored)
  }

  ended(message: Ended, dead: DeadLetterReason | undefined): void {
    this.#route.ended(message, dead, false)
  }

  /** Of an outage the connection speaks, and it counts as no attempt; all else outlives a restart. */
  retried(parcel: Parcel, error: GatewayError, delayMs: number | undefined): void {
    const stored = parcel as StoredParcel
    this.#stats.attemptsRetry += 1
    this.feed.answered(stored.message.id)
    if (delayMs === undefined) return
    stored.hasAttempts = true
    this.feed.refused(stored)
    const { attempts, failures } = parcel
    const notedAt = Date.now()
    this.#outbox.attempted(stored.message.id, this.bit, { attempts, failures, dueAt: notedAt + delayMs, notedAt })
    failpoint('attempt.noted')
    if (error instanceof RetryableError) this.#waiting.say(parcel, error)
  }

  failed(parcel: Parcel, error: GatewayError): void {
    const stored = parcel as StoredParcel
    this.#stats.attemptsFail += 1
    this.#waiting.ended(parcel, false)
    const at = { attempts: parcel.attempts, target: this.#addressOf(parcel.outbound.target), bit: this.bit }
    this.#bury(stored.message, error, at, {
      admitted: (dead) => {
        this.#finish(stored.message, { bits: this.bit, dead, hasAttempts: stored.hasAttempts })
        this.feed.left(stored)
      },
      held: () => stored.waits(),
      released: () => this.feed.released(stored),
    })
  }

  waits(parcel: Parcel): void {
    parcel.outbound.envelope.ownBytes((parcel as StoredParcel).message.envelope)
  }

  released(parcel: Parcel): void {
    this.#waiting.ended(parcel, false)
    this.feed.released(parcel as StoredParcel)
  }

  parked(parcel: Parcel): void {
    this.#waiting.ended(parcel, false)
    this.feed.parked(parcel as StoredParcel)
  }

  shelved(parcel: Parcel): void {
    this.#waiting.ended(parcel, false)
    this.feed.shelved(parcel as StoredParcel)
  }

  #parcelOf(row: StoredMessage, outbound: Outbound): StoredParcel {
    const receivedMs = performance.now() - Math.max(0, Date.now() - row.receivedAt)
    const attempts = row.attempts?.get(this.bit)
    const parcel = new StoredParcel(this, outbound, receivedMs, { ...row, hasAttempts: row.attempts !== undefined })
    parcel.attempts = attempts?.attempts ?? 0
    parcel.failures = attempts?.failures ?? 0
    if (attempts !== undefined) parcel.dueAt = dueAgain(attempts)
    return parcel
  }

  /** The message stays in the store, and here, until there is room for its letter. A letter for several targets names none. */
  #bury(
    { envelope, params, receivedAt, requeues }: Resident | StoredMessage,
    error: GatewayError,
    at: Pick<Dead, 'attempts' | 'target' | 'bit'>,
    burial: Burial,
  ): void {
    this.#deadLetters.bury({ envelope, params, receivedAt, requeues, error, ...at }, burial)
  }

  /** In one transaction with the letter. */
  #finish(message: Resident | StoredMessage, end: Pick<Finish, 'bits' | 'dead' | 'hasAttempts'>): void {
    const { id, route, bytes, wanted } = message
    const ended = (reason: DeadLetterReason | undefined) => this.#route.ended(message, reason, false)
    this.#outbox.finish({ id, route, bytes, wanted, ...end, ended })
  }
}

/** Milliseconds since the epoch. Where the clock has been set back meanwhile, the whole delay from now. */
function dueAgain({ dueAt, notedAt }: Attempts): number {
  const nowEpochMs = Date.now()
  return nowEpochMs < notedAt ? nowEpochMs + dueAt - notedAt : dueAt
}
