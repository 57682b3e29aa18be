/** A feed, its dispatcher and a real store: whatever a target does, each message arrives once it can, in the order of its key. */
import { expect, test } from '@jest/globals'
import { delivered } from '../../../src/adapter/contract.ts'
import { Dispatcher } from '../../../src/delivery/dispatcher.ts'
import { Parcel, type ParcelOwner } from '../../../src/delivery/parcel.ts'
import { Feed, type FeedOwner } from '../../../src/delivery/stored/feed.ts'
import { Residence, Room } from '../../../src/delivery/stored/residence.ts'
import { Starts } from '../../../src/delivery/stored/starts.ts'
import { rankOf, type Store, type StoredMessage } from '../../../src/store/contract.ts'
import { randomOf } from '../../support/random.ts'
import { append, message, onCleanup, open, temporaryDirectory } from '../store/stores.ts'
import { busy, lost, notFound, ScriptedSink } from './scripted.ts'

const nextTurn = () => new Promise((resolve) => setImmediate(resolve))
async function until(isSo: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + 50_000
  while (!isSo()) {
    if (performance.now() > giveUpAt) throw new Error('it never came')
    await nextTurn()
  }
}

type Kept = Pick<StoredMessage, 'id' | 'envelope'>

/** One target of a route in the store. */
class Target implements ParcelOwner, FeedOwner {
  readonly id = 'route/0'
  readonly order = 'key'
  readonly retry = { attempts: 1_000_000, delayMs: 1, maxDelayMs: 1 }
  readonly sink = new ScriptedSink({ maxBatch: 20 })
  readonly dispatcher = new Dispatcher(this.sink, () => {})
  readonly arrived: string[] = []
  readonly room = new Room(new Residence(2 ** 30))
  readonly feed: Feed
  readonly store: Store

  constructor(store: Store) {
    this.store = store
    const { outbox } = store
    this.feed = new Feed({
      ...{ outbox, route: 1, bit: 1, dispatcher: this.dispatcher, room: this.room, owner: this },
      ...{ starts: new Starts(outbox), flushed: () => store.flushed() },
    })
    onCleanup(() => this.feed.stop())
  }

  take(text: string, priority?: number): void {
    const key = keyOf(text)
    const envelope = message({ messageId: text, key, priority, payload: Buffer.from(text) })
    const safe = (id: number) => this.feed.offer(this.#parcelOf({ id, envelope }), { taken: () => {} })
    append(this.store, { envelope, key, safe })
  }

  readBack(row: StoredMessage): boolean {
    return this.feed.handOut(this.#parcelOf(row))
  }
  poisoned(): void {}
  damaged(): void {}
  confirmed(parcel: Parcel): void {
    this.arrived.push(parcel.outbound.envelope.messageId)
    this.store.outbox.finish({ id: parcel.message.id, route: 1, wanted: 1, bits: 1, ended() {} })
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

  get left(): number {
    return this.store.outbox.total.count
  }

  #parcelOf({ id, envelope }: Kept): Parcel {
    const outbound = { envelope, target: {}, format: undefined }
    return Object.assign(new Parcel(this, outbound, { id, envelope }), { isKept: true, rank: rankOf(id) })
  }
}

const keyOf = (text: string) => text.split('-')[0] as string
const numbered = (key: string, count: number) => Array.from({ length: count }, (_, n) => `${key}-${n}`)

function targetOf(store = open(temporaryDirectory())): Target {
  store.outbox.route('first', ['a'])
  return new Target(store)
}

test.each([1, 2, 3, 4])('all arrive in the order of their keys, whatever happens: seed %i', async (seed) => {
  const random = randomOf(seed)
  const chance = (of: number) => random.between(0, 1) < of
  const target = targetOf()
  const { dispatcher, sink } = target
  dispatcher.resume()
  let isCalm = false
  sink.answerOf = () => {
    if (isCalm || chance(0.9)) return delivered
    return chance(0.9) ? (chance(0.5) ? busy : notFound) : lost
  }
  sink.pause = async () => {
    for (let turns = random.between(0, 6); turns > 1; turns -= 1) await nextTurn()
  }
  const reopen = () => {
    if (!dispatcher.isOpen) dispatcher.resume()
  }
  const keys = Array.from({ length: 12 }, (_, n) => `k${n}`)
  for (let n = 0; n < 120; n += 1) {
    for (const key of keys) target.take(`${key}-${n}`, chance(0.1) ? 9 : undefined)
    if (chance(0.5)) await nextTurn()
    if (chance(0.3)) reopen()
  }
  await target.store.flushed()
  await until(() => {
    reopen()
    isCalm ||= target.left < 200
    return target.left === 0
  })
  for (const key of keys) {
    expect(target.arrived.filter((text) => keyOf(text) === key)).toEqual(numbered(key, 120))
  }
})

test('what waits behind a stuck message is not read again when its target was away for a moment', async () => {
  const target = targetOf()
  const { dispatcher, sink, store } = target
  dispatcher.resume()
  let isMissing = true
  sink.answerOf = (text) => (isMissing && text.startsWith('stuck') ? notFound : delivered)
  for (const text of numbered('stuck', 3_000)) target.take(text)
  await until(() => target.left === 3_000 && sink.sent.length > 50 && !target.feed.isBehind)
  let read = 0
  const { read: reads, fetch } = store.outbox
  store.outbox.read = (...args) => counted(reads.apply(store.outbox, args))
  store.outbox.fetch = (...args) => counted(fetch.apply(store.outbox, args))
  const counted = (rows: StoredMessage[]) => {
    read += rows.length
    return rows
  }
  for (let outage = 0; outage < 3; outage += 1) {
    dispatcher.suspend()
    await until(() => dispatcher.size === 0)
    dispatcher.resume()
    target.take(`other-${outage}`)
    await until(() => target.arrived.includes(`other-${outage}`))
  }
  expect(read).toBeLessThan(1_600) // what was in memory, and what the lane fetches until it is stuck again
  isMissing = false
  await until(() => target.left === 0)
  expect(target.arrived.filter((text) => keyOf(text) === 'stuck')).toEqual(numbered('stuck', 3_000))
})

test('lanes that take turns to be stuck have only their own messages fetched', async () => {
  const target = targetOf()
  const { dispatcher, sink, store } = target
  dispatcher.resume()
  const missing = new Set(Array.from({ length: 20 }, (_, n) => `s${n}`))
  sink.answerOf = (text) => (missing.has(keyOf(text)) ? notFound : delivered)
  for (let n = 0; n < 200; n += 1) for (const key of missing) target.take(`${key}-${n}`)
  await until(() => target.left === 4_000 && !target.feed.isBehind)
  const fetched: string[] = []
  const { fetch } = store.outbox
  store.outbox.fetch = (...args) => {
    const rows = fetch.apply(store.outbox, args)
    fetched.push(...rows.map(({ envelope }) => keyOf(envelope.messageId)))
    return rows
  }
  missing.delete('s7')
  await until(() => target.arrived.length === 200)
  expect([target.arrived, new Set(fetched)]).toEqual([numbered('s7', 200), new Set(['s7'])])
  missing.clear()
  await until(() => target.left === 0)
})
