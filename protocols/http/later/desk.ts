/** Where those who come back for an answer promise it to, and fetch it: `Prefer: respond-async` (RFC 7240), `/v1/replies/ID`. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Context } from '../../../src/adapter/contract.ts'
import { withDeadline } from '../../../src/adapter/deadline.ts'
import { duration } from '../../../src/adapter/schema.ts'
import type { Envelope } from '../../../src/envelope/envelope.ts'
import { jsonAnswer } from '../listener/answer.ts'
import { certifiedName } from '../listener/auth.ts'
import { type Problem, Refusal, retryAfter, writeAnswer, writeProblem } from '../listener/problem.ts'
import type { Way } from '../listener/way.ts'
import type { Asking } from './asking.ts'
import type { Promises } from './promises.ts'
import { type LaterRequest, packRequest } from './record.ts'

const place = '/v1/replies/'
const preferred = /(?:^|,)\s*respond-async\s*(?:[;,]|$)/i

/** A request as far as it is let in. */
export interface Visit {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly way: Way
  /** By its credentials. */
  readonly who: string
}

export interface DeskParts {
  readonly context: Context
  readonly promises: Promises
  readonly asking: Asking
  readonly expectsReply: (from: unknown) => boolean
  /** The longest that a request waits for its answer here, in milliseconds. */
  readonly longestMs: number
}

export class Desk {
  readonly #at: DeskParts
  readonly #closing = new AbortController()

  constructor(parts: DeskParts) {
    this.#at = parts
  }

  /** True for a request that is to be answered later. */
  isWanted({ prefer }: IncomingHttpHeaders, { froms }: Way): boolean {
    return preferred.test(String(prefer ?? '')) && [...froms].some(this.#at.expectsReply)
  }

  /** True for a request that fetches an answer. A route that reads the same path has what bears no id of ours. */
  isFetch({ method }: IncomingMessage, way: Way): boolean {
    if (method !== 'GET' && method !== 'DELETE') return false
    return way.address.startsWith(place) && (way.froms.size === 0 || this.#at.promises.isOurs(idIn(way)))
  }

  /** Answers 202 once it is on disk, then has it asked. Throws a Refusal, 503. */
  async take(envelope: Envelope, visit: Visit): Promise<void> {
    const { request, response, way } = visit
    const id = await this.#keep({ method: request.method ?? '', address: way.address, envelope }, askerOf(visit))
    const location = `${place}${id}`
    const headers = ['location', location, 'preference-applied', 'respond-async', 'retry-after', '1']
    const { status, ...answer } = jsonAnswer(202, { messageId: envelope.messageId, reply: location }, headers)
    writeAnswer(response, status, answer)
    this.#at.asking.ask(id)
  }

  async serve(visit: Visit): Promise<void> {
    const { request, response, way } = visit
    const [id, who] = [idIn(way), askerOf(visit)]
    response.setHeader('cache-control', 'no-store')
    if (request.method === 'DELETE') return await this.#remove(id, who, response)
    if (this.#at.promises.stateOf(id, who) === 'pending') await this.#wait(id, way, response)
    const state = this.#at.promises.stateOf(id, who)
    const answer = state === 'ready' ? this.#at.promises.answerOf(id) : undefined
    if (answer !== undefined) writeAnswer(response, answer.status, answer)
    else if (state === 'pending') writeAnswer(response, 202, jsonAnswer(202, pending, ['retry-after', '1']))
    else writeProblem(response, state === 'unknown' ? unknown : gone)
  }

  /** Who waits hears at once what there is. */
  end(): void {
    this.#closing.abort()
  }

  async #keep(request: LaterRequest, who: string): Promise<string> {
    const { promises, longestMs, context } = this.#at
    const problem = context.storing?.isFull ? 'the store is full' : promises.problem
    if (problem !== undefined) throw busy(problem)
    const { id, kept } = promises.add(packRequest(request), who)
    try {
      await withDeadline(kept, longestMs, 'the disk')
    } catch {
      promises.remove(id).catch(() => {})
      throw busy('the request cannot be kept now')
    }
    return id
  }

  async #wait(id: string, { query = '' }: Way, response: ServerResponse): Promise<void> {
    const ms = Math.min(waitMsIn(new URLSearchParams(query).get('wait')), this.#at.longestMs)
    if (ms === 0) return
    const left = new AbortController()
    response.once('close', () => left.abort())
    await this.#at.promises.changed(id, AbortSignal.any([AbortSignal.timeout(ms), this.#closing.signal, left.signal]))
  }

  async #remove(id: string, who: string, response: ServerResponse): Promise<void> {
    const state = this.#at.promises.stateOf(id, who)
    if (state === 'unknown' || state === 'gone') return writeProblem(response, state === 'gone' ? gone : unknown)
    await this.#at.promises.remove(id)
    writeAnswer(response, 204, { headers: [], body: '' })
  }
}

const askerOf = ({ request, who }: Visit) => `${who} ${certifiedName(request.socket)}`
const idIn = ({ address }: Way) => address.slice(place.length)

/** `5s` as in the configuration, or seconds as in RFC 7240. Throws a Refusal, 400. */
function waitMsIn(text: string | null): number {
  if (text === null) return 0
  const { success, data } = duration().safeParse(/^\d+$/.test(text) ? `${text}s` : text)
  if (success) return data
  throw new Refusal({ status: 400, code: 'USAGE', detail: '`wait` is a duration such as 5s, or a number of seconds' })
}

const busy = (detail: string) => new Refusal({ status: 503, code: 'STORE_FULL', detail, headers: retryAfter })
const pending = { state: 'pending' }
const unknown: Problem = { status: 404, code: 'NOT_FOUND', detail: 'no reply was promised here' }
const gone: Problem = { status: 410, code: 'NOT_FOUND', detail: 'the reply was kept for its time, or deleted' }
