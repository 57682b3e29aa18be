import type { Delivery, Outbound } from '../../adapter/contract.ts'
import type { RouteConfig } from '../../config/schema/types.ts'
import type { Envelope } from '../../envelope/envelope.ts'
import { PermanentError, RetryableError } from '../../errors.ts'
import { failpoint } from '../../failpoint.ts'
import type { CompiledRoute, Forward } from '../../routing/router.ts'
import type { Append, Candidate, KeepWith, Outbox, Params, Repeatable, StoredMessage } from '../../store/contract.ts'
import type { DeadLetterReason } from '../../store/dead-letters.ts'
import type { RouteStats } from '../../telemetry/stats.ts'
import { fullDiskMs, longestTimerMs } from '../backoff.ts'
import { laneKeyOf } from '../parcel.ts'
import type { Receipt } from '../receipt.ts'
import type { Offered } from './feed.ts'
import { Starts } from './starts.ts'
import type { StoredOutlet, StoredRouteEnd } from './stored-outlet.ts'
import type { Ended, Resident } from './stored-parcel.ts'

/** What a route has in the store: new messages go there before their source hears of them, and from there to the outlets. */
export class StoredRoute implements StoredRouteEnd {
  readonly number: number
  readonly outlets: readonly StoredOutlet[]
  readonly starts: Starts
  readonly #compiled: CompiledRoute
  readonly #outbox: Outbox
  readonly #stats: RouteStats
  readonly #bits: readonly number[]
  readonly #repeats: Omit<Repeatable, 'id'> | undefined
  readonly #hopsOf: (envelope: Envelope) => string
  #wakeTimer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(parts: {
    compiled: CompiledRoute
    outbox: Outbox
    stats: RouteStats
    /** The route's number in the store, and the bit of each target. */
    number: number
    bits: readonly number[]
    outlets: (route: StoredRouteEnd) => readonly StoredOutlet[]
    /** Where and for how long it knows messages again; undefined: it does not look. */
    repeats?: Omit<Repeatable, 'id'> | undefined
    /** The gateways a message will have passed. */
    hopsOf: (envelope: Envelope) => string
  }) {
    this.#compiled = parts.compiled
    this.#outbox = parts.outbox
    this.#stats = parts.stats
    this.number = parts.number
    this.#bits = parts.bits
    this.#repeats = parts.repeats
    this.#hopsOf = parts.hopsOf
    this.starts = new Starts(parts.outbox)
    this.outlets = parts.outlets(this)
    const waiting = parts.outbox.waiting(parts.number).count
    this.#stats.waiting = waiting
    this.#stats.restored = waiting
    this.#planWake()
  }

  /** The source of `delivery` is told once the message is on disk. */
  keep(delivery: Delivery, receipt: Receipt, { params, forwards, identity }: Decided): void {
    this.#stats.matched += 1
    this.#stats.inFlight += 1
    this.#outbox.append(new Keeping(this, this.#compiled.route, { delivery, receipt, params, forwards, identity }))
  }

  repeatableOf(identity: string | undefined): Repeatable | undefined {
    const { scope, windowMs } = this.#repeats ?? {}
    if (identity === undefined || scope === undefined || windowMs === undefined) return undefined
    return { scope, id: identity, windowMs }
  }

  /** Called after the fsync. */
  kept(message: Resident & Offered, forwards: readonly Forward[], receivedMs: number): void {
    this.#stats.inFlight -= 1
    this.#stats.waiting += 1
    for (const { index, outbound } of forwards) {
      outbound.hops = this.#hopsOf(message.envelope)
      this.outlets[index]?.offer(message, outbound, receivedMs)
    }
  }

  /** True where its target takes a message at once. */
  isFlowing(forward: Forward | undefined): boolean {
    return forward !== undefined && this.outlets[forward.index]?.feed.isFlowing === true
  }

  /** The gateway ends and the store had no room for it. */
  released(receipt: Receipt): void {
    this.#stats.inFlight -= 1
    this.#stats.released += 1
    receipt.end('released')
  }

  repeated(receipt: Receipt): void {
    this.#stats.inFlight -= 1
    this.#stats.duplicates += 1
    receipt.end('filtered')
  }

  /** What it no longer goes to, or cannot, is done for all targets at once: one letter, and one result of the message. */
  outboundAgain(message: StoredMessage, index: number): Outbound | undefined {
    const decision = this.#compiled.decide(message.envelope, message.params, message.receivedAt)
    message.envelope.forgetJson()
    const forwards = decision.kind === 'forward' ? decision.targets : nothing
    const isUnwanted = (outlet: StoredOutlet, at: number) =>
      isWaitedForBy(message, outlet) &&
      !forwards.some((forward) => forward.index === at) &&
      (at === index || !outlet.feed.has(message.id))
    const unwanted = this.outlets.filter(isUnwanted)
    if (decision.kind === 'failed') this.#setAside(message, decision.error, unwanted)
    else if (unwanted.length > 0) {
      const isForwarded = forwards.some((forward) => (message.wanted & (this.#bits[forward.index] ?? 0)) !== 0)
      this.#refuse(message, unwanted, isForwarded)
    }
    const outbound = forwards.find((forward) => forward.index === index)?.outbound
    if (outbound !== undefined) outbound.hops = this.#hopsOf(message.envelope)
    return outbound
  }

  /** A message that none of its targets has seen is one letter, which will go to all of them again. */
  #setAside(message: StoredMessage, error: PermanentError, outlets: readonly StoredOutlet[]): void {
    if (bitsOf(outlets) === message.wanted) outlets[0]?.setAside(message, error, outlets)
    else for (const outlet of outlets) outlet.setAside(message, error)
  }

  /**
   * Its source was told that these targets would have it, and the rules have changed since: somebody has to know. A letter
   * that was requeued for several is decided anew among them: where one gets it, nothing is amiss.
   */
  #refuse(message: StoredMessage, outlets: readonly StoredOutlet[], isForwarded: boolean): void {
    if (message.requeues > 0 && isForwarded) this.#drop(message, outlets)
    else this.#setAside(message, unwantedNow, outlets)
  }

  #drop(message: StoredMessage, outlets: readonly StoredOutlet[]): void {
    const { id, route, bytes, wanted, attempts } = message
    const ended = (reason: DeadLetterReason | undefined) => this.ended(message, reason, true)
    const hasAttempts = attempts !== undefined
    this.#outbox.finish({ id, route, bytes, wanted, bits: bitsOf(outlets), hasAttempts, ended })
    for (const { feed } of outlets) feed.skip(id)
  }

  ended({ id, receivedAt }: Ended, dead: DeadLetterReason | undefined, isDropped: boolean): void {
    this.#stats.waiting -= 1
    this.starts.forget(id)
    if (dead !== undefined) this.#stats.countDeadLetter(dead)
    else if (isDropped) this.#stats.filtered += 1
    else {
      this.#stats.delivered += 1
      this.#stats.duration.observeMs(Math.max(0, Date.now() - receivedAt))
    }
  }

  /** Messages came back from the dead letters. */
  requeued(count: number): void {
    this.#stats.restored += count
    this.#stats.waiting += count
    for (const outlet of this.outlets) outlet.feed.refresh()
    this.#wake()
  }

  /** What waits longest on disk, and is not on its way at this moment. */
  longestWaiting(which: { limit: number; receivedBefore?: number | undefined }): readonly Candidate[] {
    return this.#outbox.waitingLongest(this.number, bitsOf(this.outlets), {
      ...which,
      isSuch: (id) => !this.#isOnItsWay(id),
    })
  }

  /** Makes a dead letter of a message that waits on disk; false for one that is on its way at this moment. */
  setAside(message: StoredMessage, error: PermanentError): boolean {
    if (this.#isOnItsWay(message.id)) return false
    const waiting = this.outlets.filter((outlet) => isWaitedForBy(message, outlet))
    for (const outlet of waiting) outlet.setAside(message, error)
    return waiting.length > 0
  }

  /** For `placeBy`. */
  get route(): number {
    return this.number
  }

  get bits(): readonly number[] {
    return this.#bits
  }

  /** For `placeBy`. */
  get match(): 'all' | 'first' {
    return this.#compiled.route.match
  }

  /** True while messages of it are on their way. */
  get isBusy(): boolean {
    return this.outlets.some((outlet) => outlet.isBusy)
  }

  /** What is not on its way stays where it is. */
  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#wakeTimer)
    for (const outlet of this.outlets) outlet.feed.stop()
  }

  #isOnItsWay(id: number): boolean {
    return this.outlets.some((outlet) => outlet.feed.has(id))
  }

  #wake(): void {
    if (this.#isStopped) return
    try {
      if (this.#outbox.wake(this.number, Date.now()) > 0) for (const outlet of this.outlets) outlet.feed.refresh()
      this.#planWake()
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error
      this.#planWake(fullDiskMs)
    }
  }

  #planWake(atLeastMs = 10): void {
    clearTimeout(this.#wakeTimer)
    const dueAt = this.#outbox.nextDueAt(this.number)
    if (dueAt === undefined) return
    const delayMs = Math.min(longestTimerMs, Math.max(atLeastMs, dueAt - Date.now()))
    this.#wakeTimer = setTimeout(() => this.#wake(), delayMs).unref()
  }
}

