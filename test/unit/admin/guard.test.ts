/** Who is let in at the admin server, and for how long somebody may keep it waiting. */

import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { afterEach, expect, test } from '@jest/globals'
import { AdminServer } from '../../../src/admin/server.ts'
import type { RefusalReason } from '../../../src/telemetry/stats.ts'
import type { GatewayStatus } from '../../../src/telemetry/status.ts'
import { recordingLog } from '../../support/contexts/log.ts'
import { eventually } from '../../support/poll.ts'

const servers: AdminServer[] = []
afterEach(() => Promise.all(servers.splice(0).map((server) => server.close())))

const status = {
  ...{ id: 'test', startedAt: 0, routes: [], links: [], inFlight: {} },
  store: { deadLetters: new Map(), deadLetterFigures: { held: 0 } },
} as unknown as GatewayStatus

async function listening({ host = '127.0.0.1', token }: { host?: string; token?: string } = {}) {
  const refused = new Map<RefusalReason, number>()
  const { log, lines } = recordingLog()
  const identity = { id: 'test', dataDir: '/srv/data' }
  const options = { host, port: 0, token, identity, refused, log }
  const server = new AdminServer(
    options,
    () => status,
    () => Promise.reject(new Error('no metrics here')),
  )
  servers.push(server)
  return { url: await server.listen(), refused, lines }
}

function ask(url: string, headers: Record<string, string> = {}): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(url, { headers }, (response) => resolve(response.resume().statusCode))
      .on('error', reject)
      .end()
  })
}

test.each([
  [{ origin: 'http://evil.example' }, 403],
  [{ origin: 'null' }, 403],
  [{ 'sec-fetch-site': 'cross-site' }, 403],
  [{ 'sec-fetch-site': 'same-site' }, 403],
  [{ 'sec-fetch-site': 'same-origin' }, 200],
  [{ 'sec-fetch-site': 'none' }, 200],
  [{}, 200],
])('a page with %j gets %d, and probes are for all', async (headers, expected) => {
  const { url, refused } = await listening()
  for (const page of ['/api/v1/gateway', '/api/v1/routes', '/api/v1/connections']) {
    expect([page, await ask(url + page, headers)]).toEqual([page, expected])
  }
  expect([await ask(`${url}/livez`, headers), await ask(`${url}/readyz`, headers)]).toEqual([200, 200])
  expect(refused.get('origin')).toBe(expected === 403 ? 3 : undefined)
})

test('its own pages are told by their origin', async () => {
  const { url } = await listening()
  expect(await ask(`${url}/api/v1/gateway`, { origin: url })).toBe(200)
})

test('every address of the loopback net wants its own name', async () => {
  const { url } = await listening({ host: '127.0.0.2' })
  expect(await ask(`${url}/readyz`, { host: 'evil.example' })).toBe(421)
  expect(await ask(`${url}/readyz`, { host: 'localhost:1' })).toBe(200)
})

test('wrong tokens are answered slowly, a few at a time, counted and told once; the right one is not slowed', async () => {
  const { url, refused, lines } = await listening({ token: 's3cret' })
  const right = { authorization: 'Bearer s3cret' }
  const startedMs = performance.now()
  const guesses = Promise.all(
    Array.from({ length: 200 }, (_, n) => ask(`${url}/api/v1/gateway`, { authorization: `Bearer ${n}` })),
  )
  const answers = await guesses
  expect(performance.now() - startedMs).toBeGreaterThan(950)
  expect(answers.filter((answer) => answer === 401).length).toBeLessThanOrEqual(15) // the others were not looked at
  expect(new Set(answers)).toEqual(new Set([401, 429]))
  expect(refused.get('token')).toBe(answers.filter((answer) => answer === 401).length)
  expect(lines.map(({ message }) => message)).toEqual(['wrong admin token; logged at most once a minute'])
  expect(await ask(`${url}/api/v1/gateway`, right)).toBe(200)
})

test('an address that has shown the right token keeps its place while others guess', async () => {
  const { url } = await listening({ token: 's3cret' })
  expect(await ask(`${url}/api/v1/gateway`, { authorization: 'Bearer s3cret' })).toBe(200)
  const looked: number[] = []
  const elsewhere = (n: number) =>
    new Promise<void>((resolve) => {
      const headers = { authorization: `Bearer ${n}` }
      request(`${url}/api/v1/gateway`, { headers, localAddress: '127.0.0.9' }, (response) => {
        if (response.statusCode === 401) looked.push(n)
        response.resume().on('end', resolve)
      }).end()
    })
  const guesses = Promise.all(Array.from({ length: 20 }, (_, n) => elsewhere(n)))
  expect(await ask(`${url}/api/v1/gateway`, { authorization: 'Bearer s3cret' })).toBe(200)
  expect(looked).toEqual([]) // a guess is answered after a second
  await guesses
  expect(looked.length).toBeGreaterThan(0)
})

test('a path that cannot be read is the asker’s mistake, and shows no stack', async () => {
  const { url } = await listening()
  const response = await fetch(`${url}/api/v1/%ff`)
  expect(response.status).toBe(404)
  const broken = await fetch(`${url}/metrics`)
  expect([broken.status, await broken.json()]).toEqual([500, { error: 'no metrics here', code: 'INTERNAL' }])
})

test('who is slow with the headers or the body of a request is cut off', async () => {
  const { url } = await listening()
  const port = Number(new URL(url).port)
  const begun = [
    '',
    'GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ',
    'POST /api/v1/dead-letters/requeue HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
  ]
  const startedMs = performance.now()
  const ends = begun.map(async (text) => {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    socket.write(text)
    const dripping = setInterval(() => socket.write('x'), 500)
    socket.on('error', () => {}).resume()
    await once(socket, 'close')
    clearInterval(dripping)
    return performance.now() - startedMs
  })
  for (const endedMs of await Promise.all(ends)) expect(endedMs).toBeLessThan(15_000)
  await eventually(async () => (await ask(`${url}/livez`)) === 200, { what: 'it goes on' })
}, 30_000)
