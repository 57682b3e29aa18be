import { type Outbound, type Outcome, outcomeOf, retryable, type Sink } from '../adapter/contract.ts'
import { withDeadline } from '../adapter/deadline.ts'
import { ProtocolFault } from '../adapter/protocol-fault.ts'
import { Queue } from '../adapter/queue.ts'
import { type GatewayError, PermanentError, RetryableError } from '../errors.ts'
import { failpoint } from '../failpoint.ts'
import { fullJitterMs, longestTimerMs } from './backoff.ts'
import { isBefore, isStuck, type Lane, Lanes } from './lanes.ts'
import { byPlace, isExpired, isOver, type Parcel } from './parcel.ts'
import { RankedQueue } from './ranked-queue.ts'

/** A sink keeps its own deadline; this one is for a sink that does not. Milliseconds. */
const sendDeadlineMs = 60_000

/** Of a message that its sink forgot: never taken for a confirmation. */
const unanswered = retryable(new RetryableError('PEER_FAILED', 'the sink gave no outcome for the message'))

/** One call of the sink that is under way. */
interface Send {
  readonly number: number
  readonly parcels: readonly Parcel[]
  /** Of the sink's generation it was sent with. */
  readonly signal: AbortSignal
  outcomes: readonly Outcome[] | undefined
}

/**
 * Brings parcels to one sink. What has gathered leaves in one batch; while it is under way the next gathers.
 *
 * A parcel is in exactly one place: `urgent` or `ready` (to be sent), a lane (must wait), or a send (under way).
 * ready -> send -> confirmed | failed | lane -> urgent -> send ... (what a lane goes through: lanes.ts)
 * Where a sink keeps order, outcomes are handled in the order of the sends, so that of a lane nothing overtakes what failed
 * before it. Elsewhere a lane has one message under way, and one slow answer holds up no other.
 */
export class Dispatcher {
  readonly #sink: Sink
  /** Told once per outage; the supervisor then opens the sink anew and calls `resume`. */
  readonly #onOutage: (error: GatewayError) => void
  readonly #ready = new RankedQueue()
  readonly #urgent = new Queue<Parcel>()
  readonly #lanes = new Lanes()
  readonly #sends: Send[] = []
  readonly #onOpen: (() => void)[] = []
  #nextSeq = 1
  #lastSend = 0
  #lastFinishedSend = 0
  #isOpen = false
  #isWindingDown = false
  #isStopped = false
  #isScheduled = false
  #abort = new AbortController()

  constructor(sink: Sink, onOutage: (error: GatewayError) => void) {
    this.#sink = sink
    this.#onOutage = onOutage
  }

