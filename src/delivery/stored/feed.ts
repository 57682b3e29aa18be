import { Queue } from '../../adapter/queue.ts'
import { failpoint } from '../../failpoint.ts'
import { type Outbox, rankOf, type StoredMessage, sequenceOf } from '../../store/contract.ts'
import { fullDiskMs } from '../backoff.ts'
import type { Dispatcher } from '../dispatcher.ts'
import type { Parcel } from '../parcel.ts'
import { type Cursor, Cursors } from './cursors.ts'
import { Rate } from './rate.ts'
import type { Room } from './residence.ts'
import { Shelf } from './shelf.ts'
import type { Starts } from './starts.ts'
import { Trial } from './trial.ts'

/** Messages in one read of the store: one turn of the event loop deals with them. */
const pageCount = 512
const pageBytes = 2 * 1024 ** 2
/** A target with its hands full slows its sources for so long; then their messages wait on disk. Milliseconds. */
const holdMs = 100

/** What a feed needs to hand a message on. */
export interface FeedOwner {
  /** A message read back; false when it does not leave now, e.g. as its rules have changed. */
  readBack(message: StoredMessage): boolean
  /** The process died of it again and again. */
  poisoned(message: StoredMessage): void
  /** It is not what was written. */
  damaged(message: StoredMessage): void
}

/** A message that waits to be told that its targets have it. */
export interface Offered {
  /** One target has it on its way, or has it wait on disk. */
  taken(): void
}

interface Held {
  readonly parcel: Parcel
  readonly message: Offered
  readonly heldMs: number
}

/**
 * One target's messages in the store, in order. While nothing waits on disk before it, a new message is handed on straight
 * from memory and never read back; else it waits its turn: `after` < `end`. No cursor goes back: what memory had and had to forget is
 * remembered by its id, and fetched.
 */
export class Feed {
  readonly #outbox: Outbox
  readonly #route: number
  readonly #bit: number
  readonly #dispatcher: Dispatcher
  readonly #room: Room
  readonly #owner: FeedOwner
  readonly #trial: Trial
  readonly #flushed: () => Promise<void>
  readonly #cursors: Cursors
  /** What is on its way or held, by sequence: small numbers cost a set much less than ids. */
  readonly #inMemory = new Set<number>()
  /** Stored, their sources not yet told. */
  readonly #held = new Queue<Held>()
  #patience: NodeJS.Timeout | undefined
  readonly #rate = new Rate(holdMs)
  #later: NodeJS.Timeout | undefined
  /** Set aside, which is not yet on disk. */
  readonly #skipped = new Set<number>()
  readonly #shelf = new Shelf()
  /** Ids of what was in memory when its target went away, to be fetched before all else. */
  #parked: number[] = []
  #isTaking = false
  #isFetching = false
  #isScheduled = false
  #isStopped = false

  constructor(parts: {
    outbox: Outbox
    route: number
    bit: number
    dispatcher: Dispatcher
    room: Room
    owner: FeedOwner
    /** Shared by the targets of a route. */
    starts: Starts
    /** Resolves when the store has all that was handed over. */
    flushed: () => Promise<void>
  }) {
    this.#outbox = parts.outbox
    this.#route = parts.route
    this.#bit = parts.bit
    this.#dispatcher = parts.dispatcher
    this.#room = parts.room
    this.#owner = parts.owner
    this.#trial = new Trial(parts.starts, () => this.#schedule())
    this.#flushed = parts.flushed
    this.#cursors = new Cursors(this.#outbox.ends(this.#route))
    this.#dispatcher.onOpen(() => this.#onOpen())
  }

  /** True when messages wait on disk for their turn. */
  get isBehind(): boolean {
    return this.#isFetching || this.#parked.length > 0 || this.#cursors.isBehind
  }

