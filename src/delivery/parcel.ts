import type { Outbound } from '../adapter/contract.ts'
import type { Envelope } from '../envelope/envelope.ts'
import { ownBytes } from '../envelope/own-bytes.ts'
import type { GatewayError } from '../errors.ts'
import type { DestinationLimit } from './destination-limit.ts'

/** What a parcel brings: a message of a route, or a dead letter. */
export interface Content {
  /** In the store; 0 where it is not there. */
  readonly id: number
  /** As received. */
  readonly envelope: Envelope
}

/** Who a parcel belongs to: one target of one route, or the way of the dead letters. */
export interface ParcelOwner {
  /** Distinguishes its lanes from those of other owners on the same sink. */
  readonly id: string
  readonly order: 'key' | 'none'
  readonly retry: { readonly attempts: number; readonly delayMs: number; readonly maxDelayMs: number }
  /** How many destinations its messages may have; undefined: any number. */
  readonly limit?: DestinationLimit | undefined
  /** The target confirmed it. */
  confirmed(parcel: Parcel, nowMs: number, reply?: Envelope): void
  /** It will be sent again, after `delayMs`; undefined: when the target is back. Counted here, decided by the dispatcher. */
  retried(parcel: Parcel, error: GatewayError, delayMs: number | undefined): void
  /** It will not be sent again: refused for good, expired, or its attempts are used up. */
  failed(parcel: Parcel, error: GatewayError): void
  /** The gateway stops before it could be sent. */
  released(parcel: Parcel): void
  /** The target is away for now: the dispatcher forgets the parcel, which `isKept`. */
  parked?(parcel: Parcel): void
  /** One before it in its lane is refused for now: the dispatcher forgets the parcel, which `isKept`. */
  shelved?(parcel: Parcel): void
  /** It is not about to leave: the bytes of the message are to be its own, see `Envelope.ownBytes`. */
  waits?(parcel: Parcel): void
}

/** One message on its way to one target. */
export class Parcel<What extends Content = Content, Owner extends ParcelOwner = ParcelOwner> {
  readonly owner: Owner
  readonly outbound: Outbound
  readonly message: What
  /** Its message is read again from the store when there is need: the dispatcher may forget it while it has to wait. */
  isKept = false
  /** Place in the dispatcher's order. */
  seq = 0
  /** Higher ones leave first; never above that of an earlier parcel of its lane. */
  rank = 0
  /** Milliseconds since the epoch: not to be sent before. Of no account where its lane waits already. */
  dueAt = 0
  /** Sends that the target answered: what `retry.attempts` limits. */
  attempts = 0
  /** Failed sends of any kind: what the back-off grows with. */
  failures = 0
  /** Of one that is kept: it was refused for now, and waits for its time. */
  isRefused = false
  #lane: string | undefined
  #isWaiting = false

  constructor(owner: Owner, outbound: Outbound, message: What) {
    this.owner = owner
    this.outbound = outbound
    this.message = message
  }

  /** What it holds in memory. */
  get sizeBytes(): number {
    const { envelope } = this.message
    return envelope.sizeBytes + (this.outbound.envelope === envelope ? 0 : this.outbound.envelope.sizeBytes)
  }

  /** True when other messages share its lane. */
  get isKeyed(): boolean {
    return this.owner.order === 'key' && this.#key !== undefined
  }

  /** The lane's name, made only when a lane is held; without a key a message is its own lane. Of a lane all are kept, or none. */
  get lane(): string {
    if (!this.isKeyed) return `#${this.seq}` // not kept: it may be asked for before the dispatcher has given it a place
    this.#lane ??= `${this.owner.id}${this.isKept ? '/kept' : ''} ${this.#key}`
    return this.#lane
  }

  /** To be called where it is not about to leave: what it holds in memory is then no more than its size. */
  waits(): void {
    if (this.#isWaiting) return
    this.#isWaiting = true
    this.owner.waits?.(this)
    const target = this.outbound.target as { key?: string | Uint8Array } | undefined
    if (target?.key instanceof Uint8Array) target.key = ownBytes(target.key)
  }

  get #key(): string | undefined {
    const key = laneKeyOf(this.outbound)
    return key === undefined || typeof key === 'string' ? key : Buffer.from(key).toString('latin1')
  }
}

/** Higher ranks first; within a rank as they came. */
export const byPlace = (a: Parcel, b: Parcel): number => b.rank - a.rank || a.seq - b.seq

/** What orders a message for its target: the target's own `key` (the same word in every protocol), else the message's. */
export function laneKeyOf({ target, envelope }: Outbound): string | Uint8Array | undefined {
  return (target as { key?: string | Uint8Array } | undefined)?.key ?? envelope.key
}

/** True when the message's time to live is over at `nowEpochMs`. */
export function isExpired(parcel: Parcel, nowEpochMs: number): boolean {
  const { ttlMs, timestamp } = parcel.outbound.envelope
  return ttlMs !== undefined && Date.parse(timestamp) + ttlMs <= nowEpochMs
}

/** True for a request that nobody waits for any more. */
export const isOver = ({ outbound }: Parcel): boolean => outbound.ask?.isOver === true
