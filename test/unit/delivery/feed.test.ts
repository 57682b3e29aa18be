import { afterEach, describe, expect, jest, test } from '@jest/globals'
import { delivered } from '../../../src/adapter/contract.ts'
import { Residence, Room } from '../../../src/delivery/stored/residence.ts'
import { Starts } from '../../../src/delivery/stored/starts.ts'
import { Trial } from '../../../src/delivery/stored/trial.ts'
import { idOf, type Outbox, rankOf, sequenceOf } from '../../../src/store/contract.ts'
import { randomOf } from '../../support/random.ts'
import { FakeOutbox, type Row } from './fake-outbox.ts'
import { FeedTarget, type FeedTargetOptions, nextTurn, until } from './feed-target.ts'
import { busy, busyFor, lost, notFound } from './scripted.ts'

/** On a fake outbox whose commits take two turns. */
function targetOf(outbox: FakeOutbox, options: Partial<FeedTargetOptions> = {}): FeedTarget {
  return new FeedTarget({
    outbox: outbox as unknown as Outbox,
    flushed: () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve))),
    finish: (id, bit) => outbox.finish(id, bit),
    ...options,
  })
}

afterEach(() => {
  jest.useRealTimers()
  jest.restoreAllMocks()
})

const names = (count: number, first = 1): string[] => Array.from({ length: count }, (_, i) => `m${first + i}`)

/** So many are offered to a target that answers nothing yet: some on their way, the rest held. */
async function handsFull(count: number, options?: { maxBatch: number }) {
  const outbox = new FakeOutbox()
  const target = targetOf(outbox, options)
  target.dispatcher.resume()
  target.sink.isHolding = true
  for (const text of names(count)) target.offer(outbox.add(text))
  await until(() => target.sink.held.length === 1)
  return { outbox, target }
}

describe('feed of a target that keeps up', () => {
  test('reads nothing back: a message goes on straight from memory', async () => {
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    target.dispatcher.resume()
    const sent = names(5_000)
    for (const [i, text] of sent.entries()) {
      target.offer(outbox.add(text, { rank: i % 3 }))
      if (i % 50 === 0) await until(() => outbox.rows.length === 0)
    }
    await until(() => outbox.rows.length === 0)
    expect(target.sent.toSorted()).toEqual(sent.toSorted())
    expect(outbox.reads).toBe(0)
  })

  test('reads nothing while its hands are full; what is beyond slows its source, then waits on disk', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask', 'nextTick'] })
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    target.dispatcher.resume()
    target.sink.isHolding = true
    const sent = names(5_000)
    for (const text of sent) target.offer(outbox.add(text))
    const { taken } = target
    expect({ inMemory: target.dispatcher.size, isBehind: target.feed.isBehind }).toEqual({
      ...{ inMemory: taken, isBehind: false },
    })
    expect([1, taken, taken + 1, 5_000].every((sequence) => target.feed.has(idOf(0, sequence)))).toBe(true)
    await until(() => {
      jest.advanceTimersByTime(100)
      return target.feed.isBehind
    })
    expect(target.taken).toBe(5_000)
    expect({ inMemory: target.dispatcher.size, reads: outbox.reads }).toEqual({ inMemory: taken, reads: 0 })
    target.sink.isHolding = false
    target.sink.held[0]!.answer(target.sink.held[0]!.texts.map(() => delivered))
    await until(() => outbox.rows.length === 0)
    expect(target.sent).toEqual(sent)
    expect(outbox.reads).toBeGreaterThan(0)
  })
})

