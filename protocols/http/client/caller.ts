/** A request as it is meant, to an answer: who we are, a signature, a second try where the first cannot have been seen. */
import { encodeAttribute } from '../fields.ts'
import type { HttpClientConnection, HttpTarget } from '../target.ts'
import { refusePrivate } from './addresses.ts'
import { type AuthHeaders, Credentials } from './credentials.ts'
import type { Answer, Request } from './exchange.ts'
import { failureOf, isLost, isUnreachable } from './failures.ts'
import { withHeaders } from './header-text.ts'
import type { Health } from './health.ts'
import type { Pool } from './pool.ts'
import { SignatureClock, signatureOf } from './signing.ts'
import { type Place, placeOf } from './url.ts'

export interface Call {
  readonly target: HttpTarget
  /** `Idempotency-Key`, and the id of a signature. */
  readonly id: string
  /** Name and value in turn. */
  readonly headers: readonly string[]
  readonly body: Uint8Array
  /** See `Request.wantedBytes`. */
  readonly wantedBytes: number
  /** The answer to a success may be quoted in an error too. */
  readonly isQuoted?: boolean
}

export class Caller {
  readonly #settings: HttpClientConnection
  readonly #pool: Pool
  readonly #health: Health
  readonly #credentials: Credentials
  readonly #clock = new SignatureClock()

  constructor(settings: HttpClientConnection, pool: Pool, health: Health) {
    this.#settings = settings
    this.#pool = pool
    this.#health = health
    this.#credentials = new Credentials(settings, (request) => pool.exchange(request, neverAborted))
  }

  /** Throws a RetryableError, an outage, where the server of the tokens gives none. */
  async ready(): Promise<void> {
    await this.#credentials.headers()
  }

  close(): Promise<void> {
    return this.#pool.close()
  }

  /** Throws a RetryableError or PermanentError where there is no answer. A refusal's text holds none of our secrets. */
  async call(call: Call, signal: AbortSignal): Promise<Answer> {
    const { target } = call
    const place = placeOf(target)
    const refusal = this.#health.refusal(place.origin)
    if (refusal !== undefined) throw refusal
    if (target.hosts === 'public') refusePrivate(place.host)
    const auth = await this.#credentials.headers()
    const untilMs = performance.now() + target.timeout
    const answer = await this.#tryAs(auth, { call, place, untilMs, signal })
    if (answer.status !== 401 || !this.#credentials.areRenewable) return answer
    this.#credentials.refused(auth)
    return this.#tryAs(await this.#credentials.headers(), { call, place, untilMs, signal })
  }

  async #tryAs(auth: AuthHeaders, attempt: Attempt): Promise<Answer> {
    const { origin } = attempt.place
    try {
      const answer = await this.#exchange(auth, attempt)
      this.#health.answered(origin)
      return answer.status < 300 && attempt.call.isQuoted !== true
        ? answer
        : { ...answer, body: this.#hidden(answer.body, auth) }
    } catch (error) {
      const failure = failureOf(error, origin, attempt.call.target.hosts !== 'fixed')
      if (failure.code === 'DESTINATION_UNAVAILABLE') this.#health.failed(origin, failure, isUnreachable(error))
      throw failure
    }
  }

  /** A server may close a connection just as it is used again: whatever became of the request, it carries its id. */
  async #exchange(auth: AuthHeaders, attempt: Attempt): Promise<Answer> {
    try {
      return await this.#once(auth, attempt)
    } catch (error) {
      if (!isLost(error) || performance.now() >= attempt.untilMs) throw error
      return this.#once(auth, attempt)
    }
  }

  async #once(auth: AuthHeaders, { call, place, untilMs, signal }: Attempt): Promise<Answer> {
    const { sign } = this.#settings
    const { target, id, wantedBytes } = call
    const body = target.method === 'GET' ? undefined : call.body
    const atSecs = this.#clock.secsFor(id)
    const signature = sign && signatureOf(sign, { id, body: body ?? noBody, atSecs })
    const own = ['user-agent', 'trivium', 'idempotency-key', encodeAttribute(id), ...call.headers]
    const request: Request = {
      method: target.method,
      origin: place.origin,
      path: place.path,
      headers: withHeaders(own, { ...target.headers, ...signature, ...auth }),
      body,
      timeoutMs: Math.max(1, Math.ceil(untilMs - performance.now())),
      isGuarded: target.hosts === 'public',
      wantedBytes,
    }
    if (sign !== undefined) this.#clock.failed(id, atSecs) // until there is an answer
    const answer = await this.#pool.exchange(request, signal)
    if (answer.status < 300) this.#clock.answered(id)
    return answer
  }

  #hidden(body: Buffer, auth: AuthHeaders): Buffer {
    return body.length === 0 ? body : Buffer.from(this.#credentials.hide(body.toString(), auth))
  }
}

interface Attempt {
  readonly call: Call
  readonly place: Place
  /** Of `performance.now()`. */
  readonly untilMs: number
  readonly signal: AbortSignal
}

const noBody = new Uint8Array()
const neverAborted = new AbortController().signal
