/** What the HTTP source answers, over real sockets. */
import { once } from 'node:events'
import { request } from 'node:http'
import { afterEach, describe, expect, it } from '@jest/globals'
import type { Delivery } from '../../src/adapter/contract.ts'
import { Envelope } from '../../src/envelope/envelope.ts'
import { RetryableError } from '../../src/errors.ts'
import { type Listening, listening, type Wish } from '../support/contexts/http-listener.ts'
import { textOf } from '../support/contexts/messages.ts'
import { eventually } from '../support/poll.ts'

const open: Listening[] = []
afterEach(() => Promise.all(open.splice(0).map(({ running }) => running.kill())))

async function listen(wish?: Wish): Promise<Listening> {
  const listener = await listening(wish)
  open.push(listener)
  return listener
}

async function post({ url }: Listening, init: RequestInit = {}, path = '/events/berlin') {
  const response = await fetch(url + path, { method: 'POST', body: 'hello', ...init })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}

const keep = () => {}
const event = (id: string) => ({ specversion: '1.0', id, source: '/s', type: 't', data: { id } })
const batchType = { 'content-type': 'application/cloudevents-batch+json' }
const storing = { isFor: () => true, isFull: false }

describe('a request', () => {
  it('is a message: path, query, headers, id and body', async () => {
    const listener = await listen({ froms: [{ path: '/devices/{device}/{rest#}' }] })
    const headers = { 'content-type': 'application/json', 'idempotency-key': '"key 7"', tag: 'Grüße'.normalize() }
    const asBytes = { ...headers, tag: Buffer.from(headers.tag).toString('latin1') }
    const path = '/devices/a%20b/x/y?page=2&tag=a&tag=b'
    const { body } = await post(listener, { headers: asBytes, body: '{"t":1}' }, path)
    expect(body).toEqual({ messageId: 'key 7' })
    const { envelope, address } = listener.running.received[0] as Delivery
    expect(address).toBe('/devices/a b/x/y')
    expect(envelope).toMatchObject({ messageId: 'key 7', contentType: 'application/json' })
    expect(envelope.source).toBe('http://api/devices/a b/x/y')
    expect(envelope.json).toEqual({ t: 1 })
    expect({ ...envelope.headers }).toMatchObject({ tag: 'Grüße', query: { page: '2', tag: ['a', 'b'] } })
  })

  it('leaves secrets and what belongs to the connection behind', async () => {
    const listener = await listen()
    const headers = {
      authorization: 'Bearer x',
      cookie: 'a=b',
      'x-api-key': 'k',
      connection: 'close',
      te: 'trailers',
      'x-kept': '1',
    }
    const outgoing = request(`${listener.url}/events/x`, { method: 'POST', headers }).end('x')
    await once(outgoing, 'response')
    expect(Object.keys(listener.running.received[0]!.envelope.headers)).toEqual(['x-kept'])
  })

  it('reaches the routes of its method, and of every pattern that its path matches', async () => {
    const froms = [
      { path: '/a/{x}' },
      { path: '/a/7' },
      { path: '/a/*', method: 'PUT' },
      { path: '/**', method: 'PUT' },
    ]
    const listener = await listen({ froms })
    await post(listener, {}, '/a/7')
    await post(listener, { method: 'PUT' }, '/a/7')
    await post(listener, { method: 'PUT' }, '/b')
    const readers = listener.running.received.map((delivery) =>
      [...(delivery.readers ?? [])].map((from) => (from as { path: string }).path),
    )
    expect(readers).toEqual([['/a/{x}', '/a/7'], ['/a/*', '/**'], ['/**']])
  })

  it('is 404 where no route reads its path, 405 with Allow where none does by its method', async () => {
    const listener = await listen({ froms: [{ path: '/a' }, { path: '/a', method: 'PUT' }] })
    const missing = await post(listener, {}, '/b')
    expect(missing).toMatchObject({ status: 404, body: { status: 404, title: 'Not Found', code: 'NOT_FOUND' } })
    expect(missing.headers.get('content-type')).toBe('application/problem+json')
    const wrong = await post(listener, { method: 'DELETE', body: null }, '/a')
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'POST, PUT'])
    const options = await post(listener, { method: 'OPTIONS', body: null }, '/a')
    expect([options.status, options.headers.get('allow')]).toEqual([204, 'POST, PUT'])
    expect(options.headers.get('x-powered-by')).toBe(null)
  })

  it.each(['/events/..%2Fx', '/events/%2e%2e', '/events/%00', '/events/%ff', '/events/a%2fb'])(
    '%s is 400',
    async (path) => {
      const listener = await listen({ froms: [{ path: '/**' }] })
      const outgoing = request({ port: listener.port, path, method: 'POST' }).end('x')
      const [response] = await once(outgoing, 'response')
      expect(response.statusCode).toBe(400)
      expect(listener.running.received).toEqual([])
    },
  )

  it.each([
    ['multipart/form-data; boundary=x', 415],
    ['application/x-www-form-urlencoded', 415],
    ['application/cloudevents+avro', 415],
    ['application/cloudevents+json', 400],
    ['application/cloudevents-batch+json', 400],
  ])('of %s is %i', async (type, status) => {
    const listener = await listen()
    expect(await post(listener, { headers: { 'content-type': type } })).toMatchObject({ status })
    expect(listener.running.received).toEqual([])
  })

  it('of a form is taken with format raw, its type and bytes as they are', async () => {
    const listener = await listen({ context: { format: 'raw' } })
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    expect(await post(listener, { headers, body: 'a=b' })).toMatchObject({ status: 200 })
    const { envelope } = listener.running.received[0]!
    expect([textOf(listener.running.received[0]!), envelope.contentType]).toEqual(['a=b', headers['content-type']])
  })

  it('beyond the largest body is 413, told by its length or found out while it comes', async () => {
    const listener = await listen({ connection: { maxBodySize: '1KiB' } })
    expect(await post(listener, { body: 'x'.repeat(1025) })).toMatchObject({ status: 413 })
    const stream = new Blob(['x'.repeat(100_000)]).stream()
    const chunked = { body: stream, duplex: 'half' } as RequestInit
    expect(await post(listener, chunked)).toMatchObject({ status: 413, body: { code: 'MESSAGE_TOO_LARGE' } })
    expect(await post(listener, { body: 'x'.repeat(1024) })).toMatchObject({ status: 200 })
  })
})

