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

test('a destination is blocked from its first refusal until a message arrives, and the log says both once', () => {
  const { stats, lines, to, waiting } = notice()
  for (let i = 0; i < 3; i += 1) waiting.say(to('a'), missing)
  waiting.arrived(to('b'))
  expect([...stats.blocked]).toEqual([
    ['a', { code: 'NOT_FOUND', message: 'topic a does not exist', since: expect.any(Number) }],
  ])
  waiting.arrived(to('a'))
  waiting.arrived(to('a'))
  expect(stats.blocked.size).toBe(0)
  expect(lines).toEqual(['messages for a wait: topic a does not exist; trying again', 'messages for a arrive again'])
})

test('one that is given up blocks nothing any more', () => {
  const { stats, to, waiting } = notice()
  waiting.say(to('a'), missing)
  waiting.gaveUp(to('a'))
  expect(stats.blocked.size).toBe(0)
})

test('no more than twenty are named at a time', () => {
  const { stats, lines, to, waiting } = notice()
  for (let i = 0; i < 100; i += 1) waiting.say(to(`topic-${i}`), missing)
  expect([stats.blocked.size, lines.length]).toEqual([20, 20])
  for (let i = 0; i < 100; i += 1) waiting.arrived(to(`topic-${i}`))
  expect([stats.blocked.size, lines.length]).toEqual([0, 40])
})
