/** The HTTP sink and trust: who it says it is, whom it believes, and where messages may send it. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { LookupAddress } from 'node:dns'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { afterEach, expect, test } from '@jest/globals'
import { http } from '../../protocols/http/index.ts'
import { Authority } from '../support/brokers/certificates.ts'
import { type Got, HttpBench, openHttpSink, targetOf } from '../support/contexts/http-server.ts'
import { codes, never, outboundTo } from '../support/contexts/messages.ts'

const bench = new HttpBench()
afterEach(() => bench.end())

const fields = { messageId: 'msg_7', payload: '{"n":7}' }
const hmac = (key: Buffer | string, text: string) => createHmac('sha256', key).update(text)

test.each([
  [{ token: 'abc.def' }, 'authorization', 'Bearer abc.def'],
  [{ user: { username: 'shop', password: 'pä:ss' } }, 'authorization', `Basic ${btoa('shop:p\xc3\xa4:ss')}`],
  [{ header: { name: 'X-Api-Key', value: 'k-7' } }, 'x-api-key', 'k-7'],
])('credentials %j', async (auth, name, value) => {
  const { url, got } = await bench.server()
  const { sink } = await bench.sink({ auth })
  const target = targetOf({ url, headers: { authorization: 'of the message', 'x-api-key': 'of the message' } })
  expect(codes(await sink.send([outboundTo(target, fields)], never))).toEqual(['delivered'])
  expect(got[0]!.headers[name]).toBe(value)
})

const verifiers = {
  standard: ({ headers, body }: Got) => {
    const key = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64')
    const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`
    return [headers['webhook-signature'], `v1,${hmac(key, signed).digest('base64')}`, headers['webhook-timestamp']]
  },
  github: ({ headers, body }: Got) => [
    headers['x-hub-signature-256'],
    `sha256=${hmac('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', body).digest('hex')}`,
  ],
  stripe: ({ headers, body }: Got) => {
    const [, at = '', signature] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['stripe-signature'])) ?? []
    return [signature, hmac('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', `${at}.${body}`).digest('hex'), at]
  },
}

test.each(['standard', 'github', 'stripe'] as const)('a request signed in the layout %s', async (layout) => {
  const { url, got } = await bench.server()
  const { sink } = await bench.sink({ sign: { layout, secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' } })
  await sink.send([outboundTo(targetOf({ url }), fields)], never)
  const [given, expected, atSecs] = verifiers[layout](got[0]!)
  expect(timingSafeEqual(Buffer.from(String(given)), Buffer.from(String(expected)))).toBe(true)
  if (atSecs !== undefined) expect(Math.abs(Number(atSecs) - Date.now() / 1_000)).toBeLessThan(60)
  if (layout === 'standard') expect(got[0]!.headers['webhook-id']).toBe('msg_7')
})

test('a signed request that comes again has a signature of its own: receivers take each once', async () => {
  const { url, got } = await bench.server((_got, response, nth) => {
    if (nth < 3) response.socket!.destroy()
    else response.writeHead(nth === 3 ? 500 : 204).end()
  })
  const { sink } = await bench.sink({ sign: { layout: 'standard', secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' } })
  const send = async () => codes(await sink.send([outboundTo(targetOf({ url }), fields)], never))
  expect([await send(), await send(), await send()].flat()).toEqual([
    'DESTINATION_UNAVAILABLE',
    'PEER_FAILED',
    'delivered',
  ])
  expect(new Set(got.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
  expect(new Set(got.map(({ headers }) => headers['webhook-signature'])).size).toBe(4)
})

/** A server of tokens: each is good for one request, or as the test says. */
async function tokenServer(
  answer: (nth: number) => object = (nth) => ({ access_token: `token-${nth}`, expires_in: 3_600 }),
) {
  const tokens = await bench.server((_got, response, nth) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer(nth))),
  )
  const oauth = { tokenUrl: `${tokens.url}/token`, clientId: 'shop 1', clientSecret: 's:cret', scope: 'orders write' }
  return { tokens, auth: { oauth } }
}

