import type { Outbound } from '../../adapter/contract.ts'
import { type DeadLetterReason, type Finish, rankOf, type StoredMessage } from '../../store/contract.ts'
import { Parcel, type ParcelOwner } from '../parcel.ts'

type Lasting = 'id' | 'route' | 'bytes' | 'envelope' | 'params' | 'wanted' | 'receivedAt' | 'requeues'

/** A message that is in the store, as long as memory has it too; its envelope as received. */
export interface Resident extends Pick<StoredMessage, Lasting> {
  /** True when the store has attempts of it. */
  readonly hasAttempts: boolean
}

/** What is left of a message when the store has let go of it. */
export type Ended = Pick<Resident, 'id' | 'receivedAt'>

/** The outlet of a stored parcel. */
export interface StoredParcelOwner extends ParcelOwner {
  /** Its target's bit. */
  readonly bit: number
  /** The store has let go of the message. */
  ended(message: Ended, dead: DeadLetterReason | undefined): void
}

/** A message of the store on its way to one target. */
export class StoredParcel extends Parcel {
  override readonly owner: StoredParcelOwner
  readonly message: Resident
  readonly sizeBytes: number
  hasAttempts: boolean
  /** It was refused for now, and waits for its time. */
  isRefused = false

  constructor(owner: StoredParcelOwner, outbound: Outbound, receivedMs: number, message: Resident) {
    super(owner, outbound, receivedMs, undefined)
    this.owner = owner
    this.message = message
    this.rank = rankOf(message.id)
    // another target's may have been noted meanwhile
    this.hasAttempts = message.hasAttempts || message.wanted !== owner.bit
    const { envelope } = message
    this.sizeBytes = envelope.sizeBytes + (outbound.envelope === envelope ? 0 : outbound.envelope.sizeBytes)
  }

  get id(): number {
    return this.message.id
  }

  /** Its target has it. */
  delivered(): Finish {
    return new Delivered(this)
  }
}

/** What the store is told of a message that has arrived: until that is on disk, the message itself need not stay in memory. */
class Delivered implements Finish {
  readonly id: number
  readonly route: number
  readonly bytes: number
  readonly wanted: number
  readonly bits: number
  readonly hasAttempts: boolean
  readonly receivedAt: number
  readonly #owner: StoredParcelOwner

  constructor({ message, owner, hasAttempts }: StoredParcel) {
    this.id = message.id
    this.route = message.route
    this.bytes = message.bytes
    this.wanted = message.wanted
    this.bits = owner.bit
    this.hasAttempts = hasAttempts
    this.receivedAt = message.receivedAt
    this.#owner = owner
  }

  ended(dead: DeadLetterReason | undefined): void {
    this.#owner.ended(this, dead)
  }
}