describe('feed of a target that is slow', () => {
  test('takes what it holds as soon as there is room, in order, and reads nothing', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask', 'nextTick', 'performance'] })
    const { outbox, target } = await handsFull(4_300)
    target.sink.isHolding = false
    target.sink.held[0]!.answer(target.sink.held[0]!.texts.map(() => delivered))
    await until(() => outbox.rows.length === 0)
    expect({ taken: target.taken, reads: outbox.reads, sent: target.sent }).toEqual({
      ...{ taken: 4_300, reads: 0, sent: names(4_300) },
    })
    expect(jest.getTimerCount()).toBe(0)
  })

  test('that goes away has what was held wait on disk, behind what was on its way', async () => {
    const { outbox, target } = await handsFull(4_300)
    const { held } = target.sink
    target.sink.isHolding = false
    held[0]!.answer(held[0]!.texts.map(() => lost))
    await until(() => !target.dispatcher.isOpen && target.dispatcher.size === 0)
    expect(target.taken).toBe(4_300)
    const firstTry = target.sent.length
    target.dispatcher.resume()
    await until(() => outbox.rows.length === 0)
    expect(target.sent.slice(firstTry)).toEqual(names(4_300))
  })

  test('that was away for a moment, with nothing left on its way, gets what was held all the same', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask', 'nextTick', 'performance'] })
    const { outbox, target } = await handsFull(2_000, { maxBatch: 10_000 })
    target.dispatcher.suspend()
    target.sink.isHolding = false
    const [send] = target.sink.held
    send!.answer(send!.texts.map(() => delivered))
    await until(() => target.dispatcher.size === 0)
    target.dispatcher.resume()
    expect(target.taken).toBeLessThan(2_000)
    await until(() => {
      jest.advanceTimersByTime(100) // the timer asks the clock, which is the real one
      return outbox.rows.length === 0
    })
    expect(target.sent).toEqual(names(2_000))
  })

  test('is told of more in the store: what was held waits on disk before it, and nothing overtakes', async () => {
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    target.dispatcher.resume()
    target.sink.isHolding = true
    for (const text of names(1_100)) target.offer(outbox.add(text)) // some on their way, the rest held
    outbox.add('m1101') // back from the dead letters
    target.feed.refresh()
    target.offer(outbox.add('m1102'))
    await until(() => target.sink.held.length === 1)
    target.sink.isHolding = false
    target.sink.held[0]!.answer(target.sink.held[0]!.texts.map(() => delivered))
    await until(() => outbox.rows.length === 0)
    expect(target.sent).toEqual(names(1_102))
  })

  test('left on disk behind what is held while the target is away for a moment: each is sent once, in order', async () => {
    const { outbox, target } = await handsFull(1_100, { maxBatch: 10_000 })
    target.dispatcher.suspend()
    target.offer(outbox.add('m1101'))
    target.sink.isHolding = false
    const [send] = target.sink.held
    send!.answer(send!.texts.map(() => delivered))
    await until(() => target.dispatcher.size === 0)
    target.dispatcher.resume()
    await until(() => outbox.rows.length === 0)
    expect(target.sent).toEqual(names(1_101))
  })

  test('reads no more while what was confirmed cannot be written', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask', 'nextTick', 'performance'] })
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    for (const text of names(10)) target.offer(outbox.add(text))
    outbox.isBacklogged = true
    target.dispatcher.resume()
    for (let turn = 0; turn < 5; turn += 1) await nextTurn()
    expect(outbox.reads).toBe(0)
    outbox.isBacklogged = false
    jest.advanceTimersByTime(1_000)
    await until(() => outbox.rows.length === 0)
    expect(target.sent).toEqual(names(10))
  })

  test('does not send what is not what was written', async () => {
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    const rows = names(3).map((text) => outbox.add(text))
    for (const row of rows) target.offer(row)
    Object.assign(outbox.rows[1]!, { isDamaged: true })
    target.dispatcher.resume()
    await until(() => outbox.rows.length === 0)
    expect([target.sent, target.poisonous]).toEqual([['m1', 'm3'], ['m2']])
  })

  test('does not send what is set aside before it was read, although a read still finds it', async () => {
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    const rows = names(3).map((text) => outbox.add(text))
    for (const row of rows) target.offer(row)
    target.dispatcher.resume()
    target.feed.skip(rows[1]!.id)
    expect(rows.map(({ id }) => target.feed.has(id))).toEqual([false, true, false])
    await until(() => outbox.rows.length === 1 && !target.feed.isBehind)
    expect(target.sent).toEqual(['m1', 'm3'])
  })
})

