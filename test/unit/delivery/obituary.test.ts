import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { Obituary } from '../../../src/delivery/dead-letters/obituary.ts'
import { PermanentError } from '../../../src/errors.ts'
import type { DeadLetter } from '../../../src/store/contract.ts'
import { message } from '../store/stores.ts'

beforeEach(() => void jest.useFakeTimers())
afterEach(() => void jest.useRealTimers())

const letter = {
  envelope: message(),
  error: new PermanentError('MESSAGE_REFUSED', 'no'),
  reason: 'rejected',
} as DeadLetter

test('each letter has a line of its own, up to twenty in a minute; of the others the log says how many', () => {
  const lines: string[] = []
  const warn = (line: string) => void lines.push(line)
  const obituary = new Obituary('hot', { debug() {}, info() {}, warn, error() {} })
  for (let i = 0; i < 1_000; i += 1) obituary.say(letter)
  expect(lines).toEqual(Array.from({ length: 20 }, () => 'dead letter on route hot: no'))
  jest.advanceTimersByTime(60_000)
  expect(lines.slice(20)).toEqual(['980 more dead letters on route hot within a minute: trivium dead-letters list'])
  obituary.say(letter)
  jest.advanceTimersByTime(600_000)
  expect(lines.slice(21)).toEqual(['dead letter on route hot: no'])
})
