import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { AdminServer } from '../../../src/admin/server.ts'
import { placeBy } from '../../../src/delivery/dead-letters/placement.ts'
import { Workbench } from '../../../src/delivery/dead-letters/workbench.ts'
import { PermanentError } from '../../../src/errors.ts'
import type { Store } from '../../../src/store/contract.ts'
import type { GatewayStatus } from '../../../src/telemetry/status.ts'
import { type LogLine, recordingLog } from '../../support/contexts/log.ts'
import { envelopeOf, fill, letterOf, storeAt, waitingFor } from '../../support/gateway/dead-letters.ts'
import { eventually } from '../../support/poll.ts'

const token = 's3cret'
const json = { 'content-type': 'application/json', authorization: `Bearer ${token}` }

let directory: string
let store: Store
let server: AdminServer
let lines: LogLine[]
let base: string
let route: number
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'trivium-admin-'))
  store = storeAt(directory)
  const orders = store.outbox.route('orders', ['inside/orders'])
  route = orders.route
  const recorded = recordingLog()
  lines = recorded.lines
  const place = placeBy((name) => (name === 'orders' ? { ...orders, match: 'all' } : undefined))
  const bench = new Workbench({ deadLetters: store.deadLetters, place, log: recorded.log })
  const unused = () => ({}) as GatewayStatus
  const identity = { id: 'test', dataDir: directory }
  const options = { host: '127.0.0.1', port: 0, token, identity, patienceMs: 300 }
  server = new AdminServer(options, unused, () => Promise.reject(new Error('no metrics here')), bench)
  base = `${await server.listen()}/api/v1/dead-letters`
})
afterEach(async () => {
  await server.close()
  store.close()
  rmSync(directory, { recursive: true, force: true })
})

async function ask(path: string, options: { method?: string; body?: unknown } = {}) {
  const { method = 'GET', body } = options
  const response = await fetch(base + path, {
    method,
    headers: json,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: (await response.json()) as never }
}

test('the list tells all but the message, and where it goes on', async () => {
  await fill(store, [letterOf(), letterOf({ reason: 'rejected' }), letterOf({ route: 'other' })])
  const { status, body } = await ask('?limit=2')
  expect(status).toBe(200)
  expect(body).toEqual({
    total: 3,
    next: 2,
    deadLetters: [
      expect.objectContaining({ id: 1, route: 'orders', reason: 'max-attempts', messageId: 'm-1', payloadBytes: 15 }),
      expect.objectContaining({
        id: 2,
        reason: 'rejected',
        error: { code: 'TARGET_BUSY', message: 'come again later' },
      }),
    ],
  })
  expect(JSON.stringify(body)).not.toContain('12.50}')
  expect(
    (await ask(`?reason=rejected&route=orders&where=${encodeURIComponent('payload.total > 12')}`)).body,
  ).toMatchObject({
    deadLetters: [{ id: 2 }],
  })
})

test('one letter has its message, typed headers and the very bytes', async () => {
  const headers = { text: 'x', big: 2n ** 60n, raw: Buffer.from([1, 2]) }
  const binary = Buffer.from([0xff, 0xfe])
  await fill(store, [
    letterOf({ envelope: envelopeOf({ headers, key: 'k', ttlMs: 5, contentType: 'application/json' }) }),
    letterOf({
      envelope: envelopeOf({ payload: binary, malformed: new PermanentError('MESSAGE_MALFORMED', 'no JSON') }),
    }),
    letterOf({ envelope: envelopeOf({ payload: null }) }),
  ])
  expect((await ask('/1')).body).toMatchObject({
    params: { site: 'berlin' },
    message: {
      messageId: 'm-1',
      key: 'k',
      payloadText: '{"total":12.50}',
      headers: {
        contentType: 'application/json',
        ttl: 5,
        text: 'x',
        big: { $int: '1152921504606846976' },
        raw: { $bytes: 'AQI=' },
      },
    },
  })
  expect((await ask('/2')).body).toMatchObject({
    malformed: 'no JSON',
    message: { payloadBase64: binary.toString('base64') },
  })
  expect((await ask('/3')).body).toMatchObject({ message: { payload: null } })
  expect(await ask('/4')).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } })
})

