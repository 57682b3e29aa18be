import type { Response } from 'express'
import type { Budget } from '../../src/adapter/budget.ts'
import type { Context, Deliver, Delivery, Settlement, Source } from '../../src/adapter/contract.ts'
import { once } from '../../src/adapter/once.ts'
import { SourceDelivery } from '../../src/adapter/source-delivery.ts'
import { type SourcePeer, SourceSession, sourceBudget } from '../../src/adapter/source-session.ts'
import type { Envelope } from '../../src/envelope/envelope.ts'
import { RetryableError } from '../../src/errors.ts'
import type { HttpFrom } from './config.ts'
import type { Desk } from './later/desk.ts'
import type { Later, Promises } from './later/index.ts'
import type { App, Intake, Taking } from './listener/app.ts'
import { Call, type CallOptions } from './listener/call.ts'
import type { HttpListenerConnection } from './listener/config.ts'
import type { Passed } from './listener/doors.ts'
import { Refusal, retryAfter } from './listener/problem.ts'
import { type ListenerHold, type SharedListener, sharedListenerOf } from './listener/shared-listener.ts'
import type { Way } from './listener/way.ts'

/** For the first whose answers may be fetched later. */
const loadLater = once(() => import('./later/index.ts'))
/** With express, for the first that takes requests. */
const loadApp = once(() => import('./listener/app.ts'))

/** Requests to the paths of `froms`. Each is answered once its messages are settled: see `Call`. */
export class HttpSource implements Source {
  readonly #connection: HttpListenerConnection
  readonly #froms: readonly HttpFrom[]
  readonly #context: Context
  readonly #maxInFlight: number
  readonly #budget: Budget
  readonly #shared: SharedListener
  #service: Service | undefined
  #promises: Promises | undefined
  #app: App | undefined
  #hold: ListenerHold | undefined

  constructor(connection: HttpListenerConnection, froms: readonly HttpFrom[], context: Context) {
    this.#connection = connection
    this.#froms = froms
    this.#context = context
    this.#maxInFlight = Math.min(...froms.map((from) => from.maxInFlight ?? connection.maxInFlight))
    this.#shared = sharedListenerOf(connection)
    this.#budget = sourceBudget(context, { maxInFlight: [this.#maxInFlight] })
  }

