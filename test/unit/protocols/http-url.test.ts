import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { isPublic } from '../../../protocols/http/client/addresses.ts'
import { Health } from '../../../protocols/http/client/health.ts'
import { retryAfterMs } from '../../../protocols/http/client/retry-after.ts'
import { hasTemplatedHost, placeOf, shownUrl, urlDestination, urlProblem } from '../../../protocols/http/client/url.ts'
import { RetryableError } from '../../../src/errors.ts'

const around = (value: string) => `https://shop.example/a/${urlDestination.encode(value)}/b`

test('a value stays in its part of the path, and comes out of it as it was', () => {
  const value = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.constantFrom('..', '.', '', '%2e%2e', '../..', 'a/b', '?#', '\\', '\0'),
  )
  fc.assert(
    fc.property(value, (text) => {
      const url = around(text)
      if (urlProblem(url) !== undefined) return void expect(['', '.', '..']).toContain(text)
      const { path, origin } = placeOf({ url })
      const parts = path.split('/')
      expect([origin, parts.length, parts[1], parts[3]]).toEqual(['https://shop.example', 4, 'a', 'b'])
      expect(decodeURIComponent(parts[2]!)).toBe(text)
    }),
    { numRuns: 2_000 },
  )
})

test('a value that is chosen for the host stays in the host', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.webUrl(), fc.string(), fc.constantFrom('evil.test/', 'a@b', 'a:80', 'a#', 'a?b')),
      (text) => {
        const url = `https://${urlDestination.encode(text)}.shop.example/a`
        if (urlProblem(url) === undefined) expect(new URL(url).hostname).toMatch(/\.shop\.example$/)
      },
    ),
    { numRuns: 2_000 },
  )
})

test.each([
  ['https://shop.example/orders', undefined],
  ['http://127.0.0.1:8080', undefined],
  ['https://shop.example/orders/?a=b', undefined],
  ['https://[::1]:8443/x', undefined],
  ['ftp://shop.example/', 'http:// or https://'],
  ['shop.example/orders', 'http:// or https://'],
  ['https:///orders', 'http:// or https://'],
  ['https://user:secret@shop.example/', 'name it in `auth`'],
  ['https://shop.example/a/../b', '`.` or `..`'],
  ['https://shop.example/a/%2E%2e/b', '`.` or `..`'],
  ['https://shop.example/a//b', 'is empty'],
  ['https://shop.example/a b', 'white space'],
  ['https://shop.example/a#b', 'a `#`'],
  ['https://shop.example\\a', 'a `\\`'],
  ['https://shop.example:99999/', 'no valid host or port'],
  ['https://shop.example/%zz', 'empty, `.`, `..` or no text'],
  [`https://shop.example/${'x'.repeat(9_000)}`, 'more than 8192'],
])('%s', (url, problem) => {
  expect(urlProblem(url)).toEqual(problem === undefined ? undefined : expect.stringContaining(problem))
})

test.each([
  ['https://shop.example/{payload.id}', false],
  ['https://shop.example?a={payload.id}', false],
  ['https://{payload.host}/x', true],
  ['https://shop.{params.site}.example/x', true],
  ['https://shop.example:{params.port}/x', true],
  ['{payload.url}', true],
])('%s: the host comes from a message: %s', (url, is) => {
  expect(hasTemplatedHost(url)).toBe(is)
})

test('what is shown of a URL has no scheme, and no parameters, which may be secret', () => {
  expect(shownUrl('HTTPS://shop.example/orders?token=secret')).toBe('shop.example/orders')
})

test.each(['8.8.8.8', '93.184.216.34', '2606:2800:220:1:248:1893:25c8:1946'])('%s is public', (address) => {
  expect(isPublic(address)).toBe(true)
})

test.each([
  ['5', 5_000],
  ['0', 0],
  ['Thu, 01 Jan 1970 00:01:00 GMT', 60_000],
  ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
  ['soon', undefined],
  [undefined, undefined],
  ['100000', 3_600_000],
])('Retry-After: %s', (text, ms) => {
  expect(retryAfterMs(text, 0)).toBe(ms)
})

test('one unreachable look is a rest, silence needs three; an answer ends it; many servers are no memory', () => {
  const health = new Health()
  const error = new RetryableError('DESTINATION_UNAVAILABLE', 'nobody')
  health.failed('http://silent', error, false, 0)
  health.failed('http://silent', error, false, 0)
  expect(health.refusal('http://silent', 0)).toBeUndefined()
  for (let n = 0; n < 2_000; n += 1) health.rests(`http://${n}`, error, 1_000, 0)
  health.rests('http://away', error, 1_000, 0)
  expect(health.refusal('http://away', 500)).toMatchObject({ message: 'nobody', countsAsAttempt: false })
  expect(health.refusal('http://away', 500)!.retryAfterMs).toBeGreaterThanOrEqual(500)
  expect(health.refusal('http://away', 1_001)).toBeUndefined()
  expect(health.refusal('http://0', 500)).toBeUndefined()
  health.answered('http://away')
  expect(health.refusal('http://away', 500)).toBeUndefined()
})