test('requeue and discard tell what they did; nobody means all by leaving everything out', async () => {
  await fill(store, [letterOf(), letterOf({ requeues: 3 }), letterOf({ reason: 'expired' })])
  for (const path of ['/requeue', '/discard']) {
    expect(await ask(path, { method: 'POST', body: {} })).toMatchObject({ status: 400, body: { code: 'USAGE' } })
  }
  const dry = await ask('/requeue', { method: 'POST', body: { all: true, dryRun: true } })
  expect(dry.body).toMatchObject({ requeued: 2, remaining: 3 })
  const { body } = await ask('/requeue', { method: 'POST', body: { reason: 'max-attempts' } })
  expect(body).toMatchObject({ requeued: 1, looked: 2, remaining: 1, skipped: [{ id: 2, why: expect.any(String) }] })
  expect(waitingFor(store, route)).toHaveLength(1)
  const gone = await ask('/discard', { method: 'POST', body: { ids: [2, 3] } })
  expect(gone.body).toMatchObject({ discarded: 2, remaining: 0 })
  expect(lines.map(({ fields }) => [fields.audit, fields.origin])).toEqual([
    ['dead-letters.requeue', 'api 127.0.0.1'],
    ['dead-letters.discard', 'api 127.0.0.1'],
  ])
})

describe('edit', () => {
  const patch = async (body: unknown) => {
    await fill(store, [letterOf({ envelope: envelopeOf({ headers: { a: '1', b: '2' }, key: 'k', ttlMs: 9 }) })])
    return ask('/1', { method: 'PATCH', body })
  }

  test('fields and headers one by one; null takes a field away', async () => {
    const { body } = await patch({
      setHeaders: { a: 'new', n: { $int: '5' } },
      removeHeaders: ['b'],
      key: null,
      ttl: null,
      payloadText: 'hi',
    })
    expect(body).toMatchObject({ message: { payloadText: 'hi', headers: { a: 'new', n: { $int: '5' } } } })
    const envelope = store.deadLetters.get(1)?.envelope
    expect([envelope?.key, envelope?.ttlMs, envelope?.headers.n, envelope?.headers.b]).toEqual([
      undefined,
      undefined,
      5n,
      undefined,
    ])
  })

  test('the whole message as it was shown, changed', async () => {
    await fill(store, [
      letterOf({ envelope: envelopeOf({ headers: { raw: Buffer.from([9]) }, key: Buffer.from([255]) }) }),
    ])
    const { message } = (await ask('/1')).body as { message: object }
    const { status } = await ask('/1', { method: 'PATCH', body: { message: { ...message, payloadText: 'mended' } } })
    expect(status).toBe(200)
    const envelope = store.deadLetters.get(1)?.envelope
    expect(Buffer.from(envelope?.payload ?? []).toString()).toBe('mended')
    expect([envelope?.headers.raw, envelope?.key]).toEqual([Buffer.from([9]), Buffer.from([255])])
  })

  test.each([
    [{}, 'nothing to change'],
    [{ payloadTxt: 'x' }, 'payloadTxt'],
    [{ payload: { a: 1 } }, 'payloadText or payloadBase64'],
    [{ payloadBase64: '!!' }, 'expected base64'],
    [{ priority: 256 }, 'priority'],
    [{ setHeaders: { contentType: 'x' } }, 'a standard field'],
    [{ message: { messageId: '' } }, 'message.messageId'],
    [{ message: {}, key: 'k' }, 'message replaces everything'],
  ])('%j is refused', async (body, message) => {
    const answer = await patch(body)
    expect(answer).toMatchObject({ status: 400, body: { code: 'USAGE', error: expect.stringContaining(message) } })
    expect(store.deadLetters.get(1)?.envelope.key).toBe('k')
  })

  test('a header named as a part of objects is only a name', async () => {
    await patch(JSON.parse('{"setHeaders":{"__proto__":"x","constructor":"y"}}'))
    const headers = store.deadLetters.get(1)?.envelope.headers ?? {}
    expect([Object.hasOwn(headers, '__proto__'), headers.constructor, ({} as { x?: string }).x]).toEqual([
      true,
      'y',
      undefined,
    ])
  })
})