describe('feed of a target that is away', () => {
  test('keeps nothing in memory; when it is back its messages come in order, new ones behind them', async () => {
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    for (const text of names(2_000)) target.offer(outbox.add(text))
    expect({ reads: outbox.reads, inMemory: target.dispatcher.size }).toEqual({ reads: 0, inMemory: 0 })
    target.dispatcher.resume()
    await until(() => target.sent.length > 600)
    expect(target.sent.length).toBeLessThan(2_000)
    for (const text of names(100, 2_001)) target.offer(outbox.add(text))
    await until(() => outbox.rows.length === 0)
    expect(target.sent).toEqual(names(2_100))
  })

  /** So many to read back, by a target that had 100 messages in its last window of time. */
  function behind(count: number) {
    const now = performance.now()
    const clock = jest.spyOn(performance, 'now').mockReturnValue(now)
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    const row = outbox.add('first')
    for (let n = 0; n < 100; n += 1) target.feed.left(target.parcelOf(row))
    outbox.rows = []
    clock.mockReturnValue(now + 100)
    for (const text of names(count)) target.offer(outbox.add(text))
    target.dispatcher.resume()
    return { outbox, target }
  }

  test.each([
    {
      count: 90,
      what: 'no more to read back than leaves in a moment, what is new waits that long, and is handed on unread',
    },
    { count: 110, what: 'more to read back, what is new is left on disk at once' },
  ])('with $what', async ({ count }) => {
    const { outbox, target } = behind(count)
    const isLeft = count > 100
    target.offer(outbox.add(`m${count + 1}`))
    expect(target.taken).toBe(isLeft ? count + 1 : count)
    const isRead = jest.spyOn(target, 'readBack')
    await until(() => outbox.rows.length === 0)
    expect(target.sent).toEqual(names(count + 1))
    expect(isRead).toHaveBeenCalledTimes(isLeft ? count + 1 : count)
    expect(target.taken).toBe(count + 1)
  })

  test('a target that answers nothing slows its sources for one moment, not for each message', async () => {
    const { outbox, target } = await handsFull(1_025)
    await until(() => target.taken === 1_025)
    await until(() => target.feed.isBehind && performance.now() > 0)
    const startedAt = performance.now()
    await until(() => performance.now() - startedAt > 100) // the pace of the time before is over
    for (const text of names(1_000, 1_026)) {
      target.offer(outbox.add(text))
      expect(target.taken).toBe(sequenceOf(outbox.rows.at(-1)?.id as number))
    }
  })

  test('what is set aside while an earlier one is being committed is passed over until it is on disk itself', async () => {
    const flushes: PromiseWithResolvers<void>[] = []
    const flushed = () => {
      const flush = Promise.withResolvers<void>()
      flushes.push(flush)
      return flush.promise
    }
    const { feed } = targetOf(new FakeOutbox(), { flushed })
    feed.skip(1)
    flushes[0]!.resolve() // committed in the middle of a read, which goes on
    feed.skip(2)
    await nextTurn()
    expect([feed.has(1), feed.has(2)]).toEqual([false, true])
    flushes[1]!.resolve()
    await nextTurn()
    expect(feed.has(2)).toBe(false)
  })

  test('what is stored while a page is read is not passed over', async () => {
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    for (const text of names(200)) target.offer(outbox.add(text))
    outbox.rows = [] // they were another target's
    outbox.whileReading = () => target.offer(outbox.add('late'))
    target.dispatcher.resume()
    await until(() => outbox.rows.length === 0 && target.taken === 201)
    expect(target.sent).toEqual(['late'])
  })

  test('reads nothing more once it has caught up', async () => {
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    for (const text of names(10)) target.offer(outbox.add(text))
    target.dispatcher.resume()
    await until(() => !target.feed.isBehind && outbox.rows.length === 0)
    const { reads } = outbox
    for (const text of names(100, 11)) target.offer(outbox.add(text))
    await until(() => outbox.rows.length === 0)
    expect(outbox.reads).toBe(reads)
    expect(target.sent).toEqual(names(110))
  })

  test('forgets what was on its way when it went, and reads that again first', async () => {
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    target.dispatcher.resume()
    target.sink.script.set('m3', [lost])
    for (const text of names(200)) target.offer(outbox.add(text))
    await until(() => !target.dispatcher.isOpen && target.dispatcher.size === 0)
    for (const text of names(100, 201)) target.offer(outbox.add(text))
    const firstTry = target.sent.length
    target.dispatcher.resume()
    await until(() => outbox.rows.length === 0)
    const again = target.sent.slice(firstTry)
    expect(again).toEqual(names(298, 3)) // of the lane nothing counts that came behind the one that failed
  })

  test('higher ranks come first, those of one rank in order', async () => {
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    for (const [i, rank] of [0, 5, 9, 0, 9, 5, 1].entries()) target.offer(outbox.add(`m${i}`, { rank }))
    target.dispatcher.resume()
    await until(() => outbox.rows.length === 0)
    expect(target.sent).toEqual(['m2', 'm4', 'm1', 'm5', 'm6', 'm0', 'm3'])
  })
})

