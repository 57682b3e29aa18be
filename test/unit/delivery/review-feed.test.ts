import { afterEach, describe, expect, jest, test } from '@jest/globals'
import { delivered } from '../../../src/adapter/contract.ts'
import { Dispatcher } from '../../../src/delivery/dispatcher.ts'
import { Feed, type FeedOwner } from '../../../src/delivery/feed.ts'
import type { Parcel } from '../../../src/delivery/parcel.ts'
import { Residence, Room } from '../../../src/delivery/residence.ts'
import { Starts } from '../../../src/delivery/starts.ts'
import { StoredParcel, type StoredParcelOwner } from '../../../src/delivery/stored-parcel.ts'
import { idOf, type Outbox, rankOf, type StoredMessage, sequenceOf } from '../../../src/store/contract.ts'
import { message } from '../store/stores.ts'
import { lost, ScriptedSink } from './scripted.ts'

const nextTurn = () => new Promise((resolve) => setImmediate(resolve))
async function until(isSo: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + 30_000
  while (!isSo()) {
    if (performance.now() > giveUpAt) throw new Error('it never came')
    await nextTurn()
  }
}

type Row = { -readonly [Name in keyof StoredMessage]: StoredMessage[Name] }

/** The outbox of one route, whose reads and marks are counted. */
class FakeOutbox {
  rows: Row[] = []
  reads = 0
  readonly marks: number[][] = []
  recoveredUpTo = 0
  #sequence = 0

  add(text: string, { rank = 0, wanted = 1, starts = 0 } = {}): Row {
    this.#sequence += 1
    const envelope = message({ messageId: text, payload: Buffer.from(text), key: 'k' })
    const basics = {
      id: idOf(rank, this.#sequence),
      route: 1,
      bytes: 1,
      envelope,
      params: {},
      receivedAt: 0,
      requeues: 0,
    }
    const row = { ...basics, wanted, done: 0, starts, attempts: undefined }
    this.rows.push(row)
    this.rows.sort((a, b) => a.id - b.id)
    return row
  }

  /** What is here was left by a process that died. */
  crash(): void {
    this.recoveredUpTo = this.#sequence
  }

  finish(id: number, bit: number): void {
    const row = this.rows.find((one) => one.id === id)!
    row.done |= bit
    if ((row.wanted & ~row.done) === 0) this.rows.splice(this.rows.indexOf(row), 1)
  }

  read(_route: number, bit: number, { after, upTo, limit }: { after: number; upTo: number; limit: number }) {
    this.reads += 1
    const isMeant = ({ id, wanted, done }: Row) => id > after && id <= upTo && (wanted & ~done & bit) !== 0
    return this.rows
      .filter(isMeant)
      .slice(0, limit)
      .map((row) => ({ ...row }))
  }

  ends(): number[] {
    const ends = new Map<number, number>()
    for (const { id } of this.rows) ends.set(rankOf(id), Math.max(id, ends.get(rankOf(id)) ?? 0))
    return [...ends].sort(([a], [b]) => b - a).map(([, id]) => id)
  }

  markStart(ids: readonly number[]): void {
    this.marks.push(ids.map(sequenceOf))
    for (const row of this.rows) if (ids.includes(row.id)) row.starts += 1
  }

  absolve(ids: readonly number[]): void {
    for (const row of this.rows) if (ids.includes(row.id)) row.starts -= 1
  }
}

/** One target: a sink, its dispatcher, and what became of each message. */
class Target implements StoredParcelOwner, FeedOwner {
  readonly id = 'route/0/stored'
  readonly order = 'key'
  readonly retry = { attempts: 3, delayMs: 1, maxDelayMs: 1 }
  readonly sink: ScriptedSink
  readonly dispatcher: Dispatcher
  readonly feed: Feed
  readonly poisonous: string[] = []
  readonly bit: number
  /** Messages whose source may be told. */
  taken = 0
  readonly #outbox: FakeOutbox

