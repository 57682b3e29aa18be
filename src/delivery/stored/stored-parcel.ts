import type { Outbound } from '../../adapter/contract.ts'
import { type DeadLetterReason, type Finish, rankOf, type StoredMessage } from '../../store/contract.ts'
import { Parcel, type ParcelOwner } from '../parcel.ts'

type Lasting = 'id' | 'route' | 'bytes' | 'envelope' | 'params' | 'wanted' | 'receivedAt' | 'requeues'

/** A message that is in the store, as long as memory has it too; its envelope as received. */
export interface Resident extends Pick<StoredMessage, Lasting> {
  /** True when the store has attempts of it. */
  readonly hasAttempts: boolean
}

/** The outlet of a stored parcel. */
export interface StoredParcelOwner extends ParcelOwner {
  /** Its target's bit. */
  readonly bit: number
  /** The store has let go of the message. */
  ended(message: Resident, dead: DeadLetterReason | undefined): void
}

/** A message of the store on its way to one target; in the end it tells the store so itself, to save an object. */
export class StoredParcel extends Parcel implements Finish {
  override readonly owner: StoredParcelOwner
  readonly message: Resident
  readonly sizeBytes: number
  hasAttempts: boolean
  dead: DeadLetterReason | undefined

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

  get route(): number {
    return this.message.route
  }

  get bytes(): number {
    return this.message.bytes
  }

  get wanted(): number {
    return this.message.wanted
  }

  get bits(): number {
    return this.owner.bit
  }

  ended(dead: DeadLetterReason | undefined): void {
    this.owner.ended(this.message, dead)
  }
}
