import type { Log, Outbound } from '../../adapter/contract.ts'
import { Summary } from '../../adapter/summary.ts'
import type { Envelope } from '../../envelope/envelope.ts'
import { type GatewayError, messageOf, RetryableError } from '../../errors.ts'
import type { DeadLetterStore, Params, StoredDeadLetter } from '../../store/contract.ts'
import type { DestinationLimit } from '../destination-limit.ts'
import type { Dispatcher } from '../dispatcher.ts'
import { Parcel, type ParcelOwner } from '../parcel.ts'
import { Reminder } from '../reminder.ts'
import { deadLetterEnvelope } from './dead-letter.ts'

/** A route's own place for dead letters: a target like any other. */
export interface DeadLetterTarget {
  readonly dispatcher: Dispatcher
  readonly limit?: DestinationLimit | undefined
  /** `params` and `receivedAt` are those of the message that failed. Throws PermanentError where a template cannot be filled in. */
  outbound(envelope: Envelope, params: Params, receivedAt: number): Outbound
}

/** Letters on their way at once; the others wait on disk. */
const maxUnderWay = 100

/** Sends the letters of one route, which are on disk, to the route's own target too, each until it is answered. */
export class DeadLetterForwarder implements ParcelOwner {
  readonly id: string
  readonly order = 'none'
  /** A letter is never given up because its target is slow to take it. */
  readonly retry = { attempts: Number.POSITIVE_INFINITY, delayMs: 200, maxDelayMs: 30_000 }
  readonly limit: DestinationLimit | undefined
  readonly #route: string
  readonly #target: DeadLetterTarget
  readonly #store: DeadLetterStore
  readonly #log: Log
  readonly #waiting = new Reminder()
  readonly #refusals: Summary
  /** Letters up to this id are under way or done. */
  #after = 0
  #underWay = 0
  #isScheduled = false
  #isStopped = false

  constructor(parts: { route: string; target: DeadLetterTarget; store: DeadLetterStore; log: Log }) {
    this.id = `${parts.route}/dead-letter`
    this.#route = parts.route
    this.#target = parts.target
    this.limit = parts.target.limit
    this.#store = parts.store
    this.#log = parts.log
    this.#refusals = new Summary((count) => {
      const text = `the dead letter target of route ${parts.route} refused ${count} more letters within a minute, they stay on disk alone`
      parts.log.error(text, { route: parts.route, count })
    })
  }

  /** There may be letters to send: at the start those of the last run, later new ones. */
  wake(): void {
    if (this.#isScheduled || this.#isStopped) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#send()
    })
  }

  /** No more are sent; what is under way stays to be sent again at the next start. */
  stop(): void {
    this.#isStopped = true
    this.#refusals.close()
  }

  confirmed({ message }: Parcel): void {
    this.#store.forwarded(message.id, 'confirmed')
    this.#ended()
  }

  /** Said once a minute: a target that is missing would leave its letters here unseen. */
  retried(_: Parcel, error: GatewayError): void {
    if (error instanceof RetryableError && error.isOutage) return // of that the connection speaks
    if (!this.#waiting.isDue(this.id)) return
    const fields = { route: this.#route, code: error.code }
    this.#log.warn(`dead letters of route ${this.#route} wait on disk: ${error.message}; trying again`, fields)
  }

  failed({ message }: Parcel, error: GatewayError): void {
    this.#refused(message, error)
    this.#ended()
  }

  released(): void {
    this.#ended()
  }

  #send(): void {
    if (this.#isStopped || this.#underWay >= maxUnderWay) return
    const query = { route: this.#route, toForward: true }
    for (const letter of this.#store.list(query, { after: this.#after, limit: maxUnderWay - this.#underWay })) {
      this.#after = letter.id
      this.#sendOne(letter)
    }
  }

  #sendOne(letter: StoredDeadLetter): void {
    try {
      const outbound = this.#target.outbound(deadLetterEnvelope(letter), letter.params, letter.firstAt)
      this.#underWay += 1
      this.#target.dispatcher.add(new Parcel(this, outbound, letter))
    } catch (error) {
      this.#refused(letter, error)
      this.wake() // its place is free
    }
  }

  #ended(): void {
    this.#underWay -= 1
    this.wake()
  }

  #refused(letter: Pick<StoredDeadLetter, 'id'>, error: unknown): void {
    this.#store.forwarded(letter.id, 'refused')
    if (!this.#refusals.isFirst()) return
    this.#log.error(`route ${this.#route}: dead letter target refused a letter; it remains in the store`, {
      route: this.#route,
      id: letter.id,
      error: messageOf(error),
    })
  }
}