test('the export has a line for each letter, in which no character steers a terminal', async () => {
  const nasty = '\u001b[2J\u009b31m\u202etxt'
  await fill(store, [
    letterOf({ envelope: envelopeOf({ payload: Buffer.from(nasty), destination: nasty }) }),
    ...Array.from({ length: 149 }, () => letterOf()),
  ])
  const text = await (await fetch(`${base}/export`, { headers: json })).text()
  const records = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(records).toHaveLength(150)
  expect(records[0].message).toMatchObject({ payloadText: nasty, destination: nasty })
  expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u)
  expect(lines.map(({ fields }) => fields)).toEqual([
    { audit: 'dead-letters.export', origin: 'api 127.0.0.1', count: 150, ids: '1-150' },
  ])
})

describe('who may', () => {
  test('nobody without the token', async () => {
    await fill(store, [letterOf()])
    const calls: [string, string][] = [
      ['GET', ''],
      ['GET', '/1'],
      ['GET', '/export'],
      ['POST', '/requeue'],
      ['POST', '/discard'],
      ['PATCH', '/1'],
    ]
    for (const [method, path] of calls) {
      for (const authorization of [undefined, 'Bearer wrong']) {
        const headers = {
          'content-type': 'application/json',
          ...(authorization === undefined ? {} : { authorization }),
        }
        const body = method === 'GET' ? {} : { body: '{"all":true}' }
        expect((await fetch(base + path, { method, headers, ...body })).status).toBe(401)
      }
    }
    expect(store.deadLetters.count({})).toBe(1)
  })

  test('no page of another site, by a form or by a script', async () => {
    await fill(store, [letterOf()])
    const body = '{"all":true}'
    const form = await fetch(`${base}/discard`, {
      method: 'POST',
      headers: { ...json, 'content-type': 'text/plain' },
      body,
    })
    expect(form.status).toBe(415)
    const foreign = await fetch(`${base}/discard`, {
      method: 'POST',
      headers: { ...json, origin: 'http://evil.example' },
      body,
    })
    expect(foreign.status).toBe(403)
    expect(store.deadLetters.count({})).toBe(1)
    const own = await fetch(`${base}/discard`, {
      method: 'POST',
      headers: { ...json, origin: new URL(base).origin },
      body,
    })
    expect(own.status).toBe(200)
  })

  test('nobody who comes by a foreign name', async () => {
    const status = await new Promise((resolve) => {
      request(base, { headers: { ...json, host: 'evil.example' } }, ({ statusCode }) => resolve(statusCode)).end()
    })
    expect(status).toBe(421)
  })
})

test.each([
  ['?limit=0', 'limit'],
  ['?limit=501', 'limit'],
  ['?reason=bored', 'reason: must be one of expired'],
  ['?olderThan=soon', 'olderThan: expected a duration'],
  ['?where=payload.x%20%3D', 'where: '],
  ['?nonsense=1', 'nonsense'],
  ['?ids=1,x', 'ids'],
  ['/0', 'expected a dead letter id'],
  ['/x', 'expected a dead letter id'],
  ['/%ff', '%ff'],
])('GET %s is refused and told why', async (path, message) => {
  expect(await ask(path)).toMatchObject({
    status: 400,
    body: { code: 'USAGE', error: expect.stringContaining(message) },
  })
})

