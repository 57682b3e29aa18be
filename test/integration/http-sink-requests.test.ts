/** Requests that an HTTP service answers: asked by an RPC client of RabbitMQ, by an HTTP call, and of several services at once. */
import { afterEach, expect, test } from '@jest/globals'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { Bench } from '../support/contexts/amqp.ts'
import { RpcAsker } from '../support/contexts/amqp-rpc.ts'
import { HttpBench } from '../support/contexts/http-server.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { freePort } from '../support/ports.ts'

const web = new HttpBench()
afterEach(() => web.end())

async function asking(connections: string, route: string): Promise<TestGateway> {
  const gateway = new TestGateway(`
gateway: { id: rpc, admin: false, drain: 500ms }
connections:
  web: { protocol: http, maxReplySize: 1KiB }
  ${connections}
routes:
  - name: ask
    ${route}
`)
  web.later(() => gateway.stop())
  return await gateway.ready()
}

type Answering = NonNullable<Parameters<typeof web.server>[0]>
const echo: Answering = ({ body }, response) =>
  response.writeHead(200, { 'content-type': 'text/plain', 'x-by': 'service' }).end(`${body}!`)

test('an RPC client of RabbitMQ is answered by a web service, also that it refuses', async () => {
  const { url, got } = await web.server((request, response, nth) => {
    if (request.body === 'no') response.writeHead(404).end('no such thing')
    else if (request.body === 'long') response.end('x'.repeat(2_000))
    else echo(request, response, nth)
  })
  const bench = new Bench()
  web.later(() => bench.end())
  const questions = await bench.queue()
  const gateway = await asking(
    `orders: { protocol: amqp, url: "${brokerAddresses().amqp}" }`,
    `from: { connection: orders, queue: ${questions} }
    to: [{ connection: web, url: "${url}/ask" }]
    request: { timeout: 20s }`,
  )
  const asker = await RpcAsker.open(bench)
  const texts = Array.from({ length: 50 }, (_, n) => `q${n}`)
  const answers = await Promise.all(texts.map((text) => asker.ask(questions, text, { correlationId: `mine ${text}` })))
  expect(answers.map(({ text }) => text)).toEqual(texts.map((text) => `${text}!`))
  expect(answers[0]!.headers).toMatchObject({ 'x-by': 'service' })
  expect(new Set(got.map(({ headers }) => headers['ce-correlationid'])).size).toBe(50)
  expect((await asker.ask(questions, 'no')).headers['trivium-error']).toBe('MESSAGE_UNROUTABLE')
  expect((await asker.ask(questions, 'long')).headers['trivium-error']).toBe('MESSAGE_TOO_LARGE')
  expect(asker.strangers).toEqual([])
  expect(gateway.route('ask').exchange).toMatchObject({ replies: 50, returned: 50, late: 0 })
})

async function listening(route: string) {
  const port = await freePort()
  const from = 'from: { connection: api, path: "/ask" }'
  await asking(`api: { protocol: http, listen: "http://127.0.0.1:${port}" }`, `${from}\n    ${route}`)
  return (body: string) => fetch(`http://127.0.0.1:${port}/ask`, { method: 'POST', body })
}

test('an HTTP call is answered by a web service behind the gateway, and told when that does not answer', async () => {
  const { url } = await web.server((request, response, nth) => {
    if (request.body !== 'silence') echo(request, response, nth)
  })
  const call = await listening(`to: [{ connection: web, url: "${url}/ask" }]
    request: { timeout: 2s }`)
  const answer = await call('hello')
  expect([answer.status, answer.headers.get('x-by'), await answer.text()]).toEqual([200, 'service', 'hello!'])
  const late = await call('silence')
  expect([late.status, await late.json()]).toEqual([504, expect.objectContaining({ code: 'REPLY_TIMEOUT' })])
})

test('several web services are asked at once; one that is away ends none of the others', async () => {
  const price =
    (payload: string): Answering =>
    (_got, response) =>
      void response.writeHead(200, { 'content-type': 'application/json' }).end(payload)
  const [dear, cheap] = [await web.server(price('{"price":12}')), await web.server(price('{"price":7}'))]
  const away = `http://127.0.0.1:${await freePort()}`
  const targets = [dear.url, cheap.url, away].map((url) => `{ connection: web, url: "${url}/quote" }`)
  const call = await listening(`to: [${targets.join(', ')}]
    scatter: { timeout: 2s, minimum: 2 }`)
  const result = (await (await call('bolts')).json()) as { results: unknown[] }
  expect(result).toMatchObject({ success_count: 2, total_count: 3 })
  expect(result.results).toMatchObject([
    { ok: true, payload: { price: 12 } },
    { ok: true, payload: { price: 7 } },
    { ok: false },
  ])
})
