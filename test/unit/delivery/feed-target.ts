/** One target of a route on a store, as tests of its feed need it: what arrived, in which order, and what was given up. */
import { Dispatcher } from '../../../src/delivery/dispatcher.ts'
import { type Content, Parcel, type ParcelOwner } from '../../../src/delivery/parcel.ts'
import { Feed, type FeedOwner } from '../../../src/delivery/stored/feed.ts'
import { Residence, Room } from '../../../src/delivery/stored/residence.ts'
import { Starts } from '../../../src/delivery/stored/starts.ts'
import { type Outbox, rankOf, type StoredMessage } from '../../../src/store/contract.ts'
import { ScriptedSink } from './scripted.ts'

export interface FeedTargetOptions {
  readonly outbox: Outbox
  /** Resolves when all that the store was told before is written. */
  flushed(): Promise<void>
  /** Tells the store that the message has left for this target. */
  finish(id: number, bit: number): void
  readonly bit?: number
  readonly starts?: Starts
  readonly maxBatch?: number
  readonly room?: Room
  readonly attempts?: number
}

export class FeedTarget implements ParcelOwner, FeedOwner {
  readonly id = 'route/0/stored'
  readonly order = 'key'
  readonly retry: { readonly attempts: number; readonly delayMs: 1; readonly maxDelayMs: 1 }
  readonly bit: number
  readonly sink: ScriptedSink
  readonly dispatcher: Dispatcher
  readonly feed: Feed
  /** Confirmed, in their order. */
  readonly arrived: string[] = []
  readonly poisonous: string[] = []
  /** Messages whose source may be told. */
  taken = 0
  /** By text: not before that time, in milliseconds since the epoch. */
  readonly dueAt = new Map<string, number>()
  readonly #finish: FeedTargetOptions['finish']

  constructor(options: FeedTargetOptions) {
    const { outbox, flushed, finish, bit = 1, attempts = 3, maxBatch = 100 } = options
    const { starts = new Starts(outbox), room = new Room(new Residence(2 ** 30)) } = options
    this.bit = bit
    this.retry = { attempts, delayMs: 1, maxDelayMs: 1 }
    this.#finish = finish
    this.sink = new ScriptedSink({ maxBatch })
    this.dispatcher = new Dispatcher(this.sink, () => {})
    this.feed = new Feed({ outbox, route: 1, bit, dispatcher: this.dispatcher, room, owner: this, starts, flushed })
  }

  /** A message that has just been stored. */
  offer(row: Pick<StoredMessage, 'id' | 'envelope'>): void {
    this.feed.offer(this.parcelOf(row), { taken: () => (this.taken += 1) })
  }

  get sent(): readonly string[] {
    return this.sink.sent
  }

  parcelOf(row: Pick<StoredMessage, 'id' | 'envelope'>): Parcel {
    const outbound = { envelope: row.envelope, target: {}, format: undefined }
    const dueAt = this.dueAt.get(row.envelope.messageId) ?? 0
    return Object.assign(new Parcel<Content>(this, outbound, row), { isKept: true, rank: rankOf(row.id), dueAt })
  }

  readBack(row: StoredMessage): boolean {
    return this.feed.handOut(this.parcelOf(row))
  }
  poisoned(row: StoredMessage): void {
    this.poisonous.push(row.envelope.messageId)
    this.#finish(row.id, this.bit)
  }
  damaged(row: StoredMessage): void {
    this.poisoned(row)
  }
  confirmed(parcel: Parcel): void {
    this.arrived.push(parcel.outbound.envelope.messageId)
    this.#finish(parcel.message.id, this.bit)
    this.feed.left(parcel)
  }
  retried(parcel: Parcel, _error: unknown, delayMs: number | undefined): void {
    this.feed.answered(parcel.message.id)
    if (delayMs !== undefined) this.feed.refused(parcel)
  }
  failed(parcel: Parcel): void {
    this.confirmed(parcel)
  }
  released(parcel: Parcel): void {
    this.feed.released(parcel)
  }
  parked(parcel: Parcel): void {
    this.feed.parked(parcel)
  }
  shelved(parcel: Parcel): void {
    this.feed.shelved(parcel)
  }
}

export const nextTurn = () => new Promise((resolve) => setImmediate(resolve))

/** Turn by turn, until it is so. */
export async function until(isSo: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + 50_000
  while (!isSo()) {
    if (performance.now() > giveUpAt) throw new Error('it never came')
    await nextTurn()
  }
}
