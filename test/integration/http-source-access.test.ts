/** Who may send to the HTTP source: credentials, signatures, certificates, pages of browsers. */
import { createHmac, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, readFileSync } from 'node:fs'
import { request } from 'node:https'
import { connect } from 'node:tls'
import { afterAll, afterEach, describe, expect, it } from '@jest/globals'
import { Authority, type Pair } from '../support/brokers/certificates.ts'
import { type Listening, listening, type Wish } from '../support/contexts/http-listener.ts'
import { eventually } from '../support/poll.ts'

const open: Listening[] = []
afterEach(() => Promise.all(open.splice(0).map(({ running }) => running.kill())))

async function listen(wish: Wish): Promise<Listening> {
  const listener = await listening(wish)
  open.push(listener)
  return listener
}

interface Sent {
  readonly headers?: Record<string, string>
  readonly body?: string
  readonly method?: string
  readonly path?: string
}

async function statusOf(
  { url }: Listening,
  { headers = {}, body = 'x', method = 'POST', path = '/events/x' }: Sent = {},
) {
  const response = await fetch(url + path, { method, headers, ...(method === 'POST' && { body }) })
  await response.arrayBuffer()
  return response.status
}

const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` })
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

describe('tokens and users', () => {
  const auth = { tokens: ['token-1', 'token-2'], users: [{ username: 'shop', password: 'p:1' }] }

  it('let in whoever shows one of them', async () => {
    const listener = await listen({ connection: { auth } })
    for (const headers of [bearer('token-1'), bearer('token-2'), basic('shop:p:1')])
      expect(await statusOf(listener, { headers })).toBe(200)
    expect(listener.running.received).toHaveLength(3)
  })

  it.each([
    ['nothing', {}],
    ['a wrong token', bearer('token-3')],
    ['a part of a token', bearer('token-')],
    ['a token as a user', basic('token-1:')],
    ['a wrong password', basic('shop:p:2')],
    ['a wrong user', basic('shop2:p:1')],
    ['an unknown scheme', { authorization: 'Digest token-1' }],
  ])('refuse %s with 401, whatever the path', async (_, headers) => {
    const listener = await listen({ connection: { auth } })
    const response = await fetch(`${listener.url}/nowhere`, { headers })
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe('Bearer, Basic realm="trivium"')
    expect(await response.text()).not.toMatch(/token|p:1|stack/)
    expect(await statusOf(listener, { headers })).toBe(401)
    expect(listener.running.received).toEqual([])
    expect(listener.context.texts().join()).not.toMatch(/token-|p:1/)
  })
})

const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()
const nowSecs = () => Math.floor(Date.now() / 1000)
const body = '{"event":"paid","note":"ü"}'

interface Signed {
  readonly secret: string
  readonly time?: number
  readonly id?: string
}

const signers = {
  standard: ({ secret, time = nowSecs(), id = randomUUID() }: Signed) => {
    const signature = hmac(Buffer.from(secret.replace('whsec_', ''), 'base64'), `${id}.${time}.${body}`).toString(
      'base64',
    )
    return { 'webhook-id': id, 'webhook-timestamp': String(time), 'webhook-signature': `v1a,AAAA v1,${signature}` }
  },
  github: ({ secret }: Signed) => ({ 'x-hub-signature-256': `sha256=${hmac(secret, body).toString('hex')}` }),
  stripe: ({ secret, time = nowSecs() }: Signed) => {
    const signature = hmac(secret, `${time}.${body}`).toString('hex')
    return { 'stripe-signature': `t=${time},v1=${'0'.repeat(64)},v1=${signature},v0=00` }
  },
} as const
const layouts = Object.keys(signers) as (keyof typeof signers)[]
const secretOf = (seed: string) => `whsec_${Buffer.from(seed.repeat(8)).toString('base64')}`

describe.each(layouts)('signatures of %s', (layout) => {
  const secrets = [secretOf('old!'), secretOf('new!')]
  const lay = () => listen({ connection: { auth: { signatures: [{ layout, secrets }] } } })
  const sign = (signed: Partial<Signed> = {}) => signers[layout]({ secret: secrets[1]!, ...signed })

  it('let in what is signed with one of the secrets', async () => {
    const listener = await lay()
    expect(await statusOf(listener, { headers: sign(), body })).toBe(200)
    expect(await statusOf(listener, { headers: sign({ secret: secrets[0]! }), body })).toBe(200)
    const [first] = listener.running.received
    expect(Object.keys(first!.envelope.headers).filter((name) => /signature|webhook/.test(name))).toEqual([])
  })

  it('refuse another secret, another body, and none', async () => {
    const listener = await lay()
    expect(await statusOf(listener, { headers: sign({ secret: secretOf('bad!') }), body })).toBe(401)
    expect(await statusOf(listener, { headers: sign(), body: body.replace('paid', 'pai1') })).toBe(401)
    expect(await statusOf(listener, { headers: {}, body })).toBe(401)
    const empty = Object.fromEntries(Object.keys(sign()).map((name) => [name, 'x']))
    expect(await statusOf(listener, { headers: empty, body })).toBe(401)
    expect(listener.running.received).toEqual([])
  })
})

describe.each(['standard', 'stripe'] as const)('the time in signatures of %s', (layout) => {
  const secret = secretOf('time')
  const lay = (wish: Wish = {}) =>
    listen({ ...wish, connection: { auth: { signatures: [{ layout, secrets: [secret], tolerance: '1m' }] } } })

  it('is at most so far from now', async () => {
    const listener = await lay()
    for (const [offset, status] of [
      [-55, 200],
      [55, 200],
      [-70, 401],
      [70, 401],
    ] as const) {
      const headers = signers[layout]({ secret, time: nowSecs() + offset })
      expect([offset, await statusOf(listener, { headers, body })]).toEqual([offset, status])
    }
  })

  it('lets a signature count once', async () => {
    const listener = await lay()
    const headers = signers[layout]({ secret })
    expect(await statusOf(listener, { headers, body })).toBe(200)
    expect(await statusOf(listener, { headers, body })).toBe(401)
    expect(listener.running.received).toHaveLength(1)
  })

  it('lets it come again where it was not taken', async () => {
    const settlements = ['release', 'accept'] as const
    const listener = await lay({ onBatch: ([one]) => one!.settle(settlements[listener.running.received.length - 1]!) })
    const headers = signers[layout]({ secret })
    expect(await statusOf(listener, { headers, body })).toBe(503)
    expect(await statusOf(listener, { headers, body })).toBe(200)
    expect(await statusOf(listener, { headers, body })).toBe(401)
  })
})

describe('a page in a browser', () => {
  const page = { origin: 'https://panel.example.com' }

  it('may send nothing, whatever name it came by, unless cors names its origin', async () => {
    const closed = await listen({})
    const headers = { ...page, 'content-type': 'text/plain' }
    expect(await statusOf(closed, { headers })).toBe(403)
    expect(await statusOf(closed, { headers: { ...headers, origin: closed.url } })).toBe(403)
    const listener = await listen({ connection: { cors: { origins: [page.origin] } } })
    expect(await statusOf(listener, { headers: { origin: 'https://other.example.com' } })).toBe(403)
    const answer = await fetch(`${listener.url}/events/x`, { method: 'POST', headers: page, body: 'x' })
    expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([200, page.origin])
    expect(closed.running.received).toEqual([])
  })

  it('is told before it sends what it may, without credentials', async () => {
    const connection = { cors: { origins: [page.origin] }, auth: { tokens: ['t'] } }
    const listener = await listen({ connection })
    const asked = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' }
    const answer = await fetch(`${listener.url}/events/x`, { method: 'OPTIONS', headers: { ...page, ...asked } })
    expect(answer.status).toBe(204)
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'access-control-allow-origin': page.origin,
      'access-control-allow-methods': 'POST',
      'access-control-allow-headers': 'authorization',
      'access-control-max-age': '600',
    })
    expect(await statusOf(listener, { headers: page })).toBe(401)
  })
})

describe('https', () => {
  const [authority, another] = [new Authority(), new Authority('another')]
  afterAll(() => {
    authority.end()
    another.end()
  })
  const files = ({ cert, key }: Pair) => ({ cert: readFileSync(cert), key: readFileSync(key) })

  async function statusOver({ port }: Listening, client: object = {}) {
    const options = {
      port,
      host: '127.0.0.1',
      path: '/events/x',
      method: 'POST',
      agent: false as const,
      ca: readFileSync(authority.ca),
    }
    const outgoing = request({ ...options, ...client }).end('x')
    const [response] = await once(outgoing, 'response')
    response.resume()
    return response.statusCode
  }

  it('is served from TLS 1.2 on, and demands a client certificate of its authority', async () => {
    const listener = await listen({ scheme: 'https', connection: { tls: { ...authority.issue(), ca: authority.ca } } })
    expect(await statusOver(listener, files(authority.issue({ cn: 'shop' })))).toBe(200)
    await expect(statusOver(listener)).rejects.toThrow(/certificate required|ECONNRESET|hang up/)
    await expect(statusOver(listener, files(another.issue()))).rejects.toThrow()
    await expect(
      statusOver(listener, { ...files(authority.issue()), maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }),
    ).rejects.toThrow()
    expect(listener.running.received).toHaveLength(1)
  })

  it('shows a renewed certificate without a restart', async () => {
    const [own, next] = [authority.issue(), authority.issue({ cn: 'renewed' })]
    const listener = await listen({ scheme: 'https', connection: { tls: own } })
    expect(await statusOver(listener)).toBe(200)
    copyFileSync(next.key, own.key)
    copyFileSync(next.cert, own.cert)
    const shown = async () => {
      const socket = connect({ port: listener.port, host: '127.0.0.1', ca: readFileSync(authority.ca) })
      await once(socket, 'secureConnect')
      const { CN } = socket.getPeerCertificate().subject
      socket.destroy()
      return CN
    }
    await eventually(async () => (await shown()) === 'renewed', { what: 'the renewed certificate' })
  })
})
