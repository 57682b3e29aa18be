import { describe, expect, test } from '@jest/globals'
import { protocols } from '../../../protocols/index.ts'
import type { DestinationSettings, TargetConfig } from '../../../src/config/schema/types.ts'
import { DestinationLimit, destinationLimitOf } from '../../../src/delivery/destination-limit.ts'

const settings = (changes: Partial<DestinationSettings> = {}): DestinationSettings => ({
  ...{ count: 3, withinMs: 10_000, onLimit: 'deadLetter' },
  ...changes,
})
const limitOf = (changes?: Partial<DestinationSettings>) => new DestinationLimit(settings(changes), String)

describe('a limit of destinations', () => {
  test('lets in as many as it says, again and again, and no other', () => {
    const limit = limitOf()
    for (const name of ['a', 'b', 'a', 'c', 'b', 'c']) expect(limit.problemOf(name, 0)).toBeUndefined()
    expect(limit.problemOf('d', 0)).toMatchObject({
      ...{ retryable: false, code: 'DESTINATION_LIMIT' },
      message: expect.stringMatching(/^'d' would be one destination more than the 3 .*allow.*maxDestinations/),
    })
    expect(limit.problemOf('a', 0)).toBeUndefined()
  })

  test('wait: it is refused for now, which counts as no attempt', () => {
    const limit = limitOf({ count: 1, onLimit: 'wait' })
    limit.problemOf('a', 0)
    expect(limit.problemOf('b', 0)).toMatchObject({ retryable: true, countsAsAttempt: false, isOutage: false })
  })

  test('forgets what was not used for so long, and nothing else', () => {
    const limit = limitOf()
    for (const [name, atMs] of [
      ['a', 0],
      ['b', 0],
      ['c', 1],
      ['a', 9_000],
    ] as const)
      limit.problemOf(name, atMs)
    expect(limit.problemOf('d', 9_999)).toBeDefined()
    expect(limit.problemOf('d', 11_001)).toBeUndefined()
    expect(limit.problemOf('e', 11_002)).toBeUndefined()
    expect(limit.problemOf('f', 11_003)).toBeDefined()
    expect(limit.problemOf('a', 11_004)).toBeUndefined()
  })

  test('a hundred thousand names of 60 KB cost neither memory nor much time', () => {
    const limit = limitOf({ count: 1_000 })
    const long = 'x'.repeat(60_000)
    const startedMs = performance.now()
    const before = process.memoryUsage().heapUsed
    for (let n = 0; n < 3_000; n += 1) limit.problemOf(`${n}${long}`, 0)
    for (let n = 0; n < 100_000; n += 1) limit.problemOf(`${n}`, 0)
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 2 ** 20)
    expect(performance.now() - startedMs).toBeLessThan(5_000)
  })
})

describe('a target has one', () => {
  const has = (name: string, target: object, more: Partial<TargetConfig> = {}) => {
    const protocol = protocols.find((one) => one.name === name)!
    const common = { connection: 'x', protocol: name, when: undefined, format: undefined, allow: undefined }
    return destinationLimitOf({ ...common, settings: target, ...more }, protocol) !== undefined
  }

  test.each([
    ['kafka', { topic: 't.{payload.x}' }],
    ['amqp', { queue: 'q.{payload.x}', declare: true }],
    ['amqp', { exchange: 'e.{payload.x}', routingKey: 'r' }],
    ['mqtt', { topic: 't/{payload.x}', retain: true }],
  ])('of its own accord: %s %j', (name, target) => {
    expect(has(name, target)).toBe(true)
    expect(has(name, target, { allow: ['a', 'b'] })).toBe(false)
    expect(has(name, target, { allow: ['a', 'b.*'] })).toBe(true)
  })

  test.each([
    ['kafka', { topic: 't' }],
    ['mqtt', { topic: 't/{payload.x}', retain: false }],
    ['memory', { topic: 't/{payload.x}' }],
  ])('only where it says so, and messages choose: %s %j', (name, target) => {
    expect(has(name, target)).toBe(false)
    expect(has(name, target, { maxDestinations: settings() })).toBe(name !== 'kafka')
  })
})