  constructor(outbox: FakeOutbox, { bit = 1, starts = new Starts(outbox as unknown as Outbox), maxBatch = 100 } = {}) {
    this.#outbox = outbox
    this.bit = bit
    this.sink = new ScriptedSink({ maxBatch })
    this.dispatcher = new Dispatcher(this.sink, () => {})
    this.feed = new Feed({
      outbox: outbox as unknown as Outbox,
      route: 1,
      bit,
      dispatcher: this.dispatcher,
      room: new Room(new Residence(2 ** 30)),
      owner: this,
      starts,
      flushed: () => new Promise((resolve) => setImmediate(() => setImmediate(resolve))),
    })
  }

  /** A message that has just been stored. */
  offer(row: StoredMessage): void {
    this.feed.offer(this.#parcelOf(row), { taken: () => (this.taken += 1) })
  }

  readBack(row: StoredMessage): boolean {
    this.feed.handOut(this.#parcelOf(row))
    return true
  }
  poisoned(row: StoredMessage): void {
    this.poisonous.push(row.envelope.messageId)
    this.#outbox.finish(row.id, this.bit)
  }
  confirmed(parcel: Parcel): void {
    this.#outbox.finish((parcel as StoredParcel).message.id, this.bit)
    this.feed.left(parcel as StoredParcel)
  }
  retried(parcel: Parcel): void {
    this.feed.answered((parcel as StoredParcel).message.id)
  }
  failed(parcel: Parcel): void {
    this.confirmed(parcel)
  }
  released(parcel: Parcel): void {
    this.feed.left(parcel as StoredParcel)
  }
  parked(parcel: Parcel): void {
    this.feed.parked(parcel as StoredParcel)
  }
  ended(): void {}

  get sent(): readonly string[] {
    return this.sink.sent
  }

  #parcelOf(row: StoredMessage): StoredParcel {
    const outbound = { envelope: row.envelope, target: {}, format: undefined }
    return new StoredParcel(this, outbound, 0, { ...row, hasAttempts: false })
  }
}

afterEach(() => void jest.useRealTimers())

const names = (count: number, first = 1): string[] => Array.from({ length: count }, (_, i) => `m${first + i}`)


describe('REVIEW held and behind', () => {
  test('a requeued message while others are held is delivered', async () => {
    const outbox = new FakeOutbox()
    const target = new Target(outbox)
    target.dispatcher.resume()
    target.sink.isHolding = true
    for (const text of names(1_100)) target.offer(outbox.add(text)) // 1,024 on their way, 76 held
    outbox.add('m1101') // came back from the dead letters
    target.feed.refresh()
    target.offer(outbox.add('m1102')) // behind: waits on disk, its source is told
    await until(() => target.sink.held.length === 1)
    target.sink.isHolding = false
    target.sink.held[0]!.answer(target.sink.held[0]!.texts.map(() => delivered))
    const giveUp = performance.now() + 1_500
    await until(() => outbox.rows.length === 0 || performance.now() > giveUp)
    const left = outbox.rows.map((r) => r.envelope.messageId)
    target.offer(outbox.add('m1103'))
    const giveUp2 = performance.now() + 500
    await until(() => performance.now() > giveUp2)
    expect({ taken: target.taken, left, leftAfter: outbox.rows.map((r) => r.envelope.messageId), tail: target.sent.slice(-2), behind: target.feed.isBehind }).toEqual({ taken: 1102, left: [], leftAfter: [], tail: ['m1102', 'm1103'], behind: false })
  })

  test('a moment away: left on disk behind what is held', async () => {
    const outbox = new FakeOutbox()
    const target = new Target(outbox, { maxBatch: 10_000 })
    target.dispatcher.resume()
    target.sink.isHolding = true
    for (const text of names(1_100)) target.offer(outbox.add(text))
    await until(() => target.sink.held.length === 1)
    target.dispatcher.suspend()
    target.offer(outbox.add('m1101'))
    target.sink.isHolding = false
    const [send] = target.sink.held
    send!.answer(send!.texts.map(() => delivered))
    await until(() => target.dispatcher.size === 0)
    target.dispatcher.resume()
    await until(() => outbox.rows.length === 0)
    const giveUp = performance.now() + 300
    await until(() => performance.now() > giveUp)
    const dup = target.sent.filter((t, i) => target.sent.indexOf(t) !== i)
    expect({ dup, size: target.dispatcher.size }).toEqual({ dup: [], size: 0 })
  })
})