/** What the rules made of a message. */
interface Decided {
  readonly params: Params
  readonly forwards: readonly Forward[]
  /** What its copies share, where the route looks for them. */
  readonly identity: string | undefined
}

interface Taken extends Decided {
  readonly delivery: Delivery
  readonly receipt: Receipt
}

const nothing: readonly Forward[] = []

const unwantedNow = new PermanentError(
  'MESSAGE_UNWANTED',
  'the rules have changed while it waited, and no longer send it there',
)

function isWaitedForBy({ wanted, done }: StoredMessage, { bit }: StoredOutlet): boolean {
  return (wanted & ~done & bit) !== 0
}

function bitsOf(outlets: readonly StoredOutlet[]): number {
  return outlets.reduce((all, { bit }) => all | bit, 0)
}

/** A message between its source and the disk; then the message on its way, to save an object. */
class Keeping implements Append, Resident, Offered {
  readonly route: number
  readonly envelope: Envelope
  readonly params: Params
  readonly wanted: number
  readonly key: string | Uint8Array | undefined
  readonly deduplicate: Repeatable | undefined
  readonly keep: KeepWith | undefined
  readonly leavesSoon: boolean
  readonly receivedAt: number
  readonly requeues = 0
  readonly hasAttempts = false
  id = 0
  bytes = 0
  #targetsLeft: number
  readonly #stored: StoredRoute
  /** Let go as soon as the source has its answer. */
  #receipt: Receipt | undefined
  #forwards: readonly Forward[]

