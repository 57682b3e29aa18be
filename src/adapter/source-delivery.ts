import type { Envelope } from '../envelope/envelope.ts'
import type { Budget } from './budget.ts'
import type { Delivery, Settlement } from './contract.ts'

/** Where a delivery is in flight. */
export interface Settling {
  settled(delivery: SourceDelivery, settlement: Settlement): void
}

/**
 * A message of a source, and the only object that is made for it: a protocol's subclass adds what it takes to settle it
 * with the peer.
 */
export class SourceDelivery implements Delivery {
  readonly envelope: Envelope
  readonly address: string
  /** What it takes of the budget. */
  readonly sizeBytes: number
  /** What it is taken from; undefined: the budget of its session. */
  budget: Budget | undefined = undefined
  /** Of the session alone; undefined until it is handed over, and once it is settled. */
  session: Settling | undefined = undefined

  constructor(envelope: Envelope, address: string, sizeBytes: number = envelope.sizeBytes) {
    this.envelope = envelope
    this.address = address
    this.sizeBytes = sizeBytes
  }

  settle(settlement: Settlement): void {
    const { session } = this
    this.session = undefined // once: whoever settles it again is not heard
    session?.settled(this, settlement)
  }

  /** The same message, to be settled anew; who held it before can settle it no more. */
  again(): this {
    return Object.assign(Object.create(Object.getPrototypeOf(this)), this) as this
  }
}
