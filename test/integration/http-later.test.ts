/** `Prefer: respond-async`: asked by HTTP, answered by a worker of RabbitMQ, fetched later; also over restarts. */
import { createHmac } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { Bench } from '../support/contexts/amqp.ts'
import { rpcReplier } from '../support/contexts/amqp-rpc.ts'
import { serve } from '../support/contexts/http-server.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

let bench: Bench
let workers: string
let api: string
let yaml: string
let connections = ''
let gateway: TestGateway | undefined

beforeEach(async () => {
  bench = new Bench()
  workers = await bench.queue()
})
afterEach(async () => {
  await gateway?.stop()
  gateway = undefined
  connections = ''
  await bench.end()
})

/** `listener` and `request` as in YAML. */
async function start(listener = '', request = 'timeout: 20s', more = ''): Promise<TestGateway> {
  const port = await freePort()
  api = `http://127.0.0.1:${port}`
  yaml = `
gateway: { id: later, dataDir: "\${env:TRIVIUM_DATA_DIR}", admin: false, drain: 200ms }
connections:
  orders: { protocol: amqp, url: "${brokerAddresses().amqp}" }
  api: { protocol: http, listen: "${api}" ${listener} }
  ${connections}
routes:
  - name: ask
    from: { connection: api, method: POST, path: "/ask/{article}" }
    to: [{ connection: orders, queue: ${workers} }]
    request: { ${request} }
  ${more}
`
  gateway = new TestGateway(yaml)
  return await gateway.ready()
}

const secondUser = `Basic ${Buffer.from('second:two').toString('base64')}`
const later = { prefer: 'respond-async' }
const ask = (body: string, headers: Record<string, string> = {}) =>
  fetch(`${api}/ask/7`, { method: 'POST', body, headers: { ...later, ...headers } })
const fetchReply = (location: string, query = '', init: RequestInit = {}) => fetch(`${api}${location}${query}`, init)
const locationOf = (response: Response) => response.headers.get('location') ?? ''

async function asked(body: string, headers: Record<string, string> = {}): Promise<string> {
  const response = await ask(body, headers)
  expect([response.status, response.headers.get('preference-applied')]).toEqual([202, 'respond-async'])
  expect(locationOf(response)).toMatch(/^\/v1\/replies\/[\w-]{44}$/)
  return locationOf(response)
}

