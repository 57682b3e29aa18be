import type { Log, Outbound } from '../../adapter/contract.ts'
import { Queue } from '../../adapter/queue.ts'
import type { Envelope } from '../../envelope/envelope.ts'
import { type GatewayError, messageOf, PermanentError, RetryableError } from '../../errors.ts'
import { requestIdOf } from '../../routing/request.ts'
import type { CompiledRoute, Forwarding } from '../../routing/router.ts'
import type { ExchangeStats, RouteStats } from '../../telemetry/stats.ts'
import type { DeadLetterOffice } from '../dead-letters/office.ts'
import type { Dispatcher } from '../dispatcher.ts'
import type { Custody, Message, Place, RouteParcel } from '../message.ts'
import type { Outlet } from '../outlet.ts'
import type { AnswerPlace, Asker } from './asker.ts'
import { Branch, Conversation, type HeardReply } from './conversation.ts'
import { Ending } from './ending.ts'
import { errorReply, type Gathering } from './gathering.ts'
import { Outstanding } from './outstanding.ts'
import type { ReplyLink } from './reply-link.ts'
import { numberOf, type Tokens } from './tokens.ts'

/** Of a request that failed before it came to a target. */
const noPlace: Place = { attempts: 0, target: undefined, bit: undefined }
/** So many requests that ended before they left may wait at a target that is away; then they are swept out. */
const mostLeftBehind = 100
/** When an asker that was turned away may ask again, in milliseconds. */
const retryAfterMs = 1_000

export interface AnsweredParts {
  readonly compiled: CompiledRoute
  readonly stats: RouteStats
  readonly exchange: ExchangeStats
  readonly outlets: readonly Outlet[]
  readonly deadLetters: DeadLetterOffice
  readonly asker: Asker
  readonly gathering: Gathering
  readonly log: Log
  /** Where the replies of each target are heard, in the order of `to`; undefined: it answers on the spot. */
  readonly links: readonly (ReplyLink | undefined)[]
  readonly tokens: Tokens
  /** Its place among the routes that ask. */
  readonly number: number
}

/**
 * `acknowledge: answered`: the source holds a request until its answer, the reply or an error in its place, is confirmed at
 * whoever asked. What is outstanding lives in memory: after a crash its source hands it over again.
 *
 *   waiting -> asked -> (reply | error | time over) -> answering -> ended
 *
 * Whatever comes after the first of the three finds the conversation no more: a late reply is no answer to anybody.
 */
export class AnsweredCustody implements Custody {
  readonly stats: RouteStats
  readonly #parts: AnsweredParts
  readonly #exchange: ExchangeStats
  readonly #outstanding: Outstanding
  readonly #ending: Ending
  /** Those beyond `maxOutstanding`; their sources hold them. */
  readonly #waiting = new Queue<readonly [Message, Forwarding]>()
  /** Not asked yet, as their reply would not be heard. */
  readonly #unsent = new Map<Branch, Outbound>()
  readonly #maxOutstanding: number
  /** By dispatcher: requests that were over before they left, since the last sweep. */
  readonly #leftBehind = new Map<Dispatcher, number>()
  #lastNumber = 0
  #isStopped = false

