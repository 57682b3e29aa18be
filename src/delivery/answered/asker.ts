import type { Outcome, Reply } from '../../adapter/contract.ts'
import type { Envelope, Format } from '../../envelope/envelope.ts'
import { type GatewayError, PermanentError } from '../../errors.ts'
import type { CompiledTarget } from '../../routing/router.ts'
import type { Dispatcher } from '../dispatcher.ts'
import { hopsOf } from '../hops.ts'
import type { Message } from '../message.ts'
import { type Content, Parcel, type ParcelOwner } from '../parcel.ts'
import { errorEnvelope } from './error-envelope.ts'
import { toldError } from './told-error.ts'

/** Where the answer to one request goes; `open`: back on the way it came, `Delivery.answer`. */
export type AnswerPlace = 'open' | { readonly target: unknown; readonly format: Format | undefined }

/** How answers of a route leave as messages. */
export interface AnswerRoad {
  readonly dispatcher: Dispatcher
  /** The asker's own address; undefined: it names none. */
  readonly replyTo: (request: Envelope) => unknown
  /** Of `request.to`: instead of it. */
  readonly to: CompiledTarget | undefined
}

/** What became of an answer: its asker has it, will never have it, or the gateway stopped before. */
export type Told =
  | { readonly kind: 'told' }
  | { readonly kind: 'refused'; readonly error: GatewayError }
  | { readonly kind: 'released' }

/** An answer on its way. */
interface Answer extends Content {
  ended(told: Told): void
}

const told: Told = Object.freeze({ kind: 'told' })
const released: Told = Object.freeze({ kind: 'released' })
const refused = (error: GatewayError): Told => ({ kind: 'refused', error })
const nobody = new PermanentError('REPLY_UNEXPECTED', 'its asker is gone')
const toldBy = (outcome: Outcome): Told => (outcome.kind === 'delivered' ? told : refused(outcome.error))

/** Whoever asks on one route: brings the answers back. */
export class Asker implements ParcelOwner {
  readonly id: string
  readonly order = 'none'
  readonly retry: ParcelOwner['retry']
  readonly #road: AnswerRoad | undefined
  readonly #gatewayId: string

  constructor(parts: { route: string; retry: ParcelOwner['retry']; road: AnswerRoad | undefined; gatewayId: string }) {
    this.id = `${parts.route}/answer`
    this.retry = parts.retry
    this.#road = parts.road
    this.#gatewayId = parts.gatewayId
  }

  /** Undefined: it does not say. Throws PermanentError where a template of `request.to` cannot be filled in. */
  placeOf(message: Message): AnswerPlace | undefined {
    const { to, replyTo } = this.#road ?? {}
    if (to !== undefined) return to.outbound(message)
    if (message.waitsForAnswer) return 'open'
    const target = replyTo?.(message.envelope)
    return target === undefined ? undefined : { target, format: undefined }
  }

  /** Resolves when the asker has it, or cannot have it. Never rejects. */
  async answer(message: Message, place: AnswerPlace, answer: Reply): Promise<Told> {
    const reply: Reply = answer.kind === 'error' ? { kind: 'error', error: toldError(answer.error) } : answer
    if (place !== 'open') return await this.#send(place, this.#addressed(message.envelope, reply))
    const answering = message.answer(reply)
    return answering === undefined ? refused(nobody) : await answering.then(toldBy, () => refused(nobody))
  }

  /** What the asker gave as correlation is given back to it. */
  #addressed(request: Envelope, reply: Reply): Envelope {
    const { correlationId } = request
    if (reply.kind === 'error') return errorEnvelope(reply.error, { correlationId, gatewayId: this.#gatewayId })
    return reply.envelope.with({ correlationId, replyTo: undefined })
  }

  #send({ target, format }: Exclude<AnswerPlace, 'open'>, envelope: Envelope): Promise<Told> {
    const { promise, resolve } = Promise.withResolvers<Told>()
    const hops = hopsOf(envelope, this.#gatewayId)
    const answer: Answer = { id: 0, envelope, ended: resolve }
    this.#road?.dispatcher.add(new Parcel<Answer, Asker>(this, { envelope, target, format, hops }, answer))
    return promise
  }

  confirmed({ message }: Parcel): void {
    ;(message as Answer).ended(told)
  }

  retried(): void {}

  failed({ message }: Parcel, error: GatewayError): void {
    ;(message as Answer).ended(refused(error))
  }

  released({ message }: Parcel): void {
    ;(message as Answer).ended(released)
  }

  waits({ outbound }: Parcel): void {
    outbound.envelope.ownBytes()
  }
}
