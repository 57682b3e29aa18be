import type { Outbound } from '../../adapter/contract.ts'
import { type GatewayError, PermanentError } from '../../errors.ts'
import { failpoint } from '../../failpoint.ts'
import type { CompiledRoute, Forwarding } from '../../routing/router.ts'
import {
  type Attempts,
  type Candidate,
  type Outbox,
  type Repeatable,
  rankOf,
  type StoredMessage,
} from '../../store/contract.ts'
import type { RouteStats } from '../../telemetry/stats.ts'
import type { DeadLetterOffice } from '../dead-letters/office.ts'
import { type Custody, Message, type Place, type RouteParcel } from '../message.ts'
import type { Outlet } from '../outlet.ts'
import { laneKeyOf } from '../parcel.ts'
import { Endings } from './endings.ts'
import { Feed } from './feed.ts'
import { Keeping } from './keeping.ts'
import { type Residence, Room } from './residence.ts'
import { RulesAgain } from './rules-again.ts'
import { SetAside } from './set-aside.ts'
import { Starts } from './starts.ts'
import { bitsOf, bitsWanted, isWaitedForBy, type StoredTarget } from './stored-target.ts'
import { WakeUp } from './wake-up.ts'

const damagedThere = new PermanentError(
  'STORE_DAMAGED',
  'what the store has of it is not what was written: the disk, or something that writes there, has changed it',
)

/**
 * `acknowledge: stored`: this disk holds a message from the fsync on, until every target has confirmed it or its dead letter
 * is on disk too. Its source is answered after the fsync, once each target has the message on its way or has it wait its turn.
 */
export class StoreCustody implements Custody {
  readonly stats: RouteStats
  readonly #compiled: CompiledRoute
  /** The route's, in the store. */
  readonly number: number
  readonly #outbox: Outbox
  readonly #repeats: Omit<Repeatable, 'id'> | undefined
  readonly #deadLetters: DeadLetterOffice
  readonly #endings: Endings
  readonly #aside: SetAside
  readonly #targets: readonly StoredTarget[]
  readonly #rules: RulesAgain
  readonly #wakeUp: WakeUp

  constructor(parts: {
    compiled: CompiledRoute
    stats: RouteStats
    /** The route's number in the store. */
    number: number
    outlets: readonly Outlet[]
    deadLetters: DeadLetterOffice
    outbox: Outbox
    /** Resolves when the store has all that was handed over. */
    flushed: () => Promise<void>
    residence: Residence
    /** Where and for how long it knows messages again; undefined: it does not look. */
    repeats?: Omit<Repeatable, 'id'> | undefined
  }) {
    const { compiled, stats, number, outbox, deadLetters } = parts
    this.stats = stats
    this.#compiled = compiled
    this.number = number
    this.#outbox = outbox
    this.#repeats = parts.repeats
    this.#deadLetters = deadLetters
    const starts = new Starts(outbox)
    this.#endings = new Endings({ route: number, outbox, stats, starts })
    this.#aside = new SetAside(deadLetters, this.#endings)
    this.#targets = parts.outlets.map((outlet) => this.#targetOf(outlet, starts, parts))
    this.#rules = new RulesAgain(compiled, this.#targets, this.#aside)
    const waiting = outbox.waiting(number).count
    stats.waiting = waiting
    stats.restored = waiting
    this.#wakeUp = new WakeUp(outbox, number, () => this.#refresh())
  }

  take(message: Message, { outbounds, identity }: Forwarding): void {
    const { from, order } = this.#compiled.route
    const first = outbounds.findIndex((outbound) => outbound !== undefined)
    message.wanted = bitsWanted(this.#targets, outbounds)
    this.#outbox.append(
      new Keeping(this, message, {
        route: this.number,
        outbounds,
        // targets of one route may order by different keys; then no message of it overtakes another
        key: order === 'none' ? undefined : this.#targets.length > 1 ? '' : laneKeyOf(outbounds[first] as Outbound),
        deduplicate: this.#repeatableOf(identity),
        keep: message.keep && { connection: from.connection, entry: message.keep },
      }),
    )
  }

  /** Mark: the message is on disk. */
  kept(message: Message, outbounds: Forwarding['outbounds']): void {
    this.stats.inFlight -= 1
    this.stats.waiting += 1
    for (let index = 0; index < outbounds.length; index += 1) {
      const outbound = outbounds[index]
      if (outbound === undefined) continue
      const target = this.#targets[index] as StoredTarget
      target.feed.offer(parcelOf(target, message, outbound), message)
    }
  }

  confirmed(parcel: RouteParcel): void {
    failpoint('send.confirmed')
    this.#endings.confirmed(parcel)
    this.#feedOf(parcel).left(parcel)
  }

  /** An outage counts as no attempt; all else outlives a restart. */
  retried(parcel: RouteParcel, _: GatewayError, delayMs: number | undefined): void {
    const { attempts, failures, message, owner } = parcel
    const feed = this.#feedOf(parcel)
    feed.answered(message.id)
    if (delayMs === undefined) return
    feed.refused(parcel)
    const notedAt = Date.now()
    const noted = { attempts, failures, dueAt: notedAt + delayMs, notedAt }
    this.#outbox.attempted(this.number, message.id, owner.bit, noted)
    failpoint('attempt.noted')
  }

