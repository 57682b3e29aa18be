import type { Log } from '../../adapter/contract.ts'
import type { Envelope } from '../../envelope/envelope.ts'
import type { GatewayError } from '../../errors.ts'
import type { DeadLetter, DeadLetterReason, DeadLetterStore, Params } from '../../store/contract.ts'
import type { Transit } from '../transit.ts'
import { reasonOf } from './dead-letter.ts'
import type { DeadLetterForwarder } from './forwarder.ts'
import { Obituary } from './obituary.ts'

/** A message that failed for good, and where. */
export interface Dead {
  /** As received. */
  readonly envelope: Envelope
  readonly params: Params
  /** Milliseconds since the epoch. */
  readonly receivedAt: number
  readonly requeues: number
  readonly error: GatewayError
  /** Attempts that the target answered. */
  readonly attempts: number
  /** `kafka://events/telemetry`, and its bit; undefined where the message did not get as far. */
  readonly target: string | undefined
  readonly bit: number | undefined
}

/** What becomes of a letter, see `Burial` of the store. */
export interface Burial {
  /** The reason is what stands in the letter. */
  admitted?(reason: DeadLetterReason): void
  /** It is on disk. */
  safe?(): void
  held?(): void
  released?(): void
}

/**
 * Where the messages of one route end that can never be delivered: on this disk, and then also at the route's own dead
 * letter target. A message is settled only after its letter is on disk.
 */
export class DeadLetterOffice {
  readonly #route: string
  readonly #store: DeadLetterStore
  readonly #forwarder: DeadLetterForwarder | undefined
  readonly #obituary: Obituary

  constructor(parts: { route: string; store: DeadLetterStore; forwarder: DeadLetterForwarder | undefined; log: Log }) {
    this.#route = parts.route
    this.#store = parts.store
    this.#forwarder = parts.forwarder
    this.#obituary = new Obituary(parts.route, parts.log)
  }

  /**
   * Takes over a message whose source still waits; ends its transit when the letter is on disk. Where the dead letters have no
   * room, the source goes on waiting.
   */
  take(transit: Transit, error: GatewayError, at: Pick<Dead, 'attempts' | 'target' | 'bit'>): void {
    const { receipt, params } = transit
    const { receivedAt } = receipt
    const dead = { envelope: receipt.delivery.envelope, params, receivedAt, requeues: 0, error, ...at }
    const reason = reasonOf(error)
    this.bury(dead, {
      safe: () => transit.deadLettered(reason, performance.now()),
      released: () => transit.released(performance.now()),
      held() {
        receipt.delivery.envelope.ownBytes()
        receipt.delivery.waits?.()
      },
    })
  }

  /** Hands the letter to the store. */
  bury(dead: Dead, { admitted, safe, ...burial }: Burial): void {
    const { envelope, error, receivedAt, ...rest } = dead
    const reason = reasonOf(error)
    const letter: DeadLetter = {
      ...rest,
      envelope,
      reason,
      error,
      route: this.#route,
      firstAt: receivedAt,
      lastAt: Date.now(),
      toForward: this.#forwarder !== undefined,
    }
    this.#obituary.say(letter)
    const onDisk = () => {
      this.#forwarder?.wake()
      safe?.()
    }
    this.#store.add(letter, onDisk, { ...burial, admitted: () => admitted?.(reason) })
  }
}
