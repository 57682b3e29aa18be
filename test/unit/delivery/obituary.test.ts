import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { Obituary } from '../../../src/delivery/dead-letters/obituary.ts'
import { PermanentError } from '../../../src/errors.ts'
import type { DeadLetter } from '../../../src/store/contract.ts'
import { message } from '../store/stores.ts'

beforeEach(() => void jest.useFakeTimers())
afterEach(() => void jest.useRealTimers())

const letter = (code: PermanentError['code'], text: string) =>
  ({ envelope: message(), error: new PermanentError(code, text), reason: 'rejected' }) as DeadLetter

test('of each kind the first has a line of its own; of the others the log says how many, once a minute', () => {
  const lines: string[] = []
  const warn = (line: string) => void lines.push(line)
  const obituary = new Obituary('hot', { debug() {}, info() {}, warn, error() {} })
  const list = 'trivium dead-letters list --route hot'
  for (let n = 0; n < 1_000; n += 1) obituary.say(letter('MESSAGE_UNROUTABLE', `no queue for ${n}`))
  obituary.say(letter('TRANSFORM_FAILED', 'no payload.x'))
  expect(lines.splice(0)).toEqual([
    'dead letter on route hot: no queue for 0',
    'dead letter on route hot: no payload.x',
  ])
  jest.advanceTimersByTime(60_000)
  expect(lines.splice(0)).toEqual([`999 more dead letters on route hot within a minute: MESSAGE_UNROUTABLE; ${list}`])
  for (let n = 0; n < 10; n += 1) obituary.say(letter('MESSAGE_UNROUTABLE', `no queue for ${n}`)) // it goes on
  expect(lines).toEqual([])
  jest.advanceTimersByTime(60_000)
  expect(lines.splice(0)).toEqual([`10 more dead letters on route hot within a minute: MESSAGE_UNROUTABLE; ${list}`])
  jest.advanceTimersByTime(600_000)
  expect(lines).toEqual([])
  obituary.say(letter('MESSAGE_UNROUTABLE', 'no queue again'))
  expect(lines).toEqual(['dead letter on route hot: no queue again'])
})
