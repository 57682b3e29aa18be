import type { Delivery, Settlement } from '../../src/adapter/contract.ts'
import type { Envelope } from '../../src/envelope/envelope.ts'

/** What a delivery tells the session it came from. */
export interface Settling {
  settled(delivery: KafkaDelivery, settlement: Settlement): void
}

export class KafkaDelivery implements Delivery {
  readonly envelope: Envelope
  readonly address: string
  /** Lets the partition's confirmed prefix grow. */
  readonly confirm: () => void
  readonly #session: Settling
  #isSettled = false

  constructor(envelope: Envelope, address: string, confirm: () => void, session: Settling) {
    this.envelope = envelope
    this.address = address
    this.confirm = confirm
    this.#session = session
  }

  settle(settlement: Settlement): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#session.settled(this, settlement)
  }

  /** The same message once more, to be settled anew. */
  again(): KafkaDelivery {
    return new KafkaDelivery(this.envelope, this.address, this.confirm, this.#session)
  }
}
