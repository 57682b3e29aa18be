import { expect, test } from '@jest/globals'
import { WaitingNotice } from '../../../src/delivery/waiting-notice.ts'
import { RetryableError } from '../../../src/errors.ts'
import { TargetStats } from '../../../src/telemetry/stats.ts'
import { parcel, RecordingOwner, textOf } from './scripted.ts'

const owner = new RecordingOwner()
const missing = new RetryableError('NOT_FOUND', 'topic a does not exist')

function notice() {
  const stats = new TargetStats('events', 'kafka')
  const lines: string[] = []
  const log = {
    debug() {},
    info: (line: string) => lines.push(line),
    warn: (line: string) => lines.push(line),
    error() {},
  }
  const addressOf = (target: unknown) => (target as { topic: string }).topic
  const to = (topic: string) => {
    const one = parcel(owner, topic)
    Object.assign(one.outbound.target as object, { topic: textOf(one.outbound) })
    return one
  }
  return { stats, lines, to, waiting: new WaitingNotice({ addressOf, log, stats }) }
}

test('a destination is blocked until the last of its messages that were refused has arrived, and the log says both once', () => {
  const { stats, lines, to, waiting } = notice()
  const [first, second] = [to('a'), to('a')]
  for (let i = 0; i < 3; i += 1) waiting.say(first, missing)
  waiting.say(second, missing)
  waiting.ended(to('b'), true)
  waiting.ended(to('a'), true) // another one, e.g. for another partition
  waiting.ended(first, true)
  expect([...stats.blocked]).toEqual([
    ['a', { code: 'NOT_FOUND', message: 'topic a does not exist', since: expect.any(Number) }],
  ])
  waiting.ended(second, true)
  waiting.ended(second, true)
  expect(stats.blocked.size).toBe(0)
  expect(lines).toEqual(['messages for a wait: topic a does not exist; trying again', 'messages for a arrive again'])
})

test('one that is given up blocks nothing any more', () => {
  const { stats, lines, to, waiting } = notice()
  const one = to('a')
  waiting.say(one, missing)
  waiting.ended(one, false)
  expect([stats.blocked.size, lines.length]).toEqual([0, 1])
})

test('no more than twenty are named at a time', () => {
  const { stats, lines, to, waiting } = notice()
  const all = Array.from({ length: 100 }, (_, i) => to(`topic-${i}`))
  for (const one of all) waiting.say(one, missing)
  expect([stats.blocked.size, lines.length]).toEqual([20, 20])
  for (const one of all) waiting.ended(one, true)
  expect([stats.blocked.size, lines.length]).toEqual([0, 40])
})
