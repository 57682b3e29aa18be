import { afterEach, expect, jest, test } from '@jest/globals'
import { Pace } from '../../../src/delivery/stored/pace.ts'

afterEach(() => void jest.restoreAllMocks())

test('pace is that of the last whole window, and none after a window without any', () => {
  let nowMs = 1_000
  jest.spyOn(performance, 'now').mockImplementation(() => nowMs)
  const pace = new Pace(100)
  for (let n = 0; n < 50; n += 1) pace.count()
  expect(pace.perWindow).toBe(0)
  nowMs += 100
  expect(pace.perWindow).toBe(50)
  nowMs += 99
  expect(pace.perWindow).toBe(50)
  for (let n = 0; n < 30; n += 1) pace.count()
  nowMs += 51
  expect(pace.perWindow).toBe(20)
  nowMs += 100
  expect(pace.perWindow).toBe(0)
})
