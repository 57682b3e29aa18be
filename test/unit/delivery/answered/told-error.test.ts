import { expect, test } from '@jest/globals'
import { toldError } from '../../../../src/delivery/answered/told-error.ts'
import { PermanentError, RetryableError } from '../../../../src/errors.ts'

test('what a target or a driver said is not told to an asker; its code and its wish are', () => {
  const said = 'http://10.0.0.7/internal answered 503: {"trace":"at Db.connect"}'
  const told = toldError(new RetryableError('TARGET_BUSY', said, { retryAfterMs: 5_000 }))
  expect(told).toMatchObject({ code: 'TARGET_BUSY', retryable: true, retryAfterMs: 5_000 })
  expect(told.message).not.toContain('10.0.0.7')
  expect(toldError(new PermanentError('MESSAGE_REFUSED', said)).message).not.toContain('trace')
})

test('what is about the request itself is told as it is', () => {
  const error = new PermanentError('TRANSFORM_FAILED', 'payload.count is no number')
  expect(toldError(error)).toBe(error)
})