describe('an answer that is fetched later', () => {
  test('is promised once the request is on disk, is pending until it is there, and stays', async () => {
    await start()
    const { heard, reply } = await rpcReplier(bench, workers, () => undefined)
    const location = await asked('how many?')
    const pending = await fetchReply(location)
    expect([pending.status, pending.headers.get('retry-after')]).toEqual([202, '1'])
    await eventually(() => heard.length === 1, { what: 'the worker to be asked' })
    const waiting = fetchReply(location, '?wait=15')
    reply(heard[0]!, '12')
    expect([(await waiting).status, await (await waiting).text()]).toEqual([200, '12'])
    expect(await (await fetchReply(location)).text()).toBe('12')
    await eventually(() => gateway!.route('ask').exchange!.returned === 1, { what: 'the reply to be settled' })
    expect(gateway!.route('ask').delivered).toBe(1)
  })

  test('is what the call would have got: here no reply came in time', async () => {
    await start('', 'timeout: 100ms')
    await rpcReplier(bench, workers, () => undefined)
    const response = await fetchReply(await asked('anybody?'), '?wait=10s')
    expect(response.status).toBe(504)
    expect(await response.json()).toMatchObject({ code: 'REPLY_TIMEOUT' })
  })

  test('is 404 where none was promised, 410 once it was deleted', async () => {
    await start()
    await rpcReplier(bench, workers, (text) => text)
    const location = await asked('x')
    expect((await fetchReply(location, '?wait=10s')).status).toBe(200)
    const forged = `${location.slice(0, -1)}${location.endsWith('A') ? 'B' : 'A'}`
    expect((await fetchReply(forged)).status).toBe(404)
    expect((await fetchReply('/v1/replies/1')).status).toBe(404)
    expect((await fetchReply(location, '', { method: 'DELETE' })).status).toBe(204)
    expect((await fetchReply(location)).status).toBe(410)
    expect((await fetchReply(location, '', { method: 'DELETE' })).status).toBe(410)
  })

  test('is 410 after its time', async () => {
    await start(', replies: { maxAge: 1ms }')
    await rpcReplier(bench, workers, (text) => text)
    const location = await asked('x')
    await eventually(async () => (await fetchReply(location)).status === 410, { what: 'the answer to be too old' })
  })

  test('is read by whoever has asked and by nobody else', async () => {
    const users = 'users: [{ username: first, password: one }, { username: second, password: two }]'
    await start(`, auth: { tokens: [token-1, token-2], ${users} }`)
    await rpcReplier(bench, workers, (text) => text)
    const mine = { authorization: 'Bearer token-1' }
    const location = await asked('x', mine)
    expect((await fetchReply(location, '?wait=10s', { headers: mine })).status).toBe(200)
    expect((await fetchReply(location)).status).toBe(401)
    for (const authorization of ['Bearer token-2', secondUser]) {
      expect((await fetchReply(location, '', { headers: { authorization } })).status).toBe(404)
      expect((await fetchReply(location, '', { method: 'DELETE', headers: { authorization } })).status).toBe(404)
    }
    expect((await fetchReply(location, '', { headers: mine })).status).toBe(200)
  })

  test('is fetched with a signature where it was asked with one', async () => {
    await start(', auth: { signatures: [{ layout: github, secrets: [first] }, { layout: github, secrets: [second] }] }')
    await rpcReplier(bench, workers, (text) => text)
    const signed = (secret: string, body = '') => ({
      'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
    })
    const location = await asked('x', signed('first', 'x'))
    expect((await fetchReply(location, '?wait=10s', { headers: signed('first') })).status).toBe(200)
    expect((await fetchReply(location, '', { headers: signed('second') })).status).toBe(404)
    expect((await fetchReply(location, '', { headers: signed('third') })).status).toBe(401)
  })

  test('outlives a stop: what has no answer then is asked again, and what waits for it hears so', async () => {
    await start()
    let isQuiet = true
    const { heard } = await rpcReplier(bench, workers, (text) => (isQuiet ? undefined : `${text}!`))
    const location = await asked('x')
    await eventually(() => heard.length === 1, { what: 'the worker to be asked' })
    const waiting = fetchReply(location, '?wait=20s')
    await gateway!.pause()
    expect((await waiting).status).toBe(202)
    expect(gateway!.route('ask').released).toBe(1)
    isQuiet = false
    gateway = await new TestGateway(yaml, gateway!.dataDir).ready()
    expect(gateway.letters()).toEqual([])
    expect(await (await fetchReply(location, '?wait=15s')).text()).toBe('x!')
    expect(heard.map(({ content }) => content.toString())).toEqual(['x', 'x'])
  })

  test('the query and the headers of what is kept are those of the request', async () => {
    await start()
    const { heard } = await rpcReplier(bench, workers, (text) => text)
    const init = {
      method: 'POST',
      body: Buffer.from([0, 255, 10]),
      headers: { ...later, 'x-site': 'berlin', 'idempotency-key': 'k1' },
    }
    const response = await fetch(`${api}/ask/7?page=2`, init)
    await fetchReply(locationOf(response), '?wait=10s')
    expect([...heard[0]!.content]).toEqual([0, 255, 10])
    expect(heard[0]!.properties).toMatchObject({
      messageId: 'k1',
      headers: { 'x-site': 'berlin', query: { page: '2' } },
    })
  })

  test('beyond maxCount none is promised, and nothing is asked', async () => {
    await start(', replies: { maxCount: 2 }')
    const { heard } = await rpcReplier(bench, workers, (text) => text)
    const location = await asked('1')
    await asked('2')
    const refused = await ask('3')
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
    await fetchReply(location, '', { method: 'DELETE' })
    await asked('4')
    await eventually(() => heard.length === 3, { what: 'all that were taken' })
    expect(heard.map(({ content }) => content.toString())).toEqual(['1', '2', '4'])
  })

  test('a reply that finds no room is a dead letter, and its asker hears so', async () => {
    await start(', replies: { maxBytes: 4KiB }')
    await rpcReplier(bench, workers, () => 'x'.repeat(8192))
    const response = await fetchReply(await asked('large?'), '?wait=10s')
    expect(response.status).toBe(502)
    expect(await response.json()).toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
    await eventually(() => gateway!.letters().length === 1, { what: 'the letter' })
  })

  test('more than maxOutstanding wait for their turn, as at a broker', async () => {
    await start('', 'timeout: 20s, maxOutstanding: 1')
    await rpcReplier(bench, workers, (text) => `${text}!`)
    const locations = await Promise.all(Array.from({ length: 10 }, (_, n) => asked(`${n}`)))
    const texts = locations.map(async (location) => (await fetchReply(location, '?wait=15s')).text())
    expect(await Promise.all(texts)).toEqual(Array.from({ length: 10 }, (_, n) => `${n}!`))
  })

  test('is posted where the route says so: signed, tried again, and asked anew when the gateway stopped meanwhile', async () => {
    let status = 500
    const hooks = await serve((_got, response) => void response.writeHead(status).end())
    const secret = `whsec_${Buffer.from('a secret of 24 bytes....').toString('base64')}`
    connections = `hooks: { protocol: http, sign: { layout: standard, secret: ${secret} } }`
    await start('', `timeout: 20s, to: { connection: hooks, url: "${hooks.url}/{params.article}" }`)
    await rpcReplier(bench, workers, (text) => `${text}!`)
    const location = await asked('how many?')
    await eventually(() => hooks.got.length >= 2, { what: 'the answer to be posted, and again' })
    expect((await fetchReply(location)).status).toBe(202)
    await gateway!.pause()
    status = 204
    gateway = await new TestGateway(yaml, gateway!.dataDir).ready()
    expect((await fetchReply(location, '?wait=15s')).status).toBe(200)
    expect(hooks.got.at(-1)).toMatchObject({ method: 'POST', path: '/7', body: 'how many?!' })
    expect(hooks.got.at(-1)?.headers['webhook-signature']).toMatch(/^v1,/)
    expect(gateway.letters()).toEqual([])
    await hooks.close()
  })

  test('where no answer is expected the preference changes nothing', async () => {
    const publish = `- { name: publish, from: { connection: api, path: /publish }, to: [{ connection: orders, queue: ${workers} }] }`
    await start('', 'timeout: 20s', publish)
    const response = await fetch(`${api}/publish`, { method: 'POST', body: 'x', headers: later })
    expect([response.status, response.headers.get('location')]).toEqual([202, null])
  })
})
