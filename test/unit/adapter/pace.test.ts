import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { Pace } from '../../../src/adapter/pace.ts'

test('a quick broker is at full batches after four of its sends, and no send of another size changes that', () => {
  const pace = new Pace(250)
  for (let sends = 0; sends < 4; sends += 1) pace.ended(pace.batch, 3)
  expect(pace.batch).toBe(250)
  for (const [answered, ms] of [
    [250, 4_999],
    [250, 9_999],
    [1, 9_999],
  ] as const)
    pace.ended(answered, ms)
  expect(pace.batch).toBe(250)
})

test('few messages confirmed quickly do not raise the pace of a slow broker', () => {
  const pace = new Pace(250)
  pace.ended(16, 40_000)
  for (let sends = 0; sends < 100; sends += 1) pace.ended(1, 5)
  expect(pace.batch).toBe(4)
})

describe('the time of a send', () => {
  beforeEach(() => void jest.useFakeTimers())
  afterEach(() => void jest.useRealTimers())

  test('is 30 s from its beginning or from what the broker confirmed last, and never more than 55 s', () => {
    jest.advanceTimersByTime(100_000)
    const pace = new Pace(250)
    const over: number[] = []
    pace.watch(performance.now(), (ms) => over.push(ms))
    jest.advanceTimersByTime(20_000)
    pace.heard()
    jest.advanceTimersByTime(29_000)
    pace.heard()
    jest.advanceTimersByTime(5_999)
    expect(over).toEqual([])
    jest.advanceTimersByTime(1)
    expect(over).toEqual([55_000])
    pace.watch(performance.now(), (ms) => over.push(ms))
    jest.advanceTimersByTime(30_000)
    expect(over).toEqual([55_000, 30_000])
  })

  test('is watched no more once the send has ended', () => {
    const over = jest.fn()
    new Pace(250).watch(performance.now(), over)()
    jest.advanceTimersByTime(100_000)
    expect(over).not.toHaveBeenCalled()
  })
})
