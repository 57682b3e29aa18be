import { DatabaseSync } from 'node:sqlite'
import { expect, test } from '@jest/globals'
import { CommitQueue } from '../../../src/store/commit-queue.ts'

test('what waits for a disk that is full to its last byte may be any number, and is called back in order', () => {
  const disk = { isFull: true }
  const gate = { shutFor: () => undefined, diskIsFull: () => false, isDiskFull: true }
  const queue = new CommitQueue(new DatabaseSync(':memory:'), {
    ...{ participants: [], gate, causeOf: () => 'full' as const, observe() {} },
    onFatal(error) {
      throw error
    },
  })
  const apply = () => {
    if (disk.isFull) throw new Error('database or disk is full')
  }
  const done: number[] = []
  const add = (n: number) => queue.add({ pace: 'soon', sizeBytes: 0, apply, done: () => void done.push(n) })
  const many = 150_000
  for (let n = 0; n < many; n += 1) add(n)
  expect(queue.isBacklogged).toBe(true)
  queue.commitPending()
  add(many)
  expect(done).toEqual([])
  disk.isFull = false
  queue.commitPending()
  expect(done).toEqual(Array.from({ length: many + 1 }, (_, n) => n))
  expect(queue.isBacklogged).toBe(false)
  queue.close()
})
