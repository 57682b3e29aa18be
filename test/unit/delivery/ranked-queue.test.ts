import { expect, test } from '@jest/globals'
import type { Parcel } from '../../../src/delivery/parcel.ts'
import { RankedQueue } from '../../../src/delivery/ranked-queue.ts'
import { parcel, RecordingOwner, textOf } from './scripted.ts'

const owner = new RecordingOwner()
function ranked(text: string, rank: number): Parcel {
  return Object.assign(parcel(owner, text), { rank })
}
function filled(): RankedQueue {
  const queue = new RankedQueue()
  for (const [text, rank] of [
    ['a', 0],
    ['b', 4],
    ['c', 9],
    ['d', 4],
    ['e', 0],
  ] as const)
    queue.push(ranked(text, rank))
  return queue
}
function drained(queue: RankedQueue): string[] {
  const texts: string[] = []
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) texts.push(textOf(next.outbound))
  return texts
}

test('a ranked queue gives the highest rank first, of one rank in order', () => {
  const queue = filled()
  expect(queue.size).toBe(5)
  expect(drained(queue)).toEqual(['c', 'b', 'd', 'a', 'e'])
  expect(queue.size).toBe(0)
})

test('a ranked queue gives what comes later with a higher rank next', () => {
  const queue = filled()
  queue.shift()
  queue.push(ranked('f', 7))
  queue.push(ranked('g', 9))
  expect(drained(queue)).toEqual(['g', 'f', 'b', 'd', 'a', 'e'])
})

test('a ranked queue gives all at once in the same order, and is empty then', () => {
  const queue = filled()
  expect(queue.takeAll().map(({ outbound }) => textOf(outbound))).toEqual(['c', 'b', 'd', 'a', 'e'])
  expect({ size: queue.size, next: queue.shift() }).toEqual({ size: 0, next: undefined })
})
