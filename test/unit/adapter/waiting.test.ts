import { getEventListeners } from 'node:events'
import { expect, test } from '@jest/globals'
import { Waiting } from '../../../src/adapter/waiting.ts'

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('a wake reaches all who wait; who does not find what they wait for waits on', async () => {
  const waiting = new Waiting()
  let count = 0
  const ended: string[] = []
  for (const [name, least] of [
    ['one', 1],
    ['other', 1],
    ['patient', 2],
  ] as const) {
    void waiting.until(() => count >= least).then(() => ended.push(name))
  }
  count = 1
  await turn()
  expect(ended).toEqual([])
  waiting.wake()
  await turn()
  expect([ended, waiting.size]).toEqual([['one', 'other'], 1])
  count = 2
  waiting.wake()
  await turn()
  expect([ended, waiting.size]).toEqual([['one', 'other', 'patient'], 0])
})

test('what holds already is not waited for', async () => {
  const waiting = new Waiting()
  await waiting.until(() => true)
  expect(waiting.size).toBe(0)
})

test('who leaves with a signal is forgotten, and forgets the signal when woken', async () => {
  const waiting = new Waiting()
  const stop = new AbortController()
  const left = waiting.next(stop.signal)
  expect(waiting.size).toBe(1)
  stop.abort()
  await left
  expect(waiting.size).toBe(0)
  await waiting.next(stop.signal)
  const { signal } = new AbortController()
  const woken = waiting.next(signal)
  waiting.wake()
  await woken
  expect(getEventListeners(signal, 'abort')).toEqual([])
})
