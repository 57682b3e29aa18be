import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { withDeadline } from '../../../src/adapter/deadline.ts'
import { RetryableError } from '../../../src/errors.ts'

beforeEach(() => {
  jest.useFakeTimers()
})
afterEach(() => {
  jest.useRealTimers()
})

test('a promise in time passes through and leaves no timer behind', async () => {
  await expect(withDeadline(Promise.resolve(7), 100, 'an answer')).resolves.toBe(7)
  expect(jest.getTimerCount()).toBe(0)
})

test('a rejection in time passes through and leaves no timer behind', async () => {
  const failure = new Error('refused')
  await expect(withDeadline(Promise.reject(failure), 100, 'an answer')).rejects.toBe(failure)
  expect(jest.getTimerCount()).toBe(0)
})

test('a promise too late is an outage that says what was waited for', async () => {
  const waiting = withDeadline(new Promise(() => {}), 100, 'the handshake').catch((error: unknown) => error)
  jest.advanceTimersByTime(100)
  const error = await waiting
  expect(error).toBeInstanceOf(RetryableError)
  expect(error).toMatchObject({
    code: 'PEER_TIMEOUT',
    message: 'the handshake took longer than 100 ms',
    isOutage: true,
  })
})

test('a rejection after the deadline has nobody to disturb', async () => {
  const { promise, reject } = Promise.withResolvers<never>()
  const waiting = withDeadline(promise, 100, 'an answer').catch((error: unknown) => error)
  jest.advanceTimersByTime(100)
  reject(new Error('too late'))
  expect(await waiting).toMatchObject({ code: 'PEER_TIMEOUT' })
})