test('a token of OAuth is fetched once for all requests', async () => {
  const { tokens, auth } = await tokenServer()
  const { url, got } = await bench.server()
  const { sink } = await bench.sink({ auth })
  await Promise.all([1, 2, 3, 4].map(() => sink.send([outboundTo(targetOf({ url }), fields)], never)))
  expect(got.map(({ headers }) => headers.authorization)).toEqual(new Array(4).fill('Bearer token-1'))
  expect(tokens.got).toHaveLength(1)
  expect(tokens.got[0]!.headers.authorization).toBe(`Basic ${btoa('shop+1:s%3Acret')}`)
  expect(tokens.got[0]!.body).toBe('grant_type=client_credentials&scope=orders+write')
})

test('a token that is about to end is renewed beside the requests, one that has ended before them', async () => {
  const { tokens, auth } = await tokenServer((nth) => ({ access_token: `token-${nth}`, expires_in: 1 }))
  const { url, got } = await bench.server()
  const { sink } = await bench.sink({ auth })
  const send = () => sink.send([outboundTo(targetOf({ url }), fields)], never)
  const until = performance.now() + 2_500
  while (performance.now() < until) await send()
  expect(tokens.got.length).toBeGreaterThan(1)
  expect(tokens.got.length).toBeLessThan(8)
  expect(new Set(got.map(({ headers }) => headers.authorization)).size).toBeGreaterThan(1)
})

test('a token that is refused is fetched anew once; refused again, the message is', async () => {
  const { tokens, auth } = await tokenServer()
  const { url, got } = await bench.server(({ headers }, response) =>
    response.writeHead(headers.authorization === 'Bearer token-2' ? 204 : 401).end(),
  )
  const { sink } = await bench.sink({ auth })
  const send = async () => codes(await sink.send([outboundTo(targetOf({ url }), fields)], never))
  expect(await send()).toEqual(['delivered'])
  expect([got.length, tokens.got.length]).toEqual([2, 2])
  const never2 = await bench.server((_got, response) => response.writeHead(401).end())
  expect(codes(await sink.send([outboundTo(targetOf({ url: never2.url }), fields)], never))).toEqual([
    'MESSAGE_REFUSED',
  ])
  expect(never2.got).toHaveLength(2)
})

test('a server of tokens that gives none is an outage of the connection, and names no secret', async () => {
  const tokens = await bench.server((_got, response) => response.writeHead(400).end('{"error":"invalid_client"}'))
  const oauth = { tokenUrl: tokens.url, clientId: 'shop', clientSecret: 'very-secret' }
  const opening = openHttpSink({ auth: { oauth } })
  await expect(opening).rejects.toMatchObject({ code: 'CREDENTIALS_REFUSED', isOutage: true })
  await expect(opening).rejects.not.toThrow('very-secret')
  await tokens.close()
  await expect(openHttpSink({ auth: { oauth } })).rejects.toMatchObject({ code: 'PEER_UNREACHABLE', isOutage: true })
})

test.each([
  'http://127.0.0.1/',
  'http://localhost/',
  'http://2130706433/',
  'http://0x7f.1/',
  'http://0177.0.0.1/',
  'http://[::1]/',
  'http://[::ffff:127.0.0.1]/',
  'http://[64:ff9b::7f00:1]/',
  'http://[2002:7f00:1::]/',
  'http://[fe80::1]/',
  'http://[fd00::1]/',
  'http://10.0.0.1/',
  'http://172.16.0.1/',
  'http://192.168.1.1/',
  'http://100.64.0.1/',
  'http://169.254.169.254/latest/meta-data',
  'http://0.0.0.0/',
  'http://224.0.0.1/',
  'http://255.255.255.255/',
])('a host that a message has chosen is a public one: %s is refused', async (url) => {
  const { sink } = await bench.sink()
  const [outcome] = await sink.send([outboundTo(targetOf({ url, hosts: 'public' }), fields)], never)
  expect(outcome).toMatchObject({ kind: 'rejected', error: { code: 'DESTINATION_INVALID' } })
})

