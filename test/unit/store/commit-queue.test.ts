import { DatabaseSync } from 'node:sqlite'
import { expect, test } from '@jest/globals'
import type { GatewayError } from '../../../src/errors.ts'
import { CommitQueue } from '../../../src/store/commit-queue.ts'

test('what waits for a disk that is full to its last byte may be any number, and is called back in order', () => {
  const disk = { isFull: true }
  const gate = { shutFor: () => undefined, diskIsFull: () => false, isDiskFull: true }
  const queue = new CommitQueue(new DatabaseSync(':memory:'), {
    ...{ participants: [], gate, causeOf: () => 'full' as const },
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

/** A queue of whose errors the text says the cause. */
function failing(database = new DatabaseSync(':memory:')) {
  const fatal: GatewayError[] = []
  const queue = new CommitQueue(database, {
    participants: [],
    gate: { shutFor: () => undefined, diskIsFull() {}, isDiskFull: false },
    causeOf: (error) => (error as Error).message,
    onFatal: (error) => void fatal.push(error),
  })
  const done: string[] = []
  const job = (name: string, apply = () => {}) =>
    ({ pace: 'now', sizeBytes: 0, apply, done: () => void done.push(name) }) as const
  return { queue, fatal, done, job }
}

const raise = (what: 'full' | 'disk') => () => {
  throw new Error(what)
}

test('where the disk fails while room is made, nothing is committed or called back any more', () => {
  const database = new DatabaseSync(':memory:')
  const { queue, fatal, done, job } = failing(database)
  database.exec = raise('disk')
  queue.add({ ...job('append', raise('full')), pace: 'append' })
  queue.add(job('other'))
  queue.commitPending()
  expect([done, fatal.map(({ code }) => code)]).toEqual([[], ['STORE_FAILED']])
  expect(() => queue.run(() => {})).toThrow('cannot write any more')
})

test('whoever waits for a commit hears that there is none, wherever the disk failed', async () => {
  const { queue, fatal, job } = failing()
  let waiting: Promise<void> | undefined
  queue.add({
    ...job('first'),
    done() {
      queue.add(job('second'))
      waiting = queue.flushed()
    },
  })
  expect(() => queue.run(raise('disk'))).toThrow('cannot write any more')
  await expect(waiting).rejects.toThrow('cannot write any more')
  expect(fatal).toHaveLength(1)
})

test('whoever stops waiting for room is not told that there is some', () => {
  const { queue, done, job } = failing()
  const told: boolean[] = []
  queue.onFull((isFull) => told.push(isFull))
  let dropped = 0
  queue.add({ ...job('append', raise('full')), pace: 'append', dropped: () => void dropped++ })
  queue.commitPending()
  queue.stopWaiting()
  queue.add(job('other'))
  queue.commitPending()
  expect([told, dropped, done]).toEqual([[true], 1, ['other']])
  queue.close()
})
