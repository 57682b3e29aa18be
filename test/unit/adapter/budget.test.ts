import { describe, expect, test } from '@jest/globals'
import { Budget } from '../../../src/adapter/budget.ts'

const wide = { maxCount: 1_000, maxBytes: 1_000_000 }

test('a budget is full at its count', () => {
  const budget = new Budget({ ...wide, maxCount: 2 })
  budget.take(1)
  expect(budget.isFull).toBe(false)
  budget.take(1)
  expect(budget.isFull).toBe(true)
})

test('a budget is full at its bytes, which one message may exceed', () => {
  const budget = new Budget({ ...wide, maxBytes: 100 })
  budget.take(99)
  expect(budget.isFull).toBe(false)
  budget.take(5_000)
  expect([budget.isFull, budget.bytes]).toEqual([true, 5_099])
})

test('taking from a child takes from its parent, and giving gives back to both', () => {
  const parent = new Budget(wide)
  const child = new Budget({ ...wide, parent })
  child.take(10)
  child.take(20)
  expect([parent.count, parent.bytes]).toEqual([2, 30])
  child.give(10)
  expect([child.count, child.bytes, parent.count, parent.bytes]).toEqual([1, 20, 1, 20])
})

test('a child is full when its parent is, whoever filled it', () => {
  const parent = new Budget({ ...wide, maxCount: 3 })
  const [one, other] = [new Budget({ ...wide, parent }), new Budget({ ...wide, parent })]
  one.take(1)
  one.take(1)
  expect(other.isFull).toBe(false)
  one.take(1)
  expect(other.isFull).toBe(true)
})

test('whenRoom resolves at once while there is room', async () => {
  await expect(new Budget(wide).whenRoom()).resolves.toBeUndefined()
})

test('whenRoom waits until a quarter is free, so that a full source does not flutter', async () => {
  const budget = new Budget({ ...wide, maxCount: 4 })
  for (let i = 0; i < 4; i += 1) budget.take(1)
  const woken = watch(budget.whenRoom())
  budget.give(1)
  expect(await woken.isDone()).toBe(true)

  const larger = new Budget({ ...wide, maxCount: 8 })
  for (let i = 0; i < 8; i += 1) larger.take(1)
  const waiting = watch(larger.whenRoom())
  larger.give(1)
  expect(await waiting.isDone()).toBe(false)
  larger.give(1)
  expect(await waiting.isDone()).toBe(true)
})

test('whenRoom of a child waits for its parent', async () => {
  const parent = new Budget({ ...wide, maxCount: 2 })
  const [one, other] = [new Budget({ ...wide, parent }), new Budget({ ...wide, parent })]
  one.take(1)
  one.take(1)
  const waiting = watch(other.whenRoom())
  expect(await waiting.isDone()).toBe(false)
  one.give(1)
  expect(await waiting.isDone()).toBe(true)
})

test('a budget that is filled again before the waiting run lets them wait on', async () => {
  const budget = new Budget({ ...wide, maxCount: 1 })
  budget.take(1)
  const waiting = watch(budget.whenRoom())
  budget.give(1)
  budget.take(1)
  expect(await waiting.isDone()).toBe(false)
  budget.give(1)
  expect(await waiting.isDone()).toBe(true)
})

test.each(['its own', "its parent's"])(
  'a wait for %s room ends with its signal, and the others wait on',
  async (whose) => {
    const parent = new Budget({ ...wide, maxCount: 1 })
    const budget = whose === 'its own' ? parent : new Budget({ ...wide, parent })
    parent.take(1)
    const stop = new AbortController()
    const [leaving, staying] = [watch(budget.whenRoom(stop.signal)), watch(budget.whenRoom())]
    expect(await leaving.isDone()).toBe(false)
    stop.abort()
    expect([await leaving.isDone(), await staying.isDone()]).toEqual([true, false])
    await expect(budget.whenRoom(stop.signal)).resolves.toBeUndefined()
    parent.give(1)
    expect(await staying.isDone()).toBe(true)
  },
)

test('an only part takes all of its parent', () => {
  const parent = new Budget({ ...wide, maxCount: 4 })
  const child = new Budget({ ...wide, parent })
  for (let i = 0; i < 4; i += 1) {
    expect([child.isFull, child.roomFor(1)]).toEqual([false, 4 - i])
    child.take(1)
  }
  expect(child.isFull).toBe(true)
})

describe('of several parts that give nothing back', () => {
  const fill = (budget: Budget, bytes = 1) => {
    while (!budget.isFull) budget.take(bytes)
  }

  test.each([1, 2, 10, 50])('%d leave room for another', async (parts) => {
    const parent = new Budget({ maxCount: 10_000, maxBytes: 64_000, parts: 99 })
    for (let i = 0; i < parts; i += 1) fill(new Budget({ ...wide, maxCount: 10_000, parent }), i % 2 === 0 ? 1 : 100)
    const other = new Budget({ ...wide, parent })
    expect(other.isFull).toBe(false)
    expect(parent.isFull).toBe(false)
  })

  test('neither does a part of a part, and its own parent still has room for others', () => {
    const parent = new Budget({ ...wide, maxBytes: 8_000, parts: 2 })
    const source = new Budget({ ...wide, maxBytes: Number.POSITIVE_INFINITY, parent, parts: 2 })
    fill(new Budget({ ...wide, parent: source }), 100)
    expect(source.bytes).toBe(3_800)
    expect(source.roomFor(100)).toBeGreaterThan(0)
    expect(new Budget({ ...wide, parent: source }).roomFor(100)).toBeGreaterThan(0)
    expect(new Budget({ ...wide, parent }).roomFor(100)).toBeGreaterThan(0)
  })

  test('one that is full goes on when others have given enough back', async () => {
    const parent = new Budget({ ...wide, maxCount: 16, parts: 2 })
    const [one, other] = [new Budget({ ...wide, parent }), new Budget({ ...wide, parent })]
    for (let i = 0; i < 8; i += 1) one.take(1)
    fill(other)
    const waiting = watch(other.whenRoom())
    expect([other.count, await waiting.isDone()]).toEqual([4, false])
    one.give(1)
    expect(await waiting.isDone()).toBe(true)
  })
})

/** Whether a promise has settled, asked after everything that was ready has run. */
function watch(promise: Promise<unknown>) {
  let isSettled = false
  void promise.then(() => {
    isSettled = true
  })
  return {
    async isDone(): Promise<boolean> {
      await new Promise((resolve) => setImmediate(resolve))
      return isSettled
    },
  }
}