describe('the answer', () => {
  it('is 202 where the store has it, 200 where every target has, and neither before', async () => {
    for (const [context, status] of [
      [{ storing }, 202],
      [{}, 200],
    ] as const) {
      const listener = await listen({ context, onBatch: keep })
      let isAnswered = false
      const answer = post(listener).finally(() => {
        isAnswered = true
      })
      await listener.running.has(1)
      await fetch(`${listener.url}/nowhere`) // as long as another request takes
      expect(isAnswered).toBe(false)
      listener.running.received[0]!.settle('accept')
      expect(await answer).toMatchObject({ status })
    }
  })

  it('is 422 for a dead letter, 503 with Retry-After for what is to come again', async () => {
    const settlements = ['reject', 'release'] as const
    const listener = await listen({
      onBatch: ([one]) => one!.settle(settlements[listener.running.received.length - 1]!),
    })
    expect(await post(listener)).toMatchObject({ status: 422, body: { code: 'MESSAGE_REFUSED' } })
    const released = await post(listener)
    expect([released.status, released.headers.get('retry-after')]).toEqual([503, '1'])
  })

  it('is 504 after its deadline; what comes later answers nothing, and gives its room back', async () => {
    const listener = await listen({ connection: { answerTimeout: '50ms', maxInFlight: 1 }, onBatch: keep })
    expect(await post(listener)).toMatchObject({ status: 504, body: { code: 'PEER_TIMEOUT' } })
    expect(await post(listener)).toMatchObject({ status: 429 })
    listener.running.received[0]!.settle('accept')
    listener.running.onBatch = ([one]) => one!.settle('accept')
    expect(await post(listener)).toMatchObject({ status: 200 })
    expect(listener.context.budget.count).toBe(0)
  })

  it('is 429 where the listener is full, 503 where the gateway or the store is', async () => {
    const full = await listen({ connection: { maxInFlight: 1 }, onBatch: keep })
    void post(full).catch(keep)
    await full.running.has(1)
    const refused = await post(full)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1'])
    const busy = await listen({ context: { maxCount: 1 }, onBatch: keep })
    void post(busy).catch(keep)
    await busy.running.has(1)
    expect(await post(busy)).toMatchObject({ status: 503, body: { code: 'TARGET_BUSY' } })
    const disk = await listen({ context: { storing: { ...storing, isFull: true } } })
    expect(await post(disk)).toMatchObject({ status: 503, body: { code: 'STORE_FULL' } })
  })

  it('is 503 while the gateway stops; what is in flight still gets its own', async () => {
    const listener = await listen({ onBatch: keep })
    const first = post(listener)
    await listener.running.has(1)
    const stopped = listener.running.stop()
    const late = await post(listener)
    expect([late.status, late.body.code, late.headers.get('connection')]).toEqual([503, 'GATEWAY_STOPPING', 'close'])
    listener.running.received[0]!.settle('accept')
    await stopped
    expect(await first).toMatchObject({ status: 200 })
  })

  it('is 503, and no reset, where the listener closes before anybody knows', async () => {
    const listener = await listen({ onBatch: keep })
    const answer = post(listener)
    await listener.running.has(1)
    await listener.running.kill()
    expect(await answer).toMatchObject({ status: 503, body: { code: 'GATEWAY_STOPPING' } })
    listener.running.received[0]!.settle('accept') // too late for anybody
    expect(listener.context.budget.count).toBe(0)
  })

  it('is owed to nobody once the sender has gone; its message goes on', async () => {
    const listener = await listen({ onBatch: keep })
    const sender = new AbortController()
    const answer = post(listener, { signal: sender.signal })
    await listener.running.has(1)
    sender.abort()
    await expect(answer).rejects.toThrow()
    const [delivery] = listener.running.received
    const outcome = () => delivery!.answer!({ kind: 'error', error: new RetryableError('GATEWAY_STOPPING', 'x') })
    await eventually(async () => (await outcome()).kind === 'rejected', { what: 'the sender gone' })
    delivery!.settle('accept')
    expect(listener.context.budget.count).toBe(0)
  })
})

