import type { Log, Outbound } from '../adapter/contract.ts'
import type { Envelope } from '../envelope/envelope.ts'
import { type GatewayError, messageOf, RetryableError } from '../errors.ts'
import type { Params } from '../routing/subject.ts'
import type { DeadLetter, DeadLetters } from '../store/dead-letters.ts'
import { deadLetterEnvelope, reasonOf } from './dead-letter.ts'
import type { Dispatcher } from './dispatcher.ts'
import { Parcel, type ParcelOwner } from './parcel.ts'
import { Reminder } from './reminder.ts'
import type { Transit } from './transit.ts'

/** A route's own place for dead letters: a target like any other. */
export interface DeadLetterTarget {
  readonly dispatcher: Dispatcher
  /** `params` are those of the message that failed. Throws PermanentError where a template cannot be filled in. */
  outbound(envelope: Envelope, params: Params): Outbound
}

/** Milliseconds between two tries to write a dead letter to a disk that refuses it. */
const diskRetryMs = 1_000

interface Case {
  readonly transit: Transit
  readonly letter: DeadLetter
}

/**
 * Where the messages of one route end that can never be delivered. A message is settled only after its letter is safe:
 * confirmed by the route's dead letter target, or, where there is none or it refuses the letter, on this disk.
 */
export class DeadLetterOffice implements ParcelOwner {
  readonly id: string
  readonly order = 'none'
  /** A dead letter is never given up because its target is slow to take it. */
  readonly retry = { attempts: Number.POSITIVE_INFINITY, delayMs: 200, maxDelayMs: 30_000 }
  readonly #route: string
  readonly #target: DeadLetterTarget | undefined
  readonly #store: DeadLetters
  readonly #log: Log
  readonly #waiting = new Reminder()
  #isStopped = false

  constructor(parts: { route: string; target: DeadLetterTarget | undefined; store: DeadLetters; log: Log }) {
    this.id = `${parts.route}/dead-letter`
    this.#route = parts.route
    this.#target = parts.target
    this.#store = parts.store
    this.#log = parts.log
  }

  /** Takes over a message that failed for good; ends its transit when the letter is safe. */
  take(transit: Transit, error: GatewayError, at: { attempts: number; target: string | undefined }): void {
    const envelope = transit.receipt.delivery.envelope
    const nowEpochMs = Date.now()
    const letter: DeadLetter = {
      envelope,
      reason: reasonOf(error),
      error,
      attempts: at.attempts,
      route: this.#route,
      target: at.target,
      firstAt: nowEpochMs - Math.round(performance.now() - transit.receipt.receivedMs),
      lastAt: nowEpochMs,
    }
    this.#log.warn(`dead letter on route ${this.#route}: ${error.message}`, {
      route: this.#route,
      reason: letter.reason,
      code: error.code,
      messageId: envelope.messageId,
      source: envelope.source,
      ...(at.target === undefined ? {} : { target: at.target }),
    })
    this.#send({ transit, letter })
  }

  confirmed(parcel: Parcel, nowMs: number): void {
    const { transit, letter } = parcel.context as Case
    transit.deadLettered(letter.reason, nowMs)
  }

  /** Said once a minute: a dead letter is never given up, so that a target that is missing would hold its message unseen. */
  retried(_: Parcel, error: GatewayError): void {
    if (error instanceof RetryableError && error.isOutage) return // of that the connection speaks
    if (!this.#waiting.isDue(this.id)) return
    const fields = { route: this.#route, code: error.code }
    this.#log.warn(
      `dead letters of route ${this.#route} wait, and their messages: ${error.message}; trying again`,
      fields,
    )
  }

  failed(parcel: Parcel, error: GatewayError): void {
    this.#log.error(`the dead letter target of route ${this.#route} refused a letter, it is kept on disk instead`, {
      route: this.#route,
      error: error.message,
    })
    this.#keep(parcel.context as Case)
  }

  released(parcel: Parcel): void {
    ;(parcel.context as Case).transit.released(performance.now())
  }

  /** The gateway stops: what cannot be kept now goes back to its source. */
  stop(): void {
    this.#isStopped = true
  }

  #send(dead: Case): void {
    if (this.#target === undefined) return this.#keep(dead)
    try {
      const outbound = this.#target.outbound(deadLetterEnvelope(dead.letter), dead.transit.params)
      this.#target.dispatcher.add(new Parcel(this, outbound, dead.transit.receipt.receivedMs, dead))
    } catch (error) {
      this.#log.error(`the dead letter target of route ${this.#route} cannot be filled in, kept on disk instead`, {
        route: this.#route,
        error: messageOf(error),
      })
      this.#keep(dead)
    }
  }

  #keep(dead: Case): void {
    this.#store.add(dead.letter).then(
      () => dead.transit.deadLettered(dead.letter.reason, performance.now()),
      (error: unknown) => this.#keepLater(dead, error),
    )
  }

  #keepLater(dead: Case, error: unknown): void {
    if (this.#isStopped) return dead.transit.released(performance.now())
    this.#log.error('a dead letter cannot be written, its message waits', { error: messageOf(error) })
    setTimeout(() => this.#keep(dead), diskRetryMs)
  }
}