test('a name is looked up once for a connection, and what was judged is what is connected to', async () => {
  const { got, port } = await bench.server()
  const asked: string[] = []
  const answers: LookupAddress[][] = [
    [{ address: '127.0.0.1', family: 4 }],
    [
      { address: '93.184.216.34', family: 4 },
      { address: '10.0.0.1', family: 4 },
    ],
    [{ address: '203.0.113.7', family: 4 }],
  ]
  const { sink } = await bench.sink({}, (host, done) => {
    asked.push(host)
    done(null, answers[asked.length - 1]!)
  })
  for (const _answer of answers) {
    const target = targetOf({ url: `http://rebinding.example:${port}/`, hosts: 'public' })
    const [outcome] = await sink.send([outboundTo(target, fields)], never)
    expect(outcome).toMatchObject({ kind: 'rejected', error: { code: 'DESTINATION_INVALID' } })
  }
  expect(asked).toEqual(new Array(3).fill('rebinding.example'))
  expect(got).toEqual([])
})

test('`hosts: any` reaches this network too; a name without an address uses up attempts', async () => {
  const { url, port, got } = await bench.server()
  const { sink } = await bench.sink()
  const there = targetOf({ url: `http://localhost:${port}/`, hosts: 'any' })
  const nowhere = targetOf({ url: 'http://nowhere.invalid/', hosts: 'any' })
  const [first, second] = await sink.send([outboundTo(there, fields), outboundTo(nowhere, fields)], never)
  expect(url).toContain('127.0.0.1')
  expect(first).toEqual({ kind: 'delivered' })
  expect(second).toMatchObject({ kind: 'retryable', error: { retryable: true } })
  expect(got).toHaveLength(1)
})

test.each([
  [{ url: 'https://{payload.host}/x' }, {}, 'a message chooses the host'],
  [
    { url: 'https://{payload.host}/x', hosts: 'public' },
    { auth: { token: 't' } },
    '`auth` of the connection would be shown',
  ],
  [{ url: 'https://{payload.host}/x', hosts: 'public' }, {}, undefined],
  [{ url: 'https://a.example/{payload.host}' }, { auth: { token: 't' } }, undefined],
  [{ url: 'https://a.example/', headers: { 'Content-Length': '1' } }, {}, 'belongs to the connection itself'],
  [{ url: 'https://a.example/', headers: { 'a b': '1' } }, {}, 'expected the name of a header'],
])('target %j of connection %j', (target, connection, message) => {
  const problems = http.sink!.check!(targetOf(target), http.connection.parse(connection))
  expect(problems.map((problem) => problem.message).join()).toEqual(
    message === undefined ? '' : expect.stringContaining(message),
  )
})

test('TLS: the authority of the connection is believed, a client certificate is shown, others get nothing', async () => {
  const authority = new Authority()
  bench.later(() => authority.end())
  const { cert, key } = authority.issue()
  const own = authority.issue({ cn: 'shop' })
  const files = { cert: readFileSync(cert), key: readFileSync(key), ca: readFileSync(authority.ca) }
  const names: unknown[] = []
  const secured = createServer({ ...files, requestCert: true }, (request, response) => {
    names.push((request.socket as TLSSocket).getPeerCertificate().subject.CN)
    response.writeHead(204).end()
  })
  await new Promise<void>((done) => secured.listen(0, '127.0.0.1', done))
  bench.later(() => {
    secured.closeAllConnections()
    secured.close()
  })
  const target = targetOf({ url: `https://localhost:${(secured.address() as AddressInfo).port}/` })
  const { sink } = await bench.sink({ tls: { ca: authority.ca, cert: own.cert, key: own.key } })
  expect(codes(await sink.send([outboundTo(target, fields)], never))).toEqual(['delivered'])
  expect(names).toEqual(['shop'])
  const { sink: stranger } = await bench.sink()
  const [outcome] = await stranger.send([outboundTo(target, fields)], never)
  expect(outcome).toMatchObject({ kind: 'retryable', error: { code: 'DESTINATION_UNAVAILABLE' } })
  expect((outcome as { error: Error }).error.message).toContain('does tls.ca name the authority')
  expect(names).toHaveLength(1)
})
