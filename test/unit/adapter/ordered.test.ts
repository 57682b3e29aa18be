import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { OrderedPrefix } from '../../../src/adapter/ordered.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

test('an entry waits for all before it', () => {
  const { prefix, released } = recording()
  const [first, second, third] = [1, 2, 3].map((value) => prefix.add(value))
  prefix.finish(third!)
  prefix.finish(second!)
  expect([released, prefix.size]).toEqual([[], 3])
  prefix.finish(first!)
  expect([released, prefix.size]).toEqual([[1, 2, 3], 0])
})

test('an entry marked twice is let out once', () => {
  const { prefix, released } = recording()
  const place = prefix.add(1)
  prefix.finish(place)
  prefix.finish(place)
  prefix.finish(prefix.add(2))
  expect(released).toEqual([1, 2])
})

test('whatever the order of finishing, all are let out in the order of adding and as early as possible', () => {
  const finishing = fc
    .integer({ min: 1, max: 60 })
    .chain((count) => fc.shuffledSubarray([...Array(count).keys()], { minLength: count }))
  fc.assert(
    fc.property(finishing, (order) => {
      const { prefix, released } = recording()
      const places = order.map((_, value) => prefix.add(value))
      const finished = new Set<number>()
      for (const value of order) {
        prefix.finish(places[value]!)
        finished.add(value)
        expect(released).toEqual(unbrokenPrefix(finished))
      }
      expect(prefix.size).toBe(0)
    }),
  )
})

test('a long run that always keeps some entries open lets out every one', () => {
  const { prefix, released } = recording()
  const open: number[] = []
  for (let value = 0; value < 10_000; value += 1) {
    open.push(prefix.add(value))
    if (open.length > 8) prefix.finish(open.shift()!)
  }
  expect(prefix.size).toBe(8)
  for (const place of open) prefix.finish(place)
  expect(released).toEqual([...Array(10_000).keys()])
})

test("what was dropped is never let out, and its places are nobody else's", () => {
  const { prefix, released } = recording()
  const [before, ...dropped] = [1, 2, 3].map((value) => prefix.add(value))
  prefix.finish(before!)
  prefix.drop()
  const after = prefix.add(4)
  for (const place of dropped) prefix.finish(place)
  expect([released, prefix.size]).toEqual([[1], 1])
  prefix.finish(after)
  expect(released).toEqual([1, 4])
})

test('a value that was let out is not kept', async () => {
  const prefix = new OrderedPrefix<object>(() => {})
  const values = Array.from({ length: 10 }, () => {
    const value = {}
    prefix.finish(prefix.add(value))
    return new WeakRef(value)
  })
  await nextTurn() // a WeakRef holds its target until the end of the turn that made it
  collectGarbage()
  expect(values.filter((value) => value.deref() !== undefined)).toEqual([])
  expect(prefix.size).toBe(0)
})

function recording() {
  const released: number[] = []
  return { released, prefix: new OrderedPrefix<number>((value) => released.push(value)) }
}

function unbrokenPrefix(finished: ReadonlySet<number>): number[] {
  const values: number[] = []
  while (finished.has(values.length)) values.push(values.length)
  return values
}
