import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { Reminder } from '../../../src/delivery/reminder.ts'

beforeEach(() => {
  jest.useFakeTimers()
})
afterEach(() => {
  jest.useRealTimers()
})

test('a name is due once, and again after a minute', () => {
  const reminder = new Reminder()
  expect([reminder.isDue('a'), reminder.isDue('b'), reminder.isDue('a')]).toEqual([true, true, false])
  jest.advanceTimersByTime(59_000)
  expect(reminder.isDue('a')).toBe(false)
  jest.advanceTimersByTime(1_000)
  expect(reminder.isDue('a')).toBe(true)
})

test('no more than twenty names are due in a minute', () => {
  const reminder = new Reminder()
  const due = Array.from({ length: 100 }, (_, n) => reminder.isDue(String(n)))
  expect(due.filter(Boolean)).toHaveLength(20)
})