describe('a batch of events', () => {
  it('is a delivery for each, and one answer', async () => {
    const listener = await listen({ onBatch: keep })
    const answer = post(listener, { headers: batchType, body: JSON.stringify([event('a'), event('b')]) })
    await listener.running.has(2)
    const [a, b] = listener.running.received
    expect(listener.running.batches).toEqual([2])
    expect([a, b].map((each) => [each!.envelope.messageId, textOf(each!)])).toEqual([
      ['a', '{"id":"a"}'],
      ['b', '{"id":"b"}'],
    ])
    a!.settle('accept')
    b!.settle('reject')
    const messages = [
      { messageId: 'a', outcome: 'accepted' },
      { messageId: 'b', outcome: 'dead-lettered' },
    ]
    expect(await answer).toMatchObject({ status: 422, body: { messages } })
  })

  it('is taken whole or not at all', async () => {
    const listener = await listen({ connection: { maxInFlight: 3 }, onBatch: keep })
    const body = (count: number) => JSON.stringify(Array.from({ length: count }, (_, at) => event(String(at))))
    expect(await post(listener, { headers: batchType, body: body(4) })).toMatchObject({ status: 413 })
    void post(listener).catch(keep)
    await listener.running.has(1)
    expect(await post(listener, { headers: batchType, body: body(3) })).toMatchObject({ status: 429 })
    expect(await post(listener, { headers: batchType, body: '[{}]' })).toMatchObject({ status: 400 })
    expect(listener.running.received).toHaveLength(1)
    expect(await post(listener, { headers: batchType, body: '[]' })).toMatchObject({
      status: 200,
      body: { messages: [] },
    })
  })
})

describe('an asker', () => {
  const reply = (
    headers: Record<string, string | number>,
    payload: Uint8Array | null = Buffer.from('{"ok":true}'),
  ) => ({
    kind: 'reply' as const,
    envelope: new Envelope({
      messageId: 'r',
      timestamp: '2026-12-01T00:00:00Z',
      source: 'mqtt://d/answer',
      contentType: 'application/json',
      headers,
      payload,
    }),
  })

  it.each([
    [{}, 200],
    [{ status: 404, 'x-left': '3' }, 404],
    [{ status: '204' }, 204],
    [{ status: 99 }, 200],
  ])('gets the reply: headers %j give %i', async (headers, status) => {
    const outcomes: string[] = []
    const answered = async ([one]: readonly Delivery[]) => {
      outcomes.push((await one!.answer!(reply(headers))).kind)
      one!.settle('accept')
    }
    const listener = await listen({ onBatch: (batch) => void answered(batch) })
    const response = await fetch(`${listener.url}/events/x`, { method: 'POST', body: 'ask' })
    expect([response.status, response.headers.get('x-left')]).toEqual([status, status === 404 ? '3' : null])
    expect(response.headers.get('status')).toBe(null)
    expect(await response.text()).toBe(status === 204 ? '' : '{"ok":true}')
    await eventually(() => outcomes.length === 1, { what: 'the outcome' })
    expect(outcomes).toEqual(['delivered'])
  })

  it.each([
    ['REPLY_TIMEOUT', undefined, 504],
    ['GATEWAY_STOPPING', undefined, 503],
    ['TARGET_BUSY', 1_500, 503],
    ['PEER_FAILED', undefined, 502],
  ] as const)('gets a problem for %s with a wait of %j: %i', async (code, retryAfterMs, status) => {
    const error = new RetryableError(code, 'no reply', retryAfterMs === undefined ? {} : { retryAfterMs })
    const listener = await listen({ onBatch: ([one]) => void one!.answer!({ kind: 'error', error }) })
    const answer = await post(listener)
    expect(answer).toMatchObject({ status, body: { code, detail: 'no reply' } })
    expect(answer.headers.get('retry-after')).toBe(status === 503 ? (retryAfterMs === undefined ? '1' : '2') : null)
  })
})