describe('feed after a crash', () => {
  test('hands out 128 at a time, marked before, and the next when all are answered or the process has outlived them', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask', 'nextTick', 'performance'] })
    const outbox = new FakeOutbox()
    for (const text of names(300)) outbox.add(text)
    outbox.crash()
    const target = targetOf(outbox, { maxBatch: 1_000 })
    target.sink.isHolding = true
    target.dispatcher.resume()
    await until(() => target.sink.held.length === 1)
    for (let turn = 0; turn < 5; turn += 1) await nextTurn()
    expect(outbox.marks.map((ids) => ids.length)).toEqual([128])
    expect(target.sink.held[0]!.texts).toEqual(names(128))
    target.sink.isHolding = false
    target.sink.held[0]!.answer(target.sink.held[0]!.texts.map(() => delivered))
    await until(() => outbox.rows.length === 0)
    expect(outbox.marks.map((ids) => ids.length)).toEqual([128, 128, 44])
    expect(target.sent).toEqual(names(300))
  })

  test('what starts died with goes in smaller groups, then alone, and after three starts alone nowhere', async () => {
    const outbox = new FakeOutbox()
    for (const starts of [0, 1, 2, 2, 4, 5, 0]) outbox.add(`m${outbox.rows.length + 1}`, { starts })
    outbox.crash()
    const target = targetOf(outbox)
    target.dispatcher.resume()
    await until(() => outbox.rows.length === 0)
    expect(target.sink.batches).toEqual([['m1'], ['m2'], ['m3'], ['m4'], ['m5'], ['m7']])
    expect(target.poisonous).toEqual(['m6'])
    expect(outbox.marks).toEqual([[1], [2], [3], [4], [5], [7]])
  })

  test('on a full disk their start cannot be noted: they are not handed out until it can', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask', 'nextTick', 'performance'] })
    const outbox = new FakeOutbox()
    for (const text of names(3)) outbox.add(text)
    outbox.crash()
    outbox.cannotMark = true
    const target = targetOf(outbox)
    target.dispatcher.resume()
    for (let turn = 0; turn < 5; turn += 1) await nextTurn()
    expect(target.sent).toEqual([])
    outbox.cannotMark = false
    jest.advanceTimersByTime(1_000)
    await until(() => outbox.rows.length === 0)
    expect([target.sent, outbox.marks]).toEqual([names(3), [[1, 2, 3]]])
  })

  test('new messages wait behind those that are handed out with care, then are not marked', async () => {
    const outbox = new FakeOutbox()
    for (const text of names(200)) outbox.add(text)
    outbox.crash()
    const target = targetOf(outbox)
    target.dispatcher.resume()
    for (const text of names(100, 201)) target.offer(outbox.add(text))
    await until(() => outbox.rows.length === 0)
    expect(target.sent).toEqual(names(300))
    expect(outbox.marks.flat()).toHaveLength(200)
  })

  test('a target that goes away again and again has its messages marked once: nobody died of them', async () => {
    const outbox = new FakeOutbox()
    for (const text of names(10)) outbox.add(text)
    outbox.crash()
    const target = targetOf(outbox)
    target.sink.script.set('m1', [lost, lost, lost, lost, lost])
    for (let outage = 1; outage <= 5; outage += 1) {
      target.dispatcher.resume()
      await until(() => !target.dispatcher.isOpen && target.dispatcher.size === 0)
    }
    expect(outbox.rows.map(({ starts }) => starts)).toEqual(Array(10).fill(0))
    expect(outbox.marks.flat()).toHaveLength(10)
    target.dispatcher.resume()
    await until(() => outbox.rows.length === 0)
    expect(target.poisonous).toEqual([])
    expect(target.sent.slice(-10)).toEqual(names(10))
  })

  test('what is new and more urgent is handed out before what a process that died has left, not among it', () => {
    const outbox = new FakeOutbox()
    const left = outbox.add('m1')
    outbox.crash()
    const urgent = outbox.add('m2', { rank: 9 })
    const trial = new Trial(new Starts(outbox as unknown as Outbox), () => {})
    expect(trial.partOf([urgent, left])).toEqual([urgent])
    expect(trial.partOf([left])).toEqual([left])
    trial.stop()
  })

  test('this start does not count against a message that is read back once more in it', async () => {
    const outbox = new FakeOutbox()
    outbox.add('m1', { starts: 2 })
    outbox.crash()
    const target = targetOf(outbox)
    target.sink.script.set('m1', [lost])
    target.dispatcher.resume()
    await until(() => !target.dispatcher.isOpen && target.dispatcher.size === 0)
    target.dispatcher.resume()
    await until(() => outbox.rows.length === 0)
    expect({ poisonous: target.poisonous, sent: target.sent }).toEqual({ poisonous: [], sent: ['m1', 'm1'] })
  })

  test('of several targets whichever is first marks a message, also where another is away', async () => {
    const outbox = new FakeOutbox()
    for (const text of names(10)) outbox.add(text, { wanted: 7 })
    outbox.crash()
    const starts = new Starts(outbox as unknown as Outbox)
    const [away, second, third] = [1, 2, 4].map((bit) => targetOf(outbox, { bit, starts }))
    second!.dispatcher.resume()
    await until(() => second!.sent.length === 10)
    third!.dispatcher.resume()
    await until(() => third!.sent.length === 10)
    expect(outbox.marks.flat()).toHaveLength(10)
    away!.dispatcher.resume()
    await until(() => outbox.rows.length === 0)
    expect([away, second, third].map((target) => target!.poisonous)).toEqual([[], [], []])
    expect(outbox.marks.flat()).toHaveLength(10)
  })
})

