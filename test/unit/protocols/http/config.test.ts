import { expect, test } from '@jest/globals'
import { http } from '../../../../protocols/http/index.ts'

const problemsOf = (settings: object) =>
  (http.checkConnection?.(http.connection.parse(settings)) ?? []).map(({ path }) => path.join('.'))
const tls = { cert: 'a.crt', key: 'a.key' }

test('a listener that others can reach lets nobody in unasked', () => {
  expect(problemsOf({ listen: 'http://0.0.0.0:80' })).toEqual(['listen'])
  expect(problemsOf({ listen: ['http://127.0.0.1:80', 'https://10.0.0.1:443'], tls })).toEqual(['listen'])
  expect(problemsOf({ listen: 'http://0.0.0.0:80', tls: { ...tls, ca: 'ca.crt' } })).toEqual(['listen']) // it is not https
  for (const guarded of [
    { listen: 'http://127.0.0.1:80' },
    { listen: 'http://[::1]:80' },
    { listen: 'http://0.0.0.0:80', auth: { tokens: ['t'] } },
    { listen: 'http://0.0.0.0:80', auth: { signatures: [{ layout: 'github', secrets: ['s'] }] } },
    { listen: 'https://0.0.0.0:443', tls: { ...tls, ca: 'ca.crt' } },
    { listen: 'http://0.0.0.0:80', insecure: true },
  ])
    expect([guarded, problemsOf(guarded)]).toEqual([guarded, []])
})

test('https needs a certificate', () => {
  expect(problemsOf({ listen: 'https://127.0.0.1:443' })).toEqual(['tls'])
})

test.each([
  { listen: 'ftp://127.0.0.1:80' },
  { listen: 'http://user@127.0.0.1:80' },
  { listen: 'http://127.0.0.1:80/path' },
  { listen: 'http://127.0.0.1:80', auth: {} },
  { listen: 'http://127.0.0.1:80', auth: { tokens: [''] } },
  { listen: 'http://127.0.0.1:80', auth: { users: [{ username: 'a:b', password: 'p' }] } },
  { listen: 'http://127.0.0.1:80', cors: { origins: ['panel.example.com'] } },
  { auth: { tokens: ['t'] } },
  { cors: { origins: ['*'] } },
])('%j is refused', (settings) => {
  expect(http.connection.safeParse(settings).success).toBe(false)
})

test.each(['orders', '/a?b', '/a/../b', '/a%20b', ''])('the path %j is refused', (path) => {
  expect(http.source?.schema.safeParse({ path }).success).toBe(false)
})

test('a source needs a connection that listens', () => {
  const from = http.source!.schema.parse({ path: '/a' })
  expect(http.source!.check!(from, http.connection.parse({}))).toMatchObject([
    { message: expect.stringMatching(/listen/) },
  ])
  expect(http.source!.check!(from, http.connection.parse({ listen: 'http://127.0.0.1:80' }))).toEqual([])
})
