import { describe, expect, test } from '@jest/globals'
import { addHeader, Draft } from '../../../src/envelope/draft.ts'
import { Envelope, type HeaderValue } from '../../../src/envelope/envelope.ts'
import { readEnvelope } from '../../../src/envelope/envelope-json.ts'
import { encodeFields } from '../../../src/store/record.ts'

const nested = (levels: number): HeaderValue => (levels === 0 ? 'x' : { a: nested(levels - 1) })
const draft = () => new Draft('id', '2026-11-26T00:00:00Z', 'test://a', null)

describe('a repeated header', () => {
  test('has all its values, in their order', () => {
    const some = draft()
    for (const value of ['a', ['b', 'c'], 'd']) addHeader(some, 'x', value)
    expect(some.headers?.x).toEqual(['a', 'b', 'c', 'd'])
    expect(some.malformed).toBeUndefined()
  })

  test('may be as deep as any header', () => {
    const some = draft()
    for (const value of ['a', nested(63)]) addHeader(some, 'x', value)
    expect(some.headers?.x).toEqual(['a', nested(63)])
    expect(some.malformed).toBeUndefined()
  })

  test.each([
    ['the second', ['a', nested(64)], 'a'],
    ['the first', [nested(64), 'a'], nested(64)],
  ])(
    'whose values are too deep together, %s of them, makes a message malformed that can still be stored',
    (_, values, left) => {
      const some = draft()
      for (const value of values) addHeader(some, 'x', value)
      expect(some.headers?.x).toEqual(left)
      expect(some.malformed).toMatchObject({ code: 'MESSAGE_MALFORMED', retryable: false })
      expect(encodeFields(new Envelope(some))).toContain('MESSAGE_MALFORMED')
    },
  )

  test('of an envelope in JSON is no exception', () => {
    const some = draft()
    readEnvelope(some, { headers: { x: nested(64) }, customHeaders: { x: 'y' } }, Buffer.alloc(0))
    expect(() => encodeFields(new Envelope(some))).not.toThrow()
    expect(some.malformed?.code).toBe('MESSAGE_MALFORMED')
  })
})