  failed(parcel: RouteParcel, error: GatewayError, place: Place): void {
    const { message, owner } = parcel
    const feed = this.#feedOf(parcel)
    this.#deadLetters.bury(
      { message, error, place },
      {
        admitted: (dead) => {
          this.#endings.dead(message, { bits: owner.bit, dead })
          feed.left(parcel)
        },
        held: () => parcel.waits(),
        released: () => feed.released(parcel),
      },
    )
  }

  released(parcel: RouteParcel): void {
    this.#feedOf(parcel).released(parcel)
  }

  parked(parcel: RouteParcel): void {
    this.#feedOf(parcel).parked(parcel)
  }

  shelved(parcel: RouteParcel): void {
    this.#feedOf(parcel).shelved(parcel)
  }

  /** Messages came back from the dead letters. */
  requeued(count: number): void {
    this.stats.restored += count
    this.stats.waiting += count
    this.lookAgain()
  }

  /** There may be messages in the store that nobody has read. */
  lookAgain(): void {
    this.#refresh()
    this.#wakeUp.look()
  }

  /** What waits longest on disk, and is not on its way at this moment. */
  longestWaiting(which: { limit: number; receivedBefore?: number | undefined }): readonly Candidate[] {
    const isSuch = (id: number) => !this.#isOnItsWay(id)
    return this.#outbox.waitingLongest(this.number, bitsOf(this.#targets), { ...which, isSuch })
  }

  /** Makes a dead letter of a message that waits on disk; false for one that is on its way at this moment. */
  setAside(row: StoredMessage, error: PermanentError): boolean {
    if (this.#isOnItsWay(row.id)) return false
    const waiting = this.#targets.filter((target) => isWaitedForBy(row, target))
    for (const target of waiting) this.#aside.letter(row, row.isDamaged ? damagedThere : error, [target])
    return waiting.length > 0
  }

  /** True while messages of it are in memory, on their way. */
  get isBusy(): boolean {
    return this.#targets.some(({ room }) => !room.isEmpty)
  }

  /** What is not on its way stays where it is. */
  stop(): void {
    this.#wakeUp.stop()
    for (const { feed } of this.#targets) feed.stop()
  }

  #targetOf(
    outlet: Outlet,
    starts: Starts,
    {
      number: route,
      outbox,
      flushed,
      residence,
    }: { number: number; outbox: Outbox; flushed: () => Promise<void>; residence: Residence },
  ): StoredTarget {
    const room = new Room(residence)
    const owner = {
      readBack: (row: StoredMessage) => this.#readBack(row, outlet.index),
      poisoned: (row: StoredMessage) => this.#poisoned(row, outlet.index),
      damaged: (row: StoredMessage) => this.#damaged(row, outlet.index),
    }
    const { bit, dispatcher } = outlet
    return { outlet, room, feed: new Feed({ outbox, route, bit, dispatcher, room, owner, starts, flushed }) }
  }

  /** False when it does not leave now. */
  #readBack(row: StoredMessage, index: number): boolean {
    const target = this.#targets[index] as StoredTarget
    const outbound = this.#rules.outboundOf(row, index)
    if (outbound === undefined) return false
    const parcel = parcelOf(target, messageAgain(this, row), outbound)
    const attempts = row.attempts?.get(target.outlet.bit)
    parcel.attempts = attempts?.attempts ?? 0
    parcel.failures = attempts?.failures ?? 0
    if (attempts !== undefined) parcel.dueAt = dueAgain(attempts)
    return target.feed.handOut(parcel)
  }

  #poisoned(row: StoredMessage, index: number): void {
    const text = `${row.starts} starts of the gateway ended while it was on its way`
    this.#aside.letter(row, new PermanentError('MESSAGE_POISONOUS', text), [this.#targets[index] as StoredTarget])
  }

  /** What is there of it is its letter's payload: people may know what it was. */
  #damaged(row: StoredMessage, index: number): void {
    this.#aside.letter(row, damagedThere, [this.#targets[index] as StoredTarget])
  }

  #refresh(): void {
    for (const { feed } of this.#targets) feed.refresh()
  }

  #isOnItsWay(id: number): boolean {
    return this.#targets.some(({ feed }) => feed.has(id))
  }

  #feedOf({ owner }: RouteParcel): Feed {
    return (this.#targets[owner.index] as StoredTarget).feed
  }

  #repeatableOf(identity: string | undefined): Repeatable | undefined {
    return identity === undefined || this.#repeats === undefined ? undefined : { ...this.#repeats, id: identity }
  }
}

function parcelOf({ outlet }: StoredTarget, message: Message, outbound: Outbound): RouteParcel {
  const parcel = outlet.parcelOf(message, outbound)
  parcel.isKept = true
  parcel.rank = rankOf(message.id)
  return parcel
}

/** A message read back; its source has long been answered. */
function messageAgain(custody: Custody, row: StoredMessage): Message {
  const { envelope, params, receivedAt } = row
  const arrival = { ms: performance.now() - Math.max(0, Date.now() - receivedAt), at: receivedAt, link: undefined }
  const { id, wanted, requeues } = row
  return Object.assign(new Message(custody, envelope, { params, arrival }), { id, wanted, requeues })
}

/** Milliseconds since the epoch. Where the clock has been set back meanwhile, the whole delay from now. */
function dueAgain({ dueAt, notedAt }: Attempts): number {
  const nowEpochMs = Date.now()
  return nowEpochMs < notedAt ? nowEpochMs + dueAt - notedAt : dueAt
}