  /** Parcels not yet confirmed or given up. */
  get size(): number {
    let underway = 0
    for (const send of this.#sends) underway += send.parcels.length
    return this.#ready.size + this.#urgent.size + this.#lanes.size + underway
  }

  /** True while the sink is open. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** True while a lane waits for anything, see `Parcel.lane`. */
  holds(lane: string): boolean {
    return this.#lanes.has(lane)
  }

  /** `listener` is called each time the sink has been opened. */
  onOpen(listener: () => void): void {
    this.#onOpen.push(listener)
  }

  add(parcel: Parcel): void {
    if (this.#isStopped) return parcel.owner.released(parcel)
    parcel.seq = this.#nextSeq++
    const delayMs = parcel.dueAt === 0 ? 0 : parcel.dueAt - Date.now()
    if (delayMs > 0 && this.#lanes.of(parcel) === undefined) {
      const lane = this.#lanes.hold(parcel, 'backoff', this.#lastOfALane)
      wait(parcel, lane)
      this.#backOff(lane, delayMs)
      return
    }
    const lane = this.#lanes.isEmpty ? undefined : this.#lanes.of(parcel)
    if (lane !== undefined && isStuck(lane) && this.#shelve(parcel)) return
    if (!this.#isOpen) parcel.waits()
    this.#ready.push(parcel)
    this.#schedule()
  }

  /** The sink is open (again). */
  resume(): void {
    this.#isOpen = true
    this.#abort = new AbortController()
    this.#lanes.endOutage()
    this.#freeLanes()
    this.#schedule()
    for (const opened of this.#onOpen) opened()
  }

  /** The sink is gone: send nothing until `resume`. */
  suspend(): void {
    this.#isOpen = false
    this.#abort.abort()
    this.#park()
  }

  /** Forgets requests that are over: while their target is away they would gather here. */
  sweep(): void {
    const over = this.#lanes.takeOver()
    for (const queue of [this.#urgent, this.#ready]) {
      for (const parcel of queue.takeAll()) {
        if (isOver(parcel)) over.push(parcel)
        else queue.push(parcel)
      }
    }
    for (const parcel of over) {
      parcel.owner.failed(parcel, nobodyWaits)
      const lane = this.#lanes.of(parcel)
      if (lane?.scout === parcel) this.#free(lane) // it was on trial: what waits behind it would wait for ever
    }
    this.#schedule()
  }

  /** The gateway is about to stop: what is on disk and not under way stays there; what is under way is waited for. */
  windDown(): void {
    this.#isWindingDown = true
    this.#parkAll(this.#lanes.giveUpWhere(isKept))
  }

  /** The gateway stops: what is not under way goes back to its source. */
  stop(): void {
    this.#isStopped = true
    for (const parcel of [...this.#lanes.giveUpWhere(isAny), ...this.#urgent.takeAll(), ...this.#ready.takeAll()]) {
      parcel.owner.released(parcel)
    }
  }

  /**
   * While the sink is away and nothing is under way, what is on disk need not be here too. All at once, so that no part of
   * a lane stays behind.
   */
  #park(): void {
    if (this.#isOpen || this.#sends.length > 0) return
    this.#parkAll(this.#lanes.takeWhere(isKept))
  }

  #parkAll(parked: Parcel[]): void {
    for (const queue of [this.#urgent, this.#ready]) {
      for (const parcel of queue.takeAll()) {
        if (parcel.isKept) {
          parked.push(parcel)
          continue
        }
        parcel.waits()
        queue.push(parcel)
      }
    }
    for (const parcel of parked) parcel.owner.parked?.(parcel)
  }

  /** Once per turn of the event loop, so that all a source has read in one go leaves in one batch. */
  #schedule(): void {
    if (this.#isScheduled || !this.#isOpen) return
    this.#isScheduled = true
    queueMicrotask(() => {
      this.#isScheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    while (this.#isOpen && this.#sends.length < this.#sink.maxConcurrentSends) {
      const parcels = this.#gather()
      if (parcels.length === 0) return
      this.#send(parcels)
    }
  }

  #gather(): Parcel[] {
    const parcels: Parcel[] = []
    const { maxBatch } = this.#sink
    while (parcels.length < maxBatch) {
      const parcel = this.#urgent.shift() ?? this.#ready.shift()
      if (parcel === undefined) break
      if (this.#mustWait(parcel)) continue
      if (parcel.outbound.envelope.ttlMs !== undefined && isExpired(parcel, Date.now())) this.#expire(parcel)
      else if (isOver(parcel)) this.#drop(parcel, nobodyWaits)
      else parcels.push(parcel)
    }
    return parcels
  }

  #mustWait(parcel: Parcel): boolean {
    if (this.#sink.keepsOrder && this.#lanes.isEmpty) return false
    if (!parcel.isKeyed) return false
    const lane = this.#lanes.of(parcel)
    if (lane === undefined) {
      if (!this.#sink.keepsOrder) this.#lanes.hold(parcel, 'underway', this.#lastOfALane)
      return false
    }
    if (lane.scout === parcel) {
      lane.state = 'underway'
      return false
    }
    if (isBefore(parcel, lane) && this.#sink.keepsOrder) {
      lane.lastSend = this.#lastSend + 1
      return false
    }
    if (isStuck(lane) || lane.state === 'outage') parcel.waits()
    lane.waiting.push(parcel)
    return true
  }

  /**
   * Behind a message that is refused for now what is on disk stays there: a lane that is stuck must not fill the memory.
   * Nothing of such a lane is left to be sent, so that what is read again later finds none of it before itself.
   */
  #shelve(parcel: Parcel): boolean {
    if (parcel.isKept) parcel.owner.shelved?.(parcel)
    return parcel.isKept
  }

  /** Its first message has just been refused for now, and stands among the waiting. */
  #shelveBehind(first: Parcel, lane: Lane): void {
    if (!first.isKept || !first.isKeyed) return
    const behind = lane.waiting.filter((parcel) => parcel !== first)
    lane.waiting.splice(0, Number.POSITIVE_INFINITY, first)
    for (const queue of [this.#urgent, this.#ready]) {
      for (const parcel of queue.takeAll()) {
        if (parcel.lane === lane.name) behind.push(parcel)
        else queue.push(parcel)
      }
    }
    for (const parcel of behind) this.#shelve(parcel) // not before: its owner may send others in its place
  }

  #expire(parcel: Parcel): void {
    const { timestamp, ttlMs } = parcel.outbound.envelope
    this.#drop(parcel, new PermanentError('MESSAGE_EXPIRED', `its ttl of ${ttlMs} ms from ${timestamp} has passed`))
  }

  #drop(parcel: Parcel, error: PermanentError): void {
    parcel.owner.failed(parcel, error)
    const lane = this.#lanes.isEmpty ? undefined : this.#lanes.of(parcel)
    if (lane?.state === 'underway') this.#free(lane)
  }

  #send(parcels: readonly Parcel[]): void {
    const send: Send = { number: ++this.#lastSend, parcels, signal: this.#abort.signal, outcomes: undefined }
    this.#sends.push(send)
    failpoint('send.before')
    void this.#outcomes(parcels, send.signal).then((outcomes) => {
      send.outcomes = outcomes
      this.#finishSends()
    })
    failpoint('send.sent')
  }

  async #outcomes(parcels: readonly Parcel[], signal: AbortSignal): Promise<readonly Outcome[]> {
    const refusals = refusalsOf(parcels)
    if (refusals === undefined) return this.#answers(parcels.map(outboundOf), signal)
    const batch = parcels.filter((_, at) => refusals[at] === undefined).map(outboundOf)
    const answers = batch.length === 0 ? [] : [...(await this.#answers(batch, signal))]
    return parcels.map((_, at) => refusals[at] ?? answers.shift() ?? unanswered)
  }

  async #answers(batch: readonly Outbound[], signal: AbortSignal): Promise<readonly Outcome[]> {
    try {
      const outcomes = await withDeadline(this.#sink.send(batch, signal), sendDeadlineMs, 'a send')
      if (outcomes.length === batch.length) return outcomes
      throw new Error(`the sink gave ${outcomes.length} outcomes for ${batch.length} messages`)
    } catch (cause) {
      const error = cause instanceof RetryableError ? cause : new ProtocolFault(cause)
      return batch.map(() => retryable(error))
    }
  }

  #finishSends(): void {
    const nowMs = performance.now()
    for (let send = this.#answered(); send !== undefined; send = this.#answered()) {
      const { number, parcels, signal, outcomes } = send
      const at = { nowMs, isOld: signal !== this.#abort.signal }
      for (let i = 0; i < parcels.length; i += 1) this.#finish(parcels[i]!, outcomes![i] ?? unanswered, at)
      this.#sends.splice(this.#sends.indexOf(send), 1) // not before: until then nothing is parked, so that a lane stays whole
      if (this.#sink.keepsOrder) this.#lastFinishedSend = number
    }
    if (!this.#lanes.isEmpty) this.#freeLanes()
    if (this.#isOpen) this.#pump()
    else this.#park()
  }

  /** The next send whose outcomes are handled: in their order, or, where a lane has one message under way at most, as they come. */
  #answered(): Send | undefined {
    const [first] = this.#sends
    if (first?.outcomes !== undefined) return first
    return this.#sink.keepsOrder ? undefined : this.#sends.find(({ outcomes }) => outcomes !== undefined)
  }

  /** The latest send that may hold messages of a lane that waits; 0: none but its own. */
  get #lastOfALane(): number {
    return this.#sink.keepsOrder ? this.#lastSend : 0
  }

  #finish(parcel: Parcel, outcome: Outcome, { nowMs, isOld }: { nowMs: number; isOld: boolean }): void {
    if (this.#lanes.isGivenUp(parcel)) return this.#giveBack(parcel)
    const lane = this.#lanes.isEmpty ? undefined : this.#lanes.of(parcel)
    const isBehind = lane !== undefined && lane.state !== 'underway' && !isBefore(parcel, lane)
    // One before it in its lane failed: it is sent again behind that one, whatever became of it.
    if (isBehind && !this.#isStopped) {
      if (!isStuck(lane) || !this.#shelve(parcel)) wait(parcel, lane)
      return
    }
    if (outcome.kind === 'retryable') return this.#retry(parcel, outcome.error, isOld)
    if (outcome.kind === 'delivered') parcel.owner.confirmed(parcel, nowMs, outcome.reply)
    else {
      if (outcome.error.code !== 'DESTINATION_LIMIT') parcel.attempts += 1 // of that the target knows nothing
      parcel.owner.failed(parcel, outcome.error)
    }
    if (lane?.state === 'underway') this.#free(lane)
  }

  #retry(parcel: Parcel, error: RetryableError, isOld: boolean): void {
    parcel.failures += 1
    if (error.countsAsAttempt) parcel.attempts += 1
    if (this.#isStopped) return this.#giveBack(parcel)
    if (error.countsAsAttempt && parcel.attempts >= parcel.owner.retry.attempts) {
      parcel.owner.failed(parcel, error)
      const lane = this.#lanes.of(parcel)
      if (lane?.state === 'underway') this.#free(lane)
      return
    }
    const delayMs = error.isOutage
      ? undefined
      : (error.retryAfterMs ?? fullJitterMs(parcel.failures, parcel.owner.retry))
    parcel.owner.retried(parcel, error, delayMs)
    if (this.#isWindingDown && parcel.isKept) return this.#giveBack(parcel)
    const isTrial = this.#lanes.of(parcel)?.scout === parcel
    const lane = this.#lanes.hold(parcel, error.isOutage ? 'outage' : 'backoff', this.#lastOfALane)
    wait(parcel, lane)
    if (!error.isOutage && !isTrial) this.#shelveBehind(parcel, lane)
    if (error.isOutage && isOld && this.#isOpen)
      this.#lanes.due(lane) // the sink has been opened anew meanwhile
    else if (delayMs === undefined) this.#breakOff(error)
    else this.#backOff(lane, delayMs)
  }

  /** As the gateway ends: the next one sends it. */
  #giveBack(parcel: Parcel): void {
    this.#lanes.giveUp(parcel)
    if (!this.#isStopped && parcel.isKept) parcel.owner.parked?.(parcel)
    else parcel.owner.released(parcel)
  }

  #backOff(lane: Lane, delayMs: number): void {
    const whenDue = () => {
      this.#lanes.due(lane)
      this.#freeLanes()
      this.#schedule()
    }
    clearTimeout(lane.timer)
    lane.timer = setTimeout(whenDue, Math.min(delayMs, longestTimerMs))
  }

  #breakOff(error: GatewayError): void {
    if (!this.#isOpen) return
    this.suspend()
    this.#onOutage(error)
  }

  #freeLanes(): void {
    // a lane may wait for a send that never was: its message expired as it was gathered
    const finished = this.#sends.length === 0 ? Number.POSITIVE_INFINITY : this.#lastFinishedSend
    const lanes = [...this.#lanes.ready(finished)]
    if (lanes.length === 0) return
    const isTried = ({ state, waiting }: Lane) => state === 'backoff' && waiting[0]?.isKeyed === true
    this.#hurry(lanes.flatMap((lane) => (isTried(lane) ? this.#lanes.tryFirst(lane) : this.#lanes.letGo(lane))))
  }

  #free(lane: Lane): void {
    this.#hurry(this.#lanes.letGo(lane))
  }

  /** Merged by first order: of a lane freed before, the rest may still be urgent, and must stay behind. */
  #hurry(parcels: readonly Parcel[]): void {
    if (parcels.length === 0) return
    const merged = [...this.#urgent.takeAll(), ...parcels].sort(byPlace)
    for (const parcel of merged) this.#urgent.push(parcel)
  }
}

/** For longer than a turn of the event loop, perhaps: it owns what it holds. */
function wait(parcel: Parcel, lane: Lane): void {
  parcel.waits()
  lane.waiting.push(parcel)
}

/** By place: those for a destination that is one too many; undefined where there are none, as nearly always. */
function refusalsOf(parcels: readonly Parcel[]): readonly (Outcome | undefined)[] | undefined {
  let refusals: (Outcome | undefined)[] | undefined
  let nowMs = 0
  for (let at = 0; at < parcels.length; at += 1) {
    const { owner, outbound } = parcels[at] as Parcel
    if (owner.limit === undefined) continue
    nowMs ||= performance.now()
    const error = owner.limit.problemOf(outbound.target, nowMs)
    if (error === undefined) continue
    refusals ??= []
    refusals[at] = outcomeOf(error)
  }
  return refusals
}

const nobodyWaits = new PermanentError('MESSAGE_EXPIRED', 'its request is over')

const isAny = (): boolean => true

const isKept = (parcel: Parcel): boolean => parcel.isKept

const outboundOf = (parcel: Parcel): Outbound => parcel.outbound