test.each([
  ['a text doubled 26 times', bound(26, 'size(v26) > 0')],
  ['fourteen copies of a text doubled 24 times', bound(24, Array(14).fill('v24').join(' + ')).concat(" == 'x'")],
  ['loops within loops', 'payload.items.all(a, payload.items.all(b, payload.items.all(c, a + b + c >= 0)))'],
  ['a list within itself', 'payload.items.map(i, payload.items).map(l, l + l).exists(l, size(l) == 0)'],
])('a condition that would cost too much is refused, and says at which letter: %s', async (_name, where) => {
  const items = Array.from({ length: 20_000 }, (_, index) => index)
  const payload = Buffer.from(JSON.stringify({ items }))
  await fill(store, [letterOf({ reason: 'expired' }), letterOf({ envelope: envelopeOf({ payload }) })])
  const query = `?reason=max-attempts&where=${encodeURIComponent(where)}`
  const work = await cpuMsOf(async () => {
    expect(await ask(query)).toMatchObject({
      status: 400,
      body: { code: 'USAGE', error: expect.stringMatching(/^where: .*50 ms.* or 64 MiB on dead letter 2; /) },
    })
  })
  expect(work).toBeLessThan(150) // the request itself included
  expect((await ask('')).status).toBe(200)
})

/** Texts of `v + v` in each other: 2 to the power of `doublings` characters. */
function bound(doublings: number, body: string): string {
  const steps = Array.from({ length: doublings }, (_, index) => `cel.bind(v${index + 1}, v${index} + v${index}, `)
  return `cel.bind(v0, 'v', ${steps.join('')}${body}${')'.repeat(doublings + 1)}`
}

async function cpuMsOf(work: () => Promise<void>): Promise<number> {
  const before = process.threadCpuUsage()
  await work()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1_000
}

test('a body that is no JSON, or too long, is refused', async () => {
  const broken = await fetch(`${base}/requeue`, { method: 'POST', headers: json, body: '{"all":' })
  expect([broken.status, ((await broken.json()) as { code: string }).code]).toEqual([400, 'USAGE'])
  const long = await fetch(`${base}/1`, {
    method: 'PATCH',
    headers: json,
    body: JSON.stringify({ payloadText: 'x'.repeat(2 ** 20) }),
  })
  expect(long.status).toBe(413)
})

test('a body that is nested too deep is refused before it is read, and a deep one that is legal is not', async () => {
  /** Brackets within a text count for nothing. */
  const nested = (levels: number) => `{"setHeaders":${'{"a":'.repeat(levels - 1)}"[[{\\""${'}'.repeat(levels)}`
  const send = async (body: string) => {
    const response = await fetch(`${base}/1`, { method: 'PATCH', headers: json, body })
    return [response.status, ((await response.json()) as { error: string }).error]
  }
  expect(await send('['.repeat(2 ** 20 - 1))).toEqual([400, 'the body is nested deeper than 64 levels'])
  expect(await send(nested(66))).toEqual([400, 'the body is nested deeper than 64 levels'])
  expect(await send(nested(40))).toEqual([404, expect.stringContaining('no dead letter 1')])
  const packed = await fetch(`${base}/1`, {
    method: 'PATCH',
    headers: { ...json, 'content-encoding': 'gzip' },
    body: gzipSync('{"payloadText":"x"}'),
  })
  expect(packed.status).toBe(415)
})

test('a reader that takes nothing of an export is cut off', async () => {
  const payload = Buffer.alloc(2 ** 20, 'x')
  await fill(
    store,
    Array.from({ length: 24 }, () => letterOf({ envelope: envelopeOf({ payload }) })),
  )
  const { port, hostname } = new URL(base)
  const socket = connect(Number(port), hostname)
  const closed = once(socket, 'close')
  socket
    .on('error', () => {})
    .write(
      `GET /api/v1/dead-letters/export HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${json.authorization}\r\n\r\n`,
    )
  await once(socket, 'readable') // and nothing is read
  const isAudited = () => lines.find(({ fields }) => fields.audit === 'dead-letters.export')
  const { fields } = await eventually(isAudited, { withinMs: 10_000, what: 'the end of the export' })
  expect(fields.count).toBeLessThan(24)
  socket.resume()
  await closed
})