test('a feed that is stopped takes and reads no more', async () => {
  const outbox = new FakeOutbox()
  const target = targetOf(outbox)
  target.offer(outbox.add('m1'))
  target.feed.stop()
  target.dispatcher.resume()
  target.offer(outbox.add('m2'))
  await nextTurn()
  expect({ sent: target.sent, reads: outbox.reads }).toEqual({ sent: [], reads: 0 })
})

/** A road that inverts is found by two of a hundred. */
const seeds = Array.from({ length: 40 }, (_, index) => index + 1)

describe('feed of a target that refuses some for now', () => {
  /** So many of each key, the keys in turn. */
  const texts = (keys: readonly string[], count: number) =>
    Array.from({ length: count }, (_, n) => keys.map((key) => `${key}-${String(n).padStart(5, '0')}`)).flat()
  const keyOf = (text: string) => text.split('-')[0]!
  /** First copies of a key's messages, in the order they were sent. */
  const firstsOf = (sent: readonly string[], key: string) => [...new Set(sent.filter((text) => keyOf(text) === key))]

  test('one lane that is stuck holds no other back, however much comes behind it, and goes on in its order', async () => {
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    target.dispatcher.resume()
    let isMissing = true
    target.sink.answerOf = (text) => (isMissing && keyOf(text) === 'stuck' ? notFound : delivered)
    const all = texts(['stuck', 'other'], 5_000)
    let most = 0
    for (const [i, text] of all.entries()) {
      target.offer(outbox.add(text, { key: keyOf(text) }))
      most = Math.max(most, target.dispatcher.size)
      if (i % 100 === 0) await nextTurn()
    }
    const others = () => outbox.rows.filter(({ envelope }) => keyOf(envelope.messageId) === 'other').length
    await until(() => others() === 0)
    expect(outbox.rows).toHaveLength(5_000)
    expect(most).toBeLessThan(600)
    expect(target.dispatcher.size).toBeLessThanOrEqual(1)
    isMissing = false
    await until(() => outbox.rows.length === 0)
    expect(target.sent.filter((text) => text === 'stuck-04999')).toHaveLength(1)
    expect(firstsOf(target.arrived, 'stuck')).toEqual(texts(['stuck'], 5_000))
  })

  test('lanes beyond those that one target may have in memory are stuck together, and none of them forgets a message', async () => {
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    target.dispatcher.resume()
    let isMissing = true
    target.sink.answerOf = (text) => (isMissing && text.startsWith('s') ? notFound : delivered)
    const stuck = Array.from({ length: 700 }, (_, i) => `s${i}`)
    for (const text of texts([...stuck, 'other'], 4)) target.offer(outbox.add(text, { key: keyOf(text) }))
    await until(() => outbox.rows.length === 2_800)
    expect(firstsOf(target.arrived, 'other')).toEqual(texts(['other'], 4))
    isMissing = false
    await until(() => outbox.rows.length === 0)
    for (const key of stuck) expect(firstsOf(target.arrived, key)).toEqual(texts([key], 4))
  })

  test('messages without a key are no lane, whatever waits on disk', async () => {
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    target.dispatcher.resume()
    let isMissing = true
    target.sink.answerOf = (text) => (isMissing && /^(s|u-1)/.test(text) ? notFound : delivered)
    for (const text of ['s-1', 's-2']) target.offer(outbox.add(text, { key: 's' }))
    await until(() => target.sent.length > 4)
    for (const text of ['u-1', 'u-2', 'u-3', 'u-4']) target.offer(outbox.add(text, { key: null }))
    await until(() => target.arrived.length === 3)
    expect(target.sent.filter((text) => /^u-[234]/.test(text))).toEqual(['u-2', 'u-3', 'u-4'])
    isMissing = false
    await until(() => outbox.rows.length === 0)
  })

  test('a lane that is refused now and then is not read from its first to its last each time', async () => {
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    for (const text of texts(['k'], 20_000)) outbox.add(text, { key: 'k' })
    target.feed.refresh()
    const wasRefused = new Set<string>()
    target.sink.answerOf = (text) => {
      if (!text.endsWith('00') || wasRefused.has(text)) return delivered
      wasRefused.add(text)
      return busy
    }
    target.dispatcher.resume()
    await until(() => outbox.rows.length === 0)
    expect(firstsOf(target.arrived, 'k')).toEqual(texts(['k'], 20_000))
    expect(outbox.rowsRead).toBeLessThan(20_000 * 12)
  }, 60_000)

  test('what is set aside behind a stuck message makes room for ids of others', async () => {
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    const { dispatcher, feed, sink } = target
    dispatcher.resume()
    sink.answerOf = (text) => (text.startsWith('s') ? busyFor(60_000) : delivered)
    target.offer(outbox.add('s', { key: 's' }))
    await until(() => sink.sent.length === 1 && dispatcher.size === 1)
    for (const text of names(250_000)) target.offer(outbox.add(`s${text}`, { key: 's' }))
    target.offer(outbox.add('other', { key: 'other' }))
    for (let turn = 0; turn < 5; turn += 1) await nextTurn()
    expect(target.arrived).toEqual([])
    const [old] = outbox.rows.splice(1, 1)
    feed.hold(old!)
    feed.skip(old!.id)
    feed.letGo(old!)
    await until(() => target.arrived.length === 1)
    expect(target.arrived).toEqual(['other'])
    feed.stop()
    dispatcher.stop()
  })

  test('what is stored while others are fetched does not overtake them', async () => {
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    target.dispatcher.resume()
    target.sink.script.set('m1', [lost])
    target.offer(outbox.add('m1'))
    await until(() => !target.dispatcher.isOpen && target.dispatcher.size === 0)
    outbox.whileReading = () => target.offer(outbox.add('m2'))
    target.dispatcher.resume()
    await until(() => outbox.rows.length === 0)
    expect(target.arrived).toEqual(['m1', 'm2'])
  })

  test('an urgent lane that goes on does not wait for what is less urgent to be read', async () => {
    const outbox = new FakeOutbox()
    for (const text of texts(['low'], 5_000)) outbox.add(text, { key: `low${text}` }) // left by an earlier process
    const target = targetOf(outbox)
    target.sink.pause = () => new Promise((resolve) => setTimeout(resolve, 5))
    const refusals = new Map([['alarm-00000', 3]])
    target.sink.answerOf = (text) => {
      const left = refusals.get(text) ?? 0
      refusals.set(text, left - 1)
      return left > 0 ? busy : delivered
    }
    target.dispatcher.resume()
    await until(() => target.arrived.length > 300)
    for (const text of texts(['alarm'], 10)) target.offer(outbox.add(text, { key: 'alarm', rank: 9 }))
    await until(() => target.arrived.filter((text) => keyOf(text) === 'alarm').length === 10)
    expect(outbox.rows.length).toBeGreaterThan(2_500)
    expect(firstsOf(target.arrived, 'alarm')).toEqual(texts(['alarm'], 10))
    await until(() => outbox.rows.length === 0)
  }, 60_000)

  test('a held message does not overtake the last one on disk, which is not due yet', async () => {
    const now = performance.now()
    const clock = jest.spyOn(performance, 'now').mockReturnValue(now)
    const outbox = new FakeOutbox()
    const target = targetOf(outbox)
    target.sink.pause = () => new Promise((resolve) => setTimeout(resolve, 30))
    for (const text of names(1_000)) outbox.add(text, { key: text })
    outbox.add('k-1', { key: 'k' })
    target.dueAt.set('k-1', Date.now() + 2_000)
    target.feed.refresh()
    target.dispatcher.resume()
    await until(() => target.arrived.length > 400)
    expect(target.feed.isBehind).toBe(true)
    clock.mockReturnValue(now + 100) // so many arrived in a moment that what is new is held
    target.offer(outbox.add('k-2', { key: 'k' }))
    expect(target.taken).toBe(0)
    await until(() => outbox.rows.length === 0)
    expect(firstsOf(target.arrived, 'k')).toEqual(['k-1', 'k-2'])
  })

  test('thousands of held messages whose lanes are stuck are shelved one after the other, not within each other', async () => {
    const outbox = new FakeOutbox()
    const target = targetOf(outbox, { maxBatch: 1_000 })
    const { dispatcher, feed, sink } = target
    dispatcher.resume()
    sink.answerOf = (text) => (text.startsWith('s') ? busyFor(60_000) : delivered)
    const stuck = Array.from({ length: 4_000 }, (_, i) => `s${i}`)
    for (const [i, key] of stuck.entries()) {
      target.offer(outbox.add(key, { key }))
      if (i % 200 === 0) await nextTurn()
    }
    await until(() => target.taken === 4_000 && sink.sent.length === 4_000)
    sink.isHolding = true
    const others = names(520).map((text) => outbox.add(text, { key: text }))
    const behind = stuck.map((key) => outbox.add(`t${key}`, { key }))
    for (const row of [...others, ...behind]) target.offer(row)
    expect(target.taken).toBe(4_512)
    await until(() => sink.held.length > 0)
    sink.isHolding = false
    sink.held[0]!.answer(sink.held[0]!.texts.map(() => delivered))
    await until(() => target.taken === 8_520 && target.arrived.length === 520)
    feed.stop()
    dispatcher.stop()
  })

  test('it does not sleep on when others have given back the room that they shared', async () => {
    const outbox = new FakeOutbox()
    const shared = new Residence(1_000_000)
    const target = targetOf(outbox, { room: new Room(shared) })
    const { dispatcher, feed } = target
    dispatcher.resume()
    target.sink.answerOf = (text) => (text.startsWith('s') ? busyFor(60_000) : delivered)
    const large = 'x'.repeat(3_000)
    for (const i of Array(100).keys()) target.offer(outbox.add(`s${i}${large}`, { key: `s${i}` }))
    await until(() => dispatcher.size === 100 && target.sink.sent.length === 100)
    const another = new Room(shared)
    another.take(1_000_000)
    for (const text of names(20)) target.offer(outbox.add(text, { key: text }))
    await until(() => target.taken === 120)
    another.give(1_000_000, false)
    await until(() => target.arrived.length === 20)
    feed.stop()
    dispatcher.stop()
  })

  test.each(seeds)('all arrive in the order of their keys, whatever happens: seed %i', async (seed) => {
    const random = randomOf(seed)
    const chance = (of: number) => random.between(0, 1) < of
    const outbox = new FakeOutbox()
    outbox.unwritten = []
    if (seed % 2 === 0) outbox.mostFetched = 3
    const target = targetOf(outbox, { maxBatch: 20, flushed: () => outbox.flush() })
    const dispatcher = target.dispatcher
    dispatcher.resume()
    let isCalm = false
    target.sink.answerOf = () => {
      if (isCalm || chance(0.9)) return delivered
      return chance(0.9) ? (chance(0.5) ? busy : notFound) : lost
    }
    const reopen = () => {
      if (!dispatcher.isOpen) dispatcher.resume()
    }
    target.sink.pause = async () => {
      for (let turns = random.between(0, 6); turns > 1; turns -= 1) await nextTurn()
    }
    const keys = Array.from({ length: 12 }, (_, i) => `k${i}`)
    const all = texts(keys, 150)
    for (const text of all) {
      const key = keyOf(text)
      const isBehind = ({ id, envelope }: Row) => envelope.key === key && rankOf(id) === 0
      const rank = chance(0.1) && !outbox.rows.some(isBehind) ? 9 : 0 // as the store does: nothing overtakes its own key
      target.offer(outbox.add(text, { key, rank }))
      if (chance(0.05)) await nextTurn()
      if (chance(0.02)) void outbox.flush()
      if (chance(0.1)) reopen()
    }
    await until(() => {
      reopen()
      if (chance(0.2)) void outbox.flush()
      isCalm ||= outbox.rows.length < 200
      return outbox.rows.length === 0
    })
    for (const key of keys) expect(target.arrived.filter((text) => keyOf(text) === key)).toEqual(texts([key], 150))
    await until(() => target.dispatcher.size === 0 && !target.feed.isBehind)
  })
})