  constructor(parts: AnsweredParts) {
    const { timeoutMs = 0, maxOutstanding = 0, late = 'deadLetter' } = parts.compiled.route.request ?? {}
    this.stats = parts.stats
    this.#parts = parts
    this.#exchange = parts.exchange
    this.#maxOutstanding = maxOutstanding
    this.#outstanding = new Outstanding(timeoutMs, (over) => this.#timeOut(over))
    const { name: route } = parts.compiled.route
    this.#ending = new Ending({ ...parts, route, isDropping: late === 'drop', ended: () => this.#ended() })
    for (const link of new Set(parts.links)) link?.onOpen(() => this.#sendUnsent())
  }

  /** The `request.id` of the next message. */
  nextId(): string {
    this.#lastNumber += 1
    return this.#parts.tokens.of(this.#parts.number, this.#lastNumber)
  }

  take(message: Message, forwarding: Forwarding): void {
    if (this.#isStopped) return message.end('released', performance.now())
    if (this.#exchange.outstanding < this.#maxOutstanding) return this.#begin(message, forwarding)
    this.#exchange.refused += 1
    if (message.waitsForAnswer && !message.isPatient) return this.#turnAway(message)
    message.envelope.ownBytes()
    message.waits()
    this.#waiting.push([message, forwarding])
  }

  /** The rules refused it: its asker hears so. */
  refuse(message: Message, error: GatewayError): void {
    this.#exchange.outstanding += 1
    this.#ending.failed(message, { error, place: noPlace }, this.#placeIfAny(message))
  }

  /** The rules let it go nowhere, and no other route reads it: its asker hears so. */
  filtered(message: Message): void {
    this.#exchange.outstanding += 1
    this.#ending.filtered(message, this.#placeIfAny(message))
  }

  confirmed(parcel: RouteParcel, nowMs: number, reply?: Envelope): void {
    const branch = branchOf(parcel)
    branch.isSent = true
    if (branch.link !== undefined) return
    if (reply === undefined) return this.#branchFailed(branch, mute, nowMs)
    const heard: HeardReply = { envelope: reply, params: {}, receivedAt: Date.now(), settle() {} }
    this.replied(branch.conversation.number, branch.index, { reply: heard, link: undefined })
  }

  retried(): void {}

  failed(parcel: RouteParcel, error: GatewayError, place: Place): void {
    const branch = branchOf(parcel)
    branch.isSent = true
    if (branch.isOver) return
    if (!this.#isSingle) return this.#branchFailed(branch, error, performance.now())
    const { conversation } = branch
    if (this.#close(conversation)) this.#ending.failed(conversation.message, { error, place }, conversation.place)
  }

  /** The dispatcher has stopped: only what was begun after `stop` comes here. */
  released(parcel: RouteParcel): void {
    const { conversation } = branchOf(parcel)
    if (this.#close(conversation)) this.#ending.released(conversation)
  }

  /** Mark: a reply was heard, and bears the id of one of this route's requests. It goes to nobody but its own asker. */
  replied(number: number, index: number, { reply, link }: { reply: HeardReply; link: ReplyLink | undefined }): void {
    this.#exchange.replies += 1
    const conversation = this.#outstanding.get(number)
    const branch = conversation?.branches.find((each) => each.index === index)
    if (branch === undefined && number > 0 && number <= this.#lastNumber) return this.#ending.late(reply)
    if (branch === undefined || branch.link !== link) return this.#ending.unknown(reply)
    if (branch.end !== undefined) return this.#ending.late(reply)
    branch.end = { reply }
    branch.endedMs = performance.now()
    reply.envelope.ownBytes()
    this.#judge(branch.conversation, false)
  }

  /** Mark: a reply was heard that names no request. */
  repliedToNone(reply: HeardReply): void {
    this.#exchange.replies += 1
    this.#ending.unknown(reply)
  }

  /** Resolves when all askers have been told that no reply will come. */
  async stop(): Promise<void> {
    this.#isStopped = true
    for (const [message] of this.#waiting.takeAll()) message.end('released', performance.now())
    const text = 'the gateway stopped before the reply came'
    const stopping = errorReply(new RetryableError('GATEWAY_STOPPING', text, { retryAfterMs }))
    for (const conversation of this.#outstanding.takeAll()) {
      this.#forget(conversation)
      if (conversation.message.isPatient) this.#ending.released(conversation)
      else this.#ending.answer(conversation, stopping)
    }
    await this.#ending.whenIdle()
  }

  #turnAway(message: Message): void {
    const text = `${this.#maxOutstanding} requests wait for replies`
    const busy = errorReply(new RetryableError('TARGET_BUSY', text, { retryAfterMs }))
    this.#exchange.outstanding += 1
    this.#ending.turnedAway(message, busy)
  }

  #begin(message: Message, { outbounds }: Forwarding): void {
    this.#exchange.outstanding += 1
    const place = this.#placeOf(message)
    if (place === undefined) return
    const startedMs = performance.now()
    const id = requestIdOf(message.params) ?? ''
    const number = numberOf(id)
    const conversation = new Conversation({ number, message, place, startedMs })
    const asked = outbounds.flatMap((outbound, index) => {
      if (outbound === undefined) return []
      const token = this.#isSingle ? id : this.#parts.tokens.of(this.#parts.number, number, index)
      const target = this.#isSingle ? '' : this.#outlet(index).addressOf(outbound)
      const branch = new Branch(conversation, { index, token, target, link: this.#parts.links[index] })
      conversation.branches.push(branch)
      return [[branch, outbound] as const]
    })
    this.#outstanding.add(conversation)
    for (const [branch, outbound] of asked) this.#ask(branch, outbound)
  }

  /** Undefined after the message has become a dead letter. */
  #placeOf(message: Message): AnswerPlace | undefined {
    try {
      const place = this.#parts.asker.placeOf(message)
      if (place !== undefined) return place
      return this.#unanswerable(message, new PermanentError('REPLY_ADDRESS_MISSING', 'it names no reply address'))
    } catch (error) {
      return this.#unanswerable(message, permanent(error))
    }
  }

  #unanswerable(message: Message, error: PermanentError): undefined {
    this.#ending.failed(message, { error, place: noPlace }, undefined)
  }

  #placeIfAny(message: Message): AnswerPlace | undefined {
    try {
      return this.#parts.asker.placeOf(message)
    } catch {
      return undefined
    }
  }

  #ask(branch: Branch, outbound: Outbound): void {
    if (branch.link?.isOpen === false) {
      branch.conversation.message.envelope.ownBytes()
      this.#unsent.set(branch, outbound)
      return
    }
    const { message } = branch.conversation
    const outlet = this.#outlet(branch.index)
    const { target, format } = outbound
    const envelope = asked(outbound.envelope, message.envelope, branch)
    outlet.dispatcher.add(outlet.parcelOf(message, { envelope, target, format, ask: branch }))
  }

  #sendUnsent(): void {
    for (const [branch, outbound] of this.#unsent) {
      if (branch.link?.isOpen === false) continue
      this.#unsent.delete(branch)
      this.#ask(branch, outbound)
    }
  }

  #branchFailed(branch: Branch, error: GatewayError, nowMs: number): void {
    if (branch.end !== undefined || branch.isOver) return
    branch.end = { error }
    branch.endedMs = nowMs
    this.#judge(branch.conversation, false)
  }

  #timeOut(over: readonly Conversation[]): void {
    const unsent = new Set<Outlet>()
    for (const conversation of over) {
      this.#exchange.timedOut += 1
      for (const { isSent, index } of conversation.branches) if (!isSent) unsent.add(this.#outlet(index))
      this.#judge(conversation, true)
    }
    for (const { dispatcher } of unsent) dispatcher.sweep()
  }

  #judge(conversation: Conversation, isLate: boolean): void {
    try {
      const answer = this.#parts.gathering.answerOf(conversation, isLate)
      if (answer !== undefined && this.#close(conversation)) this.#ending.answer(conversation, answer)
    } catch (error) {
      if (this.#close(conversation)) this.#ending.unreadable(conversation, error as PermanentError)
    }
  }

  /** From now on nothing is heard for it. False where it was so already. */
  #close(conversation: Conversation): boolean {
    if (!this.#outstanding.delete(conversation)) return false
    this.#forget(conversation)
    return true
  }

  #forget({ branches }: Conversation): void {
    for (const branch of branches) {
      branch.isOver = true
      if (!this.#unsent.delete(branch) && !branch.isSent) this.#leaveBehind(this.#outlet(branch.index))
    }
  }

  /** A scatter may be over long before its time, again and again, while one of its targets is away. */
  #leaveBehind({ dispatcher }: Outlet): void {
    const count = (this.#leftBehind.get(dispatcher) ?? 0) + 1
    this.#leftBehind.set(dispatcher, count % mostLeftBehind)
    if (count === mostLeftBehind) queueMicrotask(() => dispatcher.sweep()) // it may be what tells us just now
  }

  get #isSingle(): boolean {
    return this.#parts.outlets.length === 1
  }

  #outlet(index: number): Outlet {
    return this.#parts.outlets[index] as Outlet
  }

  #ended(): void {
    this.#exchange.outstanding -= 1
    if (this.#isStopped || this.#exchange.outstanding >= this.#maxOutstanding) return
    const next = this.#waiting.shift()
    if (next !== undefined) this.#begin(...next)
  }
}

const branchOf = ({ outbound }: RouteParcel): Branch => outbound.ask as Branch

const mute = new PermanentError('MESSAGE_REFUSED', 'the target confirmed the request and said nothing to it')

/** An asker chooses its address: what no protocol has foreseen is still no more than a dead letter. */
function permanent(error: unknown): PermanentError {
  if (error instanceof PermanentError) return error
  return new PermanentError('DESTINATION_INVALID', `its reply address: ${messageOf(error)}`, { cause: error })
}

/** The token is its correlation, and the asker's own address is not for the replier to see; one that the rules have set is. */
function asked(envelope: Envelope, received: Envelope, { token }: Branch): Envelope {
  const { replyTo } = envelope
  return envelope.with({ correlationId: token, replyTo: replyTo === received.replyTo ? undefined : replyTo })
}
