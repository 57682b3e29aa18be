import { type Context, type Outbound, type Outcome, outcomeOf, type Sink } from '../../src/adapter/contract.ts'
import { again, Flight, unsendable } from '../../src/adapter/outcomes.ts'
import { type GatewayError, PermanentError, RetryableError } from '../../src/errors.ts'
import { type Resolve, systemResolve } from './client/addresses.ts'
import { outcomeOfAnswer, outcomeOfDapr, outcomesOfBatch } from './client/answers.ts'
import { type Bundle, bundlesOf, pack } from './client/batch.ts'
import { Caller } from './client/caller.ts'
import type { Answer } from './client/exchange.ts'
import { Gone } from './client/gone.ts'
import { Health } from './client/health.ts'
import { Pool } from './client/pool.ts'
import { replyOf } from './client/reply.ts'
import { placeOf, shownUrl } from './client/url.ts'
import { encode } from './codec.ts'
import type { HttpClientConnection, HttpTarget } from './target.ts'

type HttpOutbound = Outbound<HttpTarget>

/** A word of an application of Dapr is short. */
const daprBytes = 4_096

/**
 * Calls the servers of its targets; a success is a 2xx. A server that is away keeps back only what goes to it: the connection
 * itself is down where its tokens cannot be had, and at no other time.
 */
export class HttpSink implements Sink<HttpTarget> {
  readonly keepsOrder = false
  readonly maxConcurrentSends: number
  readonly #settings: HttpClientConnection
  readonly #context: Context
  readonly #resolve: Resolve
  readonly #health = new Health()
  readonly #gone: Gone
  #largestBatch = 1
  #caller: Caller | undefined

  constructor(settings: HttpClientConnection, context: Context, resolve: Resolve = systemResolve) {
    this.#settings = settings
    this.#context = context
    this.#resolve = resolve
    this.#gone = new Gone(context)
    this.maxConcurrentSends = settings.maxConcurrent
  }

  /** One message is one request, until a target with `batch` has been met. */
  get maxBatch(): number {
    return this.#largestBatch
  }

  async open(signal: AbortSignal): Promise<void> {
    await this.close()
    const pool = await Pool.open(this.#settings, this.#context, this.#resolve)
    const caller = new Caller(this.#settings, pool, this.#health)
    try {
      await caller.ready()
      signal.throwIfAborted()
    } catch (error) {
      await caller.close()
      throw error
    }
    this.#caller = caller
  }

  async close(): Promise<void> {
    const caller = this.#caller
    this.#caller = undefined
    await caller?.close()
  }

  /** A lost connection to one server is a matter of the requests to it. */
  lost(): Promise<GatewayError> {
    return new Promise(() => {})
  }

  async send(batch: readonly HttpOutbound[], signal: AbortSignal): Promise<readonly Outcome[]> {
    const caller = this.#caller
    if (caller === undefined) return batch.map(() => again(new RetryableError('PEER_LOST', 'not open')))
    const flight = new Flight(batch.length)
    const batched: number[] = []
    for (const [at, outbound] of batch.entries()) {
      if (isBatched(outbound)) batched.push(at)
      else void this.#sendOne(caller, outbound, signal).then((outcome) => flight.settle(at, outcome))
    }
    const bundles = bundlesOf(batch, batched, (at, error) => flight.settle(at, unsendable(error)))
    for (const bundle of bundles) void this.#sendBundle(caller, bundle, { flight, signal })
    return flight.outcomes
  }

  async #sendOne(caller: Caller, outbound: HttpOutbound, signal: AbortSignal): Promise<Outcome> {
    const { envelope, target, ask } = outbound
    try {
      const gone = this.#gone.refusal(shownUrl(target.url))
      if (gone !== undefined) return outcomeOf(gone)
      const content = encode(outbound)
      const wantedBytes = ask !== undefined ? this.#settings.maxReplySize : target.answers === 'dapr' ? daprBytes : 0
      const answer = await caller.call({ target, id: envelope.messageId, ...content, wantedBytes }, signal)
      const judge = target.answers === 'dapr' ? outcomeOfDapr : outcomeOfAnswer
      const outcome = this.#noted(judge(answer, aboutOf(target)), answer, target)
      return outcome.kind === 'delivered' && ask !== undefined ? this.#replied(answer, outbound) : outcome
    } catch (error) {
      return unsendable(error)
    }
  }

  #replied(answer: Answer, { target }: HttpOutbound): Outcome {
    if (answer.isCut) {
      const text = `the answer of ${shownUrl(target.url)} is larger than ${this.#settings.maxReplySize} bytes (maxReplySize)`
      return outcomeOf(new PermanentError('MESSAGE_TOO_LARGE', text))
    }
    const { connection, format } = this.#context
    return { kind: 'delivered', reply: replyOf(answer, { connection, address: `/${shownUrl(target.url)}`, format }) }
  }

  /** What concerns more than this message: a server that is gone, or wants its rest. */
  #noted(outcome: Outcome, { status }: Answer, target: HttpTarget): Outcome {
    if (status === 410 && outcome.kind === 'rejected') this.#gone.tell(shownUrl(target.url))
    if (outcome.kind !== 'retryable') return outcome
    const { error } = outcome
    if (error.code === 'DESTINATION_UNAVAILABLE' && error.retryAfterMs !== undefined) {
      this.#health.rests(placeOf(target).origin, error, error.retryAfterMs)
    }
    return outcome
  }

  async #sendBundle(caller: Caller, bundle: Bundle, { flight, signal }: Sending): Promise<void> {
    const outcomes = await this.#outcomesOf(caller, bundle, signal)
    for (const [index, at] of bundle.places.entries()) flight.settle(at, outcomes[index] as Outcome)
  }

  async #outcomesOf(caller: Caller, bundle: Bundle, signal: AbortSignal): Promise<readonly Outcome[]> {
    const { target } = bundle.members[0]!
    const all = (outcome: Outcome) => bundle.members.map(() => outcome)
    this.#largestBatch = Math.max(this.#largestBatch, target.batch!.maxMessages)
    try {
      const gone = this.#gone.refusal(shownUrl(target.url))
      if (gone !== undefined) return all(outcomeOf(gone))
      const wantedBytes = this.#settings.maxReplySize
      const answer = await caller.call({ target, ...pack(bundle), wantedBytes, isQuoted: true }, signal)
      if (answer.isCut && answer.status < 300) return all(outcomeOf(tooLong(target)))
      const outcomes = outcomesOfBatch(answer, aboutOf(target), bundle.members.length)
      return outcomes.map((outcome) => this.#noted(outcome, answer, target))
    } catch (error) {
      return all(unsendable(error))
    }
  }
}

interface Sending {
  readonly flight: Flight
  readonly signal: AbortSignal
}

const isBatched = ({ target, ask }: HttpOutbound): boolean => target.batch !== undefined && ask === undefined

const aboutOf = ({ method, url }: HttpTarget): string => `${method} ${shownUrl(url)}`

const tooLong = ({ url }: HttpTarget) =>
  new RetryableError(
    'PEER_FAILED',
    `the answer of ${shownUrl(url)} is longer than maxReplySize: who got what is not known`,
  )