  constructor(stored: StoredRoute, route: RouteConfig, { delivery, params, receipt, forwards, identity }: Taken) {
    this.route = stored.number
    this.envelope = delivery.envelope
    this.params = params
    this.receivedAt = receipt.receivedAt
    let wanted = 0
    for (const { index } of forwards) wanted |= stored.bits[index] as number
    this.wanted = wanted
    this.key = route.order === 'none' ? undefined : keyOf(forwards, stored.bits.length)
    this.deduplicate = stored.repeatableOf(identity)
    const entry = receipt.isStoredByAll ? delivery.keep : undefined
    this.keep = entry && { connection: route.from.connection, entry }
    const [forward, another] = forwards
    this.leavesSoon = another === undefined && stored.isFlowing(forward)
    this.#stored = stored
    this.#receipt = receipt
    this.#forwards = forwards
    this.#targetsLeft = forwards.length
  }

  safe(id: number, bytes: number): void {
    this.id = id
    this.bytes = bytes
    const forwards = this.#forwards
    this.#forwards = nothing
    this.#stored.kept(this, forwards, this.#receipt?.receivedMs ?? 0)
  }

  /** The source hears of it when every target has it on its way, or has it wait on disk. */
  taken(): void {
    this.#targetsLeft -= 1
    if (this.#targetsLeft > 0) return
    this.#receipt?.end('stored')
    this.#receipt = undefined
    failpoint('source.acknowledged')
  }

  released(): void {
    if (this.#receipt !== undefined) this.#stored.released(this.#receipt)
  }

  duplicate(): void {
    if (this.#receipt !== undefined) this.#stored.repeated(this.#receipt)
  }
}

/** Targets of one route may order by different keys; then no message of it overtakes another. */
function keyOf(forwards: readonly Forward[], targets: number): string | Uint8Array | undefined {
  return targets === 1 && forwards[0] !== undefined ? laneKeyOf(forwards[0].outbound) : ''
}