  /** More to read back than it will have handed on in a moment: its sources need not wait for that. */
  get #isFarBehind(): boolean {
    const { perWindow } = this.#rate
    return this.#parked.length > perWindow || (this.#cursors.isBehind && this.#cursors.unread > perWindow)
  }

  /**
   * A message that has just been stored: on its way, or it waits on disk for its turn. While its target is up and has only
   * its hands full, or is about to catch up, it is held for a moment, and `message.taken` is called later: so
   * its source is slowed to the pace of the target before anything has to be read back.
   */
  offer(parcel: Parcel, message: Offered): void {
    if (this.#isStopped || !this.#dispatcher.isOpen || this.#isFarBehind || this.#shelf.isFull) {
      this.#loseHold() // what came before it must not come to be read, or handed on, behind it
      return this.#leaveOnDisk(parcel, message)
    }
    if (this.#held.size === 0 && !this.#room.isFull && !this.isBehind) return this.#take(parcel, message)
    const heldMs = performance.now()
    this.#held.push({ parcel, message, heldMs })
    this.#inMemory.add(sequenceOf(parcel.message.id))
    this.#patience ??= setTimeout(() => this.#losePatience(), holdMs)
  }

  /** True while a message is on its way, or its source waits for it to be. */
  has(id: number): boolean {
    return this.#inMemory.has(sequenceOf(id)) || this.#skipped.has(id)
  }

  /** It has just been set aside, which the store has been told: until that is on disk, a read still finds it. */
  skip(id: number): void {
    this.#skipped.add(id)
    this.#shelf.forget(id)
    // each waits for its own: what is set aside while an earlier one is being committed is not on disk with it
    void this.#flushed().then(
      () => this.#skipped.delete(id),
      () => {}, // the store has failed: the process ends
    )
  }

  /** It is being set aside without having been on its way: until `letGo` it is in memory like one that is. */
  hold({ id, envelope }: Pick<StoredMessage, 'id' | 'envelope'>): void {
    this.#inMemory.add(sequenceOf(id))
    this.#room.take(envelope.sizeBytes)
  }

  letGo({ id, envelope }: Pick<StoredMessage, 'id' | 'envelope'>): void {
    this.#inMemory.delete(sequenceOf(id))
    this.#room.give(envelope.sizeBytes, false)
    this.#fillUp()
  }

  /** False when it stays on disk, as others of its lane that are there are to be fetched before. */
  handOut(parcel: Parcel): boolean {
    if (this.#shelf.holdsBefore(parcel)) {
      this.#shelf.put(parcel)
      this.#inMemory.delete(sequenceOf(parcel.message.id))
      return false
    }
    this.#room.take(parcel.sizeBytes)
    this.#inMemory.add(sequenceOf(parcel.message.id))
    if (parcel.dueAt > Date.now()) this.#setAside(parcel)
    this.#dispatcher.add(parcel)
    return true
  }

  /** It has ended, which the store has been told. */
  left(parcel: Parcel): void {
    this.#rate.count()
    this.#forget(parcel)
  }

  /** The gateway stops: it stays on disk. */
  released(parcel: Parcel): void {
    this.#forget(parcel)
  }

  /** It waits for its time. */
  refused(parcel: Parcel): void {
    if (parcel.isRefused) return
    this.#setAside(parcel)
    this.#fillUp()
  }

  #setAside(parcel: Parcel): void {
    parcel.isRefused = true
    this.#room.setAside()
  }

  /** One of its lane before it is refused for now: the dispatcher has forgotten it until that one has got through. */
  shelved(parcel: Parcel): void {
    this.#shelf.put(parcel)
    this.#forget(parcel)
  }

  #forget(parcel: Parcel): void {
    this.#room.give(parcel.sizeBytes, parcel.isRefused)
    this.#inMemory.delete(sequenceOf(parcel.message.id))
    this.answered(parcel.message.id)
    if (this.#shelf.has(parcel)) this.#shelf.mayGoOn(parcel.lane)
    this.#fillUp()
  }

  /** The process outlived it. */
  answered(id: number): void {
    this.#trial.answered(id)
  }

  /** The dispatcher has forgotten it for as long as the target is away. */
  parked(parcel: Parcel): void {
    this.#parked.push(parcel.message.id)
    this.#loseHold()
    this.#forget(parcel)
  }

  /** The store has more than this feed was told of. */
  refresh(): void {
    this.#loseHold()
    for (const end of this.#outbox.ends(this.#route)) this.#cursors.reach(end)
    this.#schedule()
  }

  /** Nothing more is read or handed on. */
  stop(): void {
    this.#isStopped = true
    this.#trial.stop()
    clearTimeout(this.#later)
    this.#loseHold()
  }

  #take(parcel: Parcel, message: Offered): void {
    this.#cursors.pass(parcel.message.id)
    this.handOut(parcel)
    message.taken()
  }

  #leaveOnDisk(parcel: Parcel, message: Offered): void {
    this.#inMemory.delete(sequenceOf(parcel.message.id))
    this.#cursors.reach(parcel.message.id)
    message.taken()
    this.#readOn() // with nothing on its way, nobody else would
  }

  /** What it hands out may be shelved at once and make room for the next: the loop goes on, and does not begin again within itself. */
  #takeHeld(): void {
    if (this.#isTaking) return
    this.#isTaking = true
    let next = this.#held.peek()
    while (next !== undefined && !this.#room.isFull && this.#dispatcher.isOpen && !this.isBehind) {
      this.#held.shift()
      this.#take(next.parcel, next.message)
      next = this.#held.peek()
    }
    this.#isTaking = false
    if (next !== undefined) return
    clearTimeout(this.#patience)
    this.#patience = undefined
  }

  /** The timer is not moved with each message: it looks how long the first has been held, and comes again. */
  #losePatience(): void {
    this.#patience = undefined
    const first = this.#held.peek()
    if (first === undefined) return
    const leftMs = first.heldMs + holdMs - performance.now()
    if (leftMs <= 0) this.#loseHold()
    else this.#patience = setTimeout(() => this.#losePatience(), Math.max(1, leftMs))
  }

  /** The target is slow: what was held waits on disk. */
  #loseHold(): void {
    clearTimeout(this.#patience)
    this.#patience = undefined
    for (const { parcel, message } of this.#held.takeAll()) this.#leaveOnDisk(parcel, message)
  }

  #onOpen(): void {
    this.#parked.sort((a, b) => a - b)
    this.#shelf.allMayGoOn()
    this.#schedule()
  }

  /** There may be room for more. */
  #fillUp(): void {
    if (this.#held.size > 0) this.#takeHeld()
    this.#readOn()
  }

  #readOn(): void {
    if (this.#room.hasSlack || this.#room.isCrowdedOut) this.#schedule()
  }

  /** In the next turn of the event loop: the dispatcher is through with its own by then. */
  #schedule(): void {
    if (this.#isScheduled || this.#isStopped || !this.#dispatcher.isOpen) return
    if (!this.isBehind && !this.#shelf.mayHaveNext) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#load()
    })
  }

  /** One page; the next turn of the event loop reads the next. */
  #load(): void {
    if (this.#isStopped || !this.#dispatcher.isOpen) return
    if (this.#room.isCrowdedOut) return this.#loadLater()
    if (this.#room.isFull || this.#trial.isUnderWay) return
    if (this.#outbox.isBacklogged) return this.#loadLater()
    const limit = Math.min(pageCount, this.#room.left)
    const cursor = this.#shelf.isFull ? undefined : this.#cursors.next
    const fetched = this.#parked[0] ?? this.#shelf.next((lane) => this.#dispatcher.holds(lane))
    if (fetched !== undefined && (cursor === undefined || rankOf(fetched) >= cursor.rank)) this.#fetch(limit)
    else if (cursor !== undefined) this.#read(cursor, limit)
    else return
    if (this.#held.size > 0 && !this.isBehind) this.#takeHeld()
    if (this.#later === undefined) this.#schedule()
  }

  #read(cursor: Cursor, limit: number): void {
    const range = { after: cursor.after, upTo: cursor.end, limit, maxBytes: pageBytes }
    const rows = this.#outbox.read(this.#route, this.#bit, range)
    failpoint('feed.read')
    const fresh = rows.filter(({ id }) => !this.has(id)) // one that is being set aside
    const part = this.#trial.partOf(fresh)
    if (part === undefined) return this.#loadLater()
    this.#handOnAll(part)
    const isPart = part.length < fresh.length
    cursor.after = (isPart ? part.at(-1)?.id : rows.at(-1)?.id) ?? range.upTo
  }

  /** What was in memory once: of an outage first, as lanes may have some of theirs there, and then of lanes that go on. */
  #fetch(limit: number): void {
    const isParked = this.#parked.length > 0
    const taken = isParked ? this.#parked.splice(0, limit).map((id) => ({ id, lane: '' })) : this.#shelf.take(limit)
    const ids = taken.map(({ id }) => id).sort((a, b) => a - b)
    this.#isFetching = true // what is stored meanwhile goes behind it
    const rows = this.#outbox.fetch(this.#route, this.#bit, ids, pageBytes)
    failpoint('feed.read')
    const fresh = rows.filter(({ id }) => !this.has(id)) // one that is being set aside
    const part = this.#trial.partOf(fresh)
    this.#handOnAll(part ?? [])
    this.#isFetching = false
    if (part === undefined) this.#loadLater()
    const upTo =
      part === undefined ? 0 : ((part.length < fresh.length ? part : rows).at(-1)?.id ?? Number.POSITIVE_INFINITY)
    const left = taken.filter(({ id }) => id > upTo)
    if (isParked) this.#parked.unshift(...left.map(({ id }) => id))
    else for (const one of left) this.#shelf.putBack(one)
  }

  #handOnAll(rows: readonly StoredMessage[]): void {
    for (const row of rows) this.#trial.begin(row) // all of a group before the first: one may be answered at once
    for (const row of rows) if (!this.#handOn(row)) this.#trial.forget(row.id)
    this.#trial.endIfAnswered()
  }

  /** The disk is full, and what would make room cannot be written either: no more is read until it can. */
  #loadLater(): void {
    this.#later ??= setTimeout(() => {
      this.#later = undefined
      this.#schedule()
    }, fullDiskMs)
  }

  /** False when it does not leave now. */
  #handOn(row: StoredMessage): boolean {
    if (this.#skipped.has(row.id)) return false
    if (row.isDamaged) this.#owner.damaged(row)
    else if (this.#trial.isPoison(row)) this.#owner.poisoned(row)
    else return this.#owner.readBack(row)
    return false
  }
}
