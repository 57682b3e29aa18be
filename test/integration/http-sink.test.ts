/** The HTTP sink against real servers: what each answer, and each way of giving none, means for a message. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from '@jest/globals'
import type { Outcome } from '../../src/adapter/contract.ts'
import { HttpBench, targetOf } from '../support/contexts/http-server.ts'
import { codes, never, outboundTo } from '../support/contexts/messages.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

const bench = new HttpBench()
afterEach(() => bench.end())

type Fields = Parameters<typeof outboundTo>[1]
async function sendOne(url: string, { target = {}, fields = {} as Fields, settings = {} } = {}): Promise<Outcome> {
  const { sink } = await bench.sink(settings)
  const [outcome] = await sink.send([outboundTo(targetOf({ url, ...target }), fields)], never)
  return outcome!
}

const errorOf = (outcome: Outcome) => (outcome.kind === 'delivered' ? undefined : outcome.error)

test('a message is a POST with its payload, its fields as ce- headers and its id as Idempotency-Key', async () => {
  const { url, got } = await bench.server()
  const fields = {
    messageId: 'order 7/ä',
    payload: '{"a":1}',
    contentType: 'application/json',
    headers: { tenant: 'x' },
  }
  const target = { headers: { authorization: 'secret', 'X-Role': 'a\r\nb: c' }, query: { q: 'a b&c' } }
  expect(await sendOne(`${url}/orders/7?x=1`, { fields, target })).toEqual({ kind: 'delivered' })
  expect(got).toHaveLength(1)
  expect(got[0]).toMatchObject({ method: 'POST', path: '/orders/7?x=1&q=a%20b%26c', body: '{"a":1}' })
  expect(got[0]!.headers).toMatchObject({
    'idempotency-key': 'order%207/%C3%A4',
    'ce-id': 'order%207/%C3%A4',
    'ce-source': 'test://somewhere/else',
    'content-type': 'application/json',
    'content-length': '7',
    authorization: 'secret',
    'x-role': 'a%0D%0Ab: c',
    tenant: 'x',
  })
})

test.each(['cloudevents', 'envelope', 'raw'] as const)('format %s', async (format) => {
  const { url, got } = await bench.server()
  const { sink } = await bench.sink()
  const outbound = outboundTo(targetOf({ url }), { payload: '{"a":1}', contentType: 'application/json' })
  await sink.send([{ ...outbound, format, hops: 'plant,shop' }], never)
  const type = got[0]!.headers['content-type']
  const body = JSON.parse(got[0]!.body)
  if (format === 'raw')
    expect([type, body, got[0]!.headers['ce-id']]).toEqual(['application/json', { a: 1 }, undefined])
  if (format === 'cloudevents')
    expect([type, body.data]).toEqual(['application/cloudevents+json; charset=utf-8', { a: 1 }])
  if (format === 'envelope') expect(body.payload).toEqual({ a: 1 })
  expect(got[0]!.headers['idempotency-key']).toBe(outbound.envelope.messageId)
})

test.each([
  [200, 'delivered'],
  [202, 'delivered'],
  [204, 'delivered'],
  [302, 'MESSAGE_REFUSED'],
  [400, 'MESSAGE_REFUSED'],
  [401, 'MESSAGE_REFUSED'],
  [404, 'MESSAGE_UNROUTABLE'],
  [408, 'PEER_FAILED'],
  [410, 'MESSAGE_UNROUTABLE'],
  [413, 'MESSAGE_TOO_LARGE'],
  [422, 'MESSAGE_REFUSED'],
  [425, 'PEER_FAILED'],
  [429, 'DESTINATION_UNAVAILABLE'],
  [500, 'PEER_FAILED'],
  [503, 'DESTINATION_UNAVAILABLE'],
])('%i is %s', async (status, code) => {
  const { url, got } = await bench.server((_got, response) =>
    response.writeHead(status, { location: '/else?t=1' }).end('because'),
  )
  const outcome = await sendOne(url)
  expect(codes([outcome])).toEqual([code])
  expect(got).toHaveLength(1) // no redirect is followed
  if (outcome.kind === 'delivered') return
  expect(outcome.error.message).toContain(`answered ${status}`)
  expect(outcome.error.message).toContain(status === 302 ? 'redirects are not followed (/else)' : 'because')
  expect(outcome.kind).toBe([408, 425, 429].includes(status) || status >= 500 ? 'retryable' : 'rejected')
})

test('an error shows the first KiB of the answer, on one line, without our credentials', async () => {
  const { url } = await bench.server(({ headers }, response) =>
    response.writeHead(400).end(`no\n${headers.authorization} ${'x'.repeat(100_000)}`),
  )
  const outcome = await sendOne(url, { settings: { auth: { token: 'very-secret-token' } } })
  const { message } = errorOf(outcome)!
  expect(message).toContain('answered 400: no Bearer *** xxx')
  expect(message.length).toBeLessThan(1_200)
})

test.each([
  ['7', 7_000],
  [new Date(Date.now() + 30_000).toUTCString(), 29_000],
  ['99999999', 3_600_000],
])('Retry-After: %s is honoured, and nothing else is sent to that server before', async (text, ms) => {
  const { url, got } = await bench.server((_got, response) => response.writeHead(429, { 'retry-after': text }).end())
  const other = await bench.server()
  const { sink } = await bench.sink()
  const [first] = await sink.send([outboundTo(targetOf({ url: `${url}/a` }))], never)
  const [second] = await sink.send([outboundTo(targetOf({ url: `${url}/b` }))], never)
  const waits = [first, second].map((outcome) => (errorOf(outcome!) as { retryAfterMs?: number }).retryAfterMs!)
  for (const wait of waits) {
    expect(wait).toBeGreaterThan(ms - 2_500)
    expect(wait).toBeLessThan(ms + 2_500)
  }
  expect(got).toHaveLength(1)
  expect(await sink.send([outboundTo(targetOf({ url: other.url }))], never)).toEqual([{ kind: 'delivered' }])
})

test('410 stops the target, loudly, and no other', async () => {
  const { url, got } = await bench.server(({ path }, response) =>
    response.writeHead(path === '/gone' ? 410 : 204).end(),
  )
  const { sink, context } = await bench.sink()
  const send = async (path: string) => codes(await sink.send([outboundTo(targetOf({ url: url + path }))], never))
  expect([await send('/gone'), await send('/gone'), await send('/there')].flat()).toEqual([
    'MESSAGE_UNROUTABLE',
    'MESSAGE_UNROUTABLE',
    'delivered',
  ])
  expect(got.map(({ path }) => path)).toEqual(['/gone', '/there'])
  expect(context.lines.filter(({ level }) => level === 'error')).toHaveLength(1)
})

test('a server that is not there keeps back what goes to it, without an attempt, and nothing else', async () => {
  const { url } = await bench.server()
  const { sink } = await bench.sink()
  const away = targetOf({ url: `http://127.0.0.1:${await freePort()}/` })
  for (const _time of [1, 2, 3]) {
    const [lost, other] = await sink.send([outboundTo(away), outboundTo(targetOf({ url }))], never)
    expect(lost).toMatchObject({
      kind: 'retryable',
      error: { code: 'DESTINATION_UNAVAILABLE', countsAsAttempt: false },
    })
    expect(errorOf(lost!)).toMatchObject({ isOutage: false, message: expect.stringContaining('ECONNREFUSED') })
    expect(other).toEqual({ kind: 'delivered' })
  }
})

test('a silent server has its time, and then the message waits', async () => {
  const { url } = await bench.server(() => {})
  const outcome = await sendOne(url, { target: { timeout: '200ms' } })
  expect(outcome).toMatchObject({ kind: 'retryable', error: { code: 'DESTINATION_UNAVAILABLE' } })
  expect(errorOf(outcome)!.message).toContain('no answer within 200 ms')
})

test('three requests in a row without an answer, and a server is left alone for a while', async () => {
  const { url, got } = await bench.server(() => {})
  const { sink } = await bench.sink()
  const target = targetOf({ url, timeout: '100ms' })
  let sent = 0
  for (; sent < 40 && got.length === sent; sent += 1) await sink.send([outboundTo(target)], never)
  expect(got.length).toBeLessThan(sent)
})

test('a connection that breaks before the answer is tried once more at once; the second time the message waits', async () => {
  const { url, got } = await bench.server((_got, response, nth) => {
    if (nth <= 3) response.socket!.destroy()
    else response.writeHead(204).end()
  })
  const { sink } = await bench.sink()
  const send = async () => codes(await sink.send([outboundTo(targetOf({ url }))], never))
  expect(await send()).toEqual(['DESTINATION_UNAVAILABLE'])
  expect(got).toHaveLength(2)
  expect(await send()).toEqual(['delivered'])
  expect(got).toHaveLength(4)
  expect(new Set(got.slice(2).map(({ headers }) => headers['idempotency-key'])).size).toBe(1)
})

test('a connection that the server closes as it is used again costs nothing', async () => {
  const peer = await bench.bytes((socket, nth) => {
    if (nth === 2) return void socket.resetAndDestroy() // the second request on the connection kept alive
    socket.write('HTTP/1.1 204 No Content\r\nkeep-alive: timeout=60\r\n\r\n')
  })
  const { sink } = await bench.sink()
  const target = targetOf({ url: peer.url })
  expect(codes(await sink.send([outboundTo(target)], never))).toEqual(['delivered'])
  expect(codes(await sink.send([outboundTo(target)], never))).toEqual(['delivered'])
  expect(peer.count()).toBe(3)
})

test('an answer that breaks off after its status has said what there is to say', async () => {
  const peer = await bench.bytes((socket) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf', () => socket.resetAndDestroy())
  })
  expect(await sendOne(peer.url)).toEqual({ kind: 'delivered' })
  const dapr = await sendOne(peer.url, { target: { answers: 'dapr' } })
  expect(dapr).toMatchObject({ kind: 'retryable', error: { code: 'DESTINATION_UNAVAILABLE' } })
  const refusal = await bench.bytes((socket) => {
    socket.write('HTTP/1.1 400 Bad\r\ncontent-length: 1000\r\n\r\nbecause', () => socket.resetAndDestroy())
  })
  expect(errorOf(await sendOne(refusal.url))!.message).toContain('answered 400')
})

test('what speaks no HTTP is waited for', async () => {
  const peer = await bench.bytes((socket) => void socket.write('220 smtp.example.com ESMTP\r\n'))
  const outcome = await sendOne(peer.url)
  expect(outcome).toMatchObject({ kind: 'retryable', error: { code: 'DESTINATION_UNAVAILABLE' } })
  expect(errorOf(outcome)!.message).toContain('does not match the HTTP/1.1 protocol')
})

test('a body without end and one that trickles hold nobody up, and are not kept', async () => {
  const { url, server: node } = await bench.server(({ path }, response) => {
    response.writeHead(path === '/error' ? 500 : 200)
    const write = () => {
      if (!response.destroyed) response.write('x'.repeat(path === '/slow' ? 1 : 100_000), () => setImmediate(write))
    }
    write()
  })
  const { sink } = await bench.sink()
  const send = (path: string) => sink.send([outboundTo(targetOf({ url: url + path, timeout: '1s' }))], never)
  expect(codes(await send('/huge'))).toEqual(['delivered'])
  expect(codes(await send('/error'))).toEqual(['PEER_FAILED'])
  expect(codes(await send('/slow'))).toEqual(['delivered'])
  const open = () => new Promise<number>((done) => node.getConnections((_error, count) => done(count)))
  await eventually(async () => (await open()) === 0, { what: 'all connections closed' })
})

test('what one server holds back does not keep another waiting', async () => {
  const slow = await bench.server(() => {})
  const { url } = await bench.server()
  const { sink } = await bench.sink()
  const waiting = sink.send([outboundTo(targetOf({ url: slow.url, timeout: '20s' }))], never)
  expect(codes(await sink.send([outboundTo(targetOf({ url }))], never))).toEqual(['delivered'])
  await sink.close()
  expect(codes(await waiting)).toEqual(['PEER_LOST'])
})

test('an abort ends what is under way', async () => {
  const { url } = await bench.server(() => {})
  const { sink } = await bench.sink()
  const abort = new AbortController()
  const waiting = sink.send([outboundTo(targetOf({ url, timeout: '20s' }))], abort.signal)
  await sleep(50)
  abort.abort()
  expect(codes(await waiting)).toEqual(['PEER_LOST'])
})

test.each([
  [200, '', 'delivered'],
  [200, '{"status":"SUCCESS"}', 'delivered'],
  [204, '', 'delivered'],
  [200, '{"status":"RETRY"}', 'PEER_FAILED'],
  [200, '{"status":"DROP"}', 'MESSAGE_REFUSED'],
  [200, '{"status":"WHATEVER"}', 'PEER_FAILED'],
  [404, '', 'MESSAGE_UNROUTABLE'],
  [400, '', 'PEER_FAILED'],
])('an application of Dapr that answers %i %s: %s', async (status, body, code) => {
  const { url } = await bench.server((_got, response) => response.writeHead(status).end(body))
  expect(codes([await sendOne(url, { target: { answers: 'dapr' } })])).toEqual([code])
})

test('what is asked is answered on the spot: status, type and body are the reply', async () => {
  const { url } = await bench.server(({ body }, response) =>
    response.writeHead(201, { 'content-type': 'application/json', 'x-kind': 'quote' }).end(`{"echo":${body}}`),
  )
  const { sink } = await bench.sink({ maxReplySize: '1KiB' })
  const ask = { token: 't-1', replyTo: undefined, isOver: false }
  const outbound = { ...outboundTo(targetOf({ url: `${url}/quote` }), { payload: '7' }), ask }
  const [outcome] = await sink.send([outbound], never)
  expect(outcome).toMatchObject({
    kind: 'delivered',
    reply: { contentType: 'application/json', headers: { status: 201, 'x-kind': 'quote' } },
  })
  const { reply } = outcome as Extract<Outcome, { kind: 'delivered' }>
  expect(reply!.json).toEqual({ echo: 7 })
  const large = { ...outboundTo(targetOf({ url }), { payload: `"${'x'.repeat(2_000)}"` }), ask }
  const [tooLarge] = await sink.send([large], never)
  expect(tooLarge).toMatchObject({ kind: 'rejected', error: { code: 'MESSAGE_TOO_LARGE' } })
})

test('a batch is one request; each message has the outcome that the answer gives it, else its status', async () => {
  const { url, got } = await bench.server(({ path, body }, response) => {
    const items = (JSON.parse(body) as unknown[]).map((_, at) =>
      at === 1 ? { status: 400, error: 'no such thing' } : at === 2 ? { error: 'what?' } : { status: 200 },
    )
    if (path === '/each') response.writeHead(207).end(JSON.stringify(items))
    else response.writeHead(503).end()
  })
  const { sink } = await bench.sink()
  const batch = (path: string, mode: string) =>
    ['{"n":1}', '2', 'text', '{"n":4}'].map((payload) =>
      outboundTo(targetOf({ url: url + path, batch: { mode } }), { payload, contentType: 'application/json' }),
    )
  expect(codes(await sink.send(batch('/each', 'json'), never))).toEqual([
    'delivered',
    'MESSAGE_REFUSED',
    'MESSAGE_REFUSED',
    'delivered',
  ])
  expect(JSON.parse(got[0]!.body)).toEqual([{ n: 1 }, 2, 'text', { n: 4 }])
  expect(got[0]!.headers['content-type']).toBe('application/json')
  expect(sink.maxBatch).toBe(100)
  expect(new Set(codes(await sink.send(batch('/all', 'cloudevents'), never)))).toEqual(
    new Set(['DESTINATION_UNAVAILABLE']),
  )
  expect(got[1]!.headers['content-type']).toBe('application/cloudevents-batch+json; charset=utf-8')
  expect(JSON.parse(got[1]!.body)).toMatchObject([{ specversion: '1.0', data: { n: 1 } }, {}, {}, {}])
  expect(got).toHaveLength(2)
})

test('a batch holds no more than it may, and what cannot stand in it fails alone', async () => {
  const { url, got } = await bench.server()
  const { sink } = await bench.sink()
  const target = targetOf({ url, batch: { mode: 'json', maxMessages: 2 } })
  const payloads = ['1', '2', Buffer.from([0xff, 0xfe]), '3']
  const outcomes = await sink.send(
    payloads.map((payload) => outboundTo(target, { payload })),
    never,
  )
  expect(codes(outcomes)).toEqual(['delivered', 'delivered', 'MESSAGE_MALFORMED', 'delivered'])
  expect(got.map(({ body }) => JSON.parse(body))).toEqual([[1, 2], [3]])
})
