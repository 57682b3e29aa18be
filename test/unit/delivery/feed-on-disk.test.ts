/** A feed, its dispatcher and a real store: whatever a target does, each message arrives once it can, in the order of its key. */
import { expect, test } from '@jest/globals'
import { delivered } from '../../../src/adapter/contract.ts'
import type { Store, StoredMessage } from '../../../src/store/contract.ts'
import { randomOf } from '../../support/random.ts'
import { append, message, onCleanup, open, temporaryDirectory } from '../store/stores.ts'
import { FeedTarget, nextTurn, until } from './feed-target.ts'
import { busy, lost, notFound } from './scripted.ts'

/** One target of a route in the store. */
class Target extends FeedTarget {
  readonly store: Store

  constructor(store: Store) {
    const { outbox } = store
    super({
      ...{ outbox, attempts: 1_000_000, maxBatch: 20, flushed: () => store.flushed() },
      finish: (id) => outbox.finish({ id, route: 1, wanted: 1, bits: 1, ended() {} }),
    })
    this.store = store
    onCleanup(() => this.feed.stop())
  }

  take(text: string, priority?: number): void {
    const key = keyOf(text)
    const envelope = message({ messageId: text, key, priority, payload: Buffer.from(text) })
    append(this.store, { envelope, key, safe: (id: number) => this.offer({ id, envelope }) })
  }

  get left(): number {
    return this.store.outbox.total.count
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
