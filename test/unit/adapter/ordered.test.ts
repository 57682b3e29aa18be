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
  third?.()
  second?.()
  expect([released, prefix.size]).toEqual([[], 3])
  first?.()
  expect([released, prefix.size]).toEqual([[1, 2, 3], 0])
})

test('an entry marked twice is let out once', () => {
  const { prefix, released } = recording()
  const done = prefix.add(1)
  done()
  done()
  prefix.add(2)()
  expect(released).toEqual([1, 2])
})

test('whatever the order of finishing, all are let out in the order of adding and as early as possible', () => {
  const finishing = fc
    .integer({ min: 1, max: 60 })
    .chain((count) => fc.shuffledSubarray([...Array(count).keys()], { minLength: count }))
  fc.assert(
    fc.property(finishing, (order) => {
      const { prefix, released } = recording()
      const marks = order.map((_, value) => prefix.add(value))
      const finished = new Set<number>()
      for (const value of order) {
        marks[value]?.()
        finished.add(value)
        expect(released).toEqual(unbrokenPrefix(finished))
      }
      expect(prefix.size).toBe(0)
    }),
  )
})

test('a long run that always keeps some entries open lets out every one', () => {
  const { prefix, released } = recording()
  const open: (() => void)[] = []
  for (let value = 0; value < 10_000; value += 1) {
    open.push(prefix.add(value))
    if (open.length > 8) open.shift()?.()
  }
  expect(prefix.size).toBe(8)
  for (const done of open) done()
  expect(released).toEqual([...Array(10_000).keys()])
})

test('a value that was let out is not kept', async () => {
  const prefix = new OrderedPrefix<object>(() => {})
  const values = Array.from({ length: 10 }, () => {
    const value = {}
    prefix.add(value)()
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
