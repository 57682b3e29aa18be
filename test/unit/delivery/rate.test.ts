import { afterEach, expect, jest, test } from '@jest/globals'
import { Rate } from '../../../src/delivery/stored/rate.ts'

afterEach(() => void jest.restoreAllMocks())

test('the rate is that of the last whole window, and none after a window without any', () => {
  let nowMs = 1_000
  jest.spyOn(performance, 'now').mockImplementation(() => nowMs)
  const rate = new Rate(100)
  for (let n = 0; n < 50; n += 1) rate.count()
  expect(rate.perWindow).toBe(0)
  nowMs += 100
  expect(rate.perWindow).toBe(50)
  nowMs += 99
  expect(rate.perWindow).toBe(50)
  for (let n = 0; n < 30; n += 1) rate.count()
  nowMs += 51
  expect(rate.perWindow).toBe(20)
  nowMs += 100
  expect(rate.perWindow).toBe(0)
})