  async open(): Promise<void> {
    const { listenerApp } = await loadApp()
    await this.close()
    const later = await this.#later()
    const own = { later, answerMs: this.#connection.answerTimeout, maxInFlight: this.#maxInFlight }
    const service = new Service({ ...own, budget: this.#budget, context: this.#context })
    const { guard } = this.#shared
    const parts = { connection: this.#connection, froms: this.#froms, intake: service, context: this.#context, guard }
    const app = listenerApp(parts)
    this.#shared.takeRequests(app)
    this.#hold = await this.#shared.acquire(this.#context)
    this.#service = service
    this.#app = app
  }

  /** Undefined where nobody asks, or nothing can be kept. */
  async #later(): Promise<Later | undefined> {
    const { kept, expectsReply } = this.#context
    const isAsked = (from: HttpFrom) => from.door === undefined && expectsReply?.(from) === true
    if (kept === undefined || expectsReply === undefined || !this.#froms.some(isAsked)) return undefined
    const { Promises, Later } = await loadLater()
    this.#promises ??= new Promises(kept, this.#connection.replies)
    const longestMs = this.#connection.answerTimeout
    const parts = { promises: this.#promises, froms: this.#froms, budget: this.#budget, context: this.#context }
    return new Later({ ...parts, expectsReply, longestMs })
  }

  async consume(deliver: Deliver, signal: AbortSignal): Promise<void> {
    if (this.#service === undefined) throw closedError()
    await this.#service.run(deliver, signal)
  }

  async close(): Promise<void> {
    const [service, app, hold] = [this.#service, this.#app, this.#hold]
    this.#service = undefined
    this.#app = undefined
    this.#hold = undefined
    service?.end()
    if (app !== undefined) this.#shared.leaveRequests(app)
    await hold?.release()
  }
}

const closedError = () => new RetryableError('PEER_LOST', 'the listener is closed')

class HttpDelivery extends SourceDelivery {
  readonly readers: ReadonlySet<unknown>
  readonly call: Call
  /** Its place among the messages of the call. */
  readonly index: number
  readonly answerWithinMs: number | undefined

  constructor(envelope: Envelope, way: Way, place: Pick<HttpDelivery, 'call' | 'index' | 'answerWithinMs'>) {
    super(envelope, way.address)
    this.answerWithinMs = place.answerWithinMs
    this.readers = way.froms
    this.call = place.call
    this.index = place.index
  }

  /** One answer cannot hold the replies to several: such a batch cannot ask. */
  get answer(): Delivery['answer'] {
    const { call } = this
    return call.isOfOne ? (reply) => call.reply(reply) : undefined
  }
}

/** Time for the answer to a request whose own time is over, in milliseconds. */
const graceMs = 2_000

type CallKind = Pick<CallOptions, 'isBatch' | 'isSilent'> & Pick<Passed, 'answerWithinMs'>

interface Settings {
  /** Milliseconds. */
  readonly answerMs: number
  readonly maxInFlight: number
  readonly budget: Budget
  readonly context: Context
  readonly later: Later | undefined
}

/** One generation of a source, from `open` to `close`: its requests, from being taken to being answered. */
class Service implements Intake, SourcePeer<HttpDelivery> {
  readonly #at: Settings
  readonly #session: SourceSession<HttpDelivery>
  readonly #calls = new Set<Call>()
  #isRunning = false

  constructor(settings: Settings) {
    this.#at = settings
    this.#session = new SourceSession(this, { budget: settings.budget, gather: 'turn' })
  }

  get desk(): Desk | undefined {
    return this.#at.later?.desk
  }

  get isStopping(): boolean {
    return this.#session.isStopped
  }

  async run(deliver: Deliver, signal: AbortSignal): Promise<void> {
    this.#isRunning = true
    await Promise.all([this.#session.run(deliver, signal), this.#at.later?.asking.run(deliver, signal)])
  }

  /** What is not answered yet is told so; what is settled from now on answers nothing. */
  end(): void {
    this.#session.end(closedError())
    this.#at.later?.end(closedError())
    for (const call of this.#calls) call.abandon()
  }

  checkRoom({ froms }: Way): void {
    if (!this.#isRunning || this.isStopping) throw busy(503, 'GATEWAY_STOPPING', 'the gateway stops, or has only begun')
    const { storing, budget } = this.#at.context
    if (storing?.isFull && [...froms].some((from) => storing.isFor(from)))
      throw busy(503, 'STORE_FULL', 'the store is full')
    if (budget.isFull) throw busy(503, 'TARGET_BUSY', 'the gateway has its hands full')
    if (this.#session.isFull) throw busy(429, 'TARGET_BUSY', 'too many messages of this listener are not settled')
  }

  take({ messages: { envelopes, isBatch }, ...door }: Passed, { way, response, onReleased }: Taking): void {
    this.checkRoom(way)
    this.#checkRoomFor(envelopes)
    const call = this.#callOf(response, envelopes, { way, isBatch, onReleased, ...door })
    if (envelopes.length === 0) return call.accepted()
    const waiting = envelopes.values()
    let index = 0
    const taken = this.#session.handOver(() => {
      const { value } = waiting.next()
      return value && new HttpDelivery(value, way, { call, index: index++, answerWithinMs: door.answerWithinMs })
    })
    for (let left = taken; left < envelopes.length; left += 1) call.settled(left, 'release')
  }

  settle({ call, index }: HttpDelivery, settlement: Settlement): void {
    call.settled(index, settlement)
  }

  /** All of a batch, or nothing of it. */
  #checkRoomFor(envelopes: readonly Envelope[]): void {
    if (envelopes.length > this.#at.maxInFlight) {
      const detail = `a batch has at most ${this.#at.maxInFlight} events here`
      throw new Refusal({ status: 413, code: 'MESSAGE_TOO_LARGE', detail })
    }
    const largest = Math.max(...envelopes.map(({ sizeBytes }) => sizeBytes))
    if (envelopes.length > 1 && this.#at.budget.roomFor(largest) < envelopes.length)
      throw busy(429, 'TARGET_BUSY', 'there is no room for so many messages now')
  }

  #callOf(
    response: Response,
    envelopes: readonly Envelope[],
    { way, answerWithinMs, ...options }: Omit<Taking, 'response'> & CallKind,
  ): Call {
    const { storing } = this.#at.context
    const isStored = storing !== undefined && [...way.froms].some((from) => storing.isFor(from))
    const ids = envelopes.map(({ messageId }) => messageId)
    const deadlineMs = answerWithinMs === undefined ? this.#at.answerMs : answerWithinMs + graceMs
    const onOver = (over: Call) => void this.#calls.delete(over)
    const call = new Call(response, ids, { ...options, deadlineMs, isStored, onOver })
    this.#calls.add(call)
    return call
  }
}

function busy(status: 429 | 503, code: 'GATEWAY_STOPPING' | 'STORE_FULL' | 'TARGET_BUSY', detail: string): Refusal {
  return new Refusal({ status, code, detail, headers: retryAfter })
}
