import type { Log } from '../../adapter/contract.ts'
import type { GatewayError } from '../../errors.ts'
import type { DeadLetter, DeadLetterReason, DeadLetterStore } from '../../store/contract.ts'
import type { Message, Place } from '../message.ts'
import { reasonOf } from './dead-letter.ts'
import type { DeadLetterForwarder } from './forwarder.ts'
import { Obituary } from './obituary.ts'

/** A message that failed for good, and where. */
export interface Dead {
  readonly message: Pick<Message, 'envelope' | 'params' | 'receivedAt' | 'requeues'>
  readonly error: GatewayError
  readonly place: Place
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
   * Takes over a message that its source still holds; one of its targets has ended when the letter is on disk. Where the dead
   * letters have no room, the source goes on waiting.
   */
  take(message: Message, error: GatewayError, place: Place): void {
    const reason = reasonOf(error)
    this.bury(
      { message, error, place },
      {
        safe: () => message.targetEnded(reason, performance.now()),
        released: () => message.targetEnded('released', performance.now()),
        held() {
          message.envelope.ownBytes()
          message.waits()
        },
      },
    )
  }

  /** Hands the letter to the store. */
  bury({ message, error, place }: Dead, { admitted, safe, ...burial }: Burial): void {
    const { envelope, params, receivedAt, requeues } = message
    const reason = reasonOf(error)
    const letter: DeadLetter = {
      ...place,
      envelope,
      params,
      requeues,
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
