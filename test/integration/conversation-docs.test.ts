/** The configurations of docs/request-reply.md and docs/scatter-gather.md, run as they stand: people's own clients at both ends. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import mqtt from 'mqtt'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { Bench } from '../support/contexts/amqp.ts'
import { RpcAsker, rpcReplier } from '../support/contexts/amqp-rpc.ts'
import { serve } from '../support/contexts/http-server.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'
import { root } from '../unit/cli/command.ts'

const textOf = (page: string) => readFileSync(join(root, 'docs', page), 'utf8')
const blocksOf = (page: string) => [...textOf(page).matchAll(/^```yaml\n(.*?)^```/gms)].map(([, text = '']) => text)
const [byHttp = '', toHttp = '', deviceAsks = '', askDevice = '', posted = ''] = blocksOf('request-reply.md')
const [bestPrice = ''] = blocksOf('scatter-gather.md')

let bench: Bench
let gateway: TestGateway | undefined
let port: number

beforeEach(async () => {
  bench = new Bench()
  port = await freePort()
})
afterEach(async () => {
  await gateway?.stop()
  gateway = undefined
  await bench.end()
})

/** The block with names and ports of this test in the place of its own. */
async function run(yaml: string, names: Readonly<Record<string, string>>): Promise<void> {
  const own = Object.entries(names).reduce((text, [name, mine]) => text.replaceAll(name, mine), yaml)
  const local = own.replace('amqp://localhost:5672', brokerAddresses().amqp).replaceAll(/:808\d/g, `:${port}`)
  const settings = 'gateway: { id: docs, dataDir: "${env:TRIVIUM_DATA_DIR}", admin: false, drain: 500ms }\n'
  gateway = await new TestGateway(settings + local).ready()
}

const post = async (path: string, body: string) => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', body })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

describe('docs/request-reply.md', () => {
  test('an HTTP call is answered by an AMQP worker, or told with 504 that nobody answers', async () => {
    const pricing = await bench.exchange('topic')
    const queue = await bench.queue()
    await (await bench.client()).bindQueue(queue, pricing, 'price.*')
    const worker = await rpcReplier(bench, queue, (text, { fields }) =>
      text.includes('quiet') ? undefined : JSON.stringify({ ...JSON.parse(text), key: fields.routingKey }),
    )
    await run(byHttp.replace('timeout: 5s', 'timeout: 1s'), { 'exchange: pricing': `exchange: ${pricing}` })
    expect(await post('/prices/7', '{"count":3}')).toMatchObject({ status: 200, text: '{"count":3,"key":"price.7"}' })
    const { status, headers, text } = await post('/prices/7', 'quiet')
    expect({ status, type: headers.get('content-type') }).toEqual({ status: 504, type: 'application/problem+json' })
    expect(JSON.parse(text)).toMatchObject({ code: 'REPLY_TIMEOUT' })
    expect(worker.heard).toHaveLength(2)
  })

  test('an answer is posted to a web service, after its asker was told 202', async () => {
    const hooks = await serve()
    bench.later(() => hooks.close())
    const queue = await bench.queue()
    await rpcReplier(bench, queue, (text) => `${text} costs 12`)
    const own = { '${env:HOOK_SECRET}': `whsec_${Buffer.alloc(24).toString('base64')}` }
    await run(posted, { 'queue: quotes': `queue: ${queue}`, 'https://hooks.example.com': hooks.url, ...own })
    const headers = { prefer: 'respond-async' }
    const told = await fetch(`http://127.0.0.1:${port}/quotes/7`, { method: 'POST', body: 'a lamp', headers })
    expect(told.status).toBe(202)
    await eventually(() => hooks.got.length === 1, { what: 'the answer' })
    expect(hooks.got[0]).toMatchObject({ path: '/7', body: 'a lamp costs 12' })
  })

  test('an AMQP RPC client is answered by an HTTP service, or told that it refuses', async () => {
    const questions = await bench.queue()
    const service = createServer(async (request, response) => {
      const text = Buffer.concat(await request.toArray()).toString()
      response.writeHead(text === 'bad' ? 400 : 200, { 'content-type': 'text/plain' }).end(`${text} in stock`)
    }).listen(port, '127.0.0.1')
    await once(service, 'listening')
    bench.later(async () => service.close())
    await run(toHttp, { 'stock.questions': questions })
    const asker = await RpcAsker.open(bench)
    expect((await asker.ask(questions, '7')).text).toBe('7 in stock')
    expect((await asker.ask(questions, 'bad')).headers['trivium-error']).toBe('MESSAGE_REFUSED')
    service.closeAllConnections()
  })

  test('a device without reply addresses asks an HTTP service, and hears the answer where the route says', async () => {
    const devices = await freePort()
    const service = createServer(async (request, response) => {
      response.end(`${Buffer.concat(await request.toArray())} in stock`)
    }).listen(port, '127.0.0.1')
    await once(service, 'listening')
    bench.later(async () => service.close())
    await run(deviceAsks, { '1883': String(devices) })
    const device = await mqtt.connectAsync(`mqtt://127.0.0.1:${devices}`, { protocolVersion: 4, reconnectPeriod: 0 })
    bench.later(() => device.endAsync(true))
    const { promise: answer, resolve } = Promise.withResolvers<string>()
    device.on('message', (topic, payload) => resolve(`${topic} ${payload}`))
    await device.subscribeAsync('devices/d1/answers/+', { qos: 1 })
    device.publish('devices/d1/ask', '{"n":7}', { qos: 1 })
    expect(await answer).toBe('devices/d1/answers/7 {"n":7} in stock')
    service.closeAllConnections()
  })

  test('an HTTP call is answered by a device that has no reply address, known by request.id', async () => {
    const devices = await freePort()
    await run(askDevice, { '1883': String(devices) })
    const device = await mqtt.connectAsync(`mqtt://127.0.0.1:${devices}`, { protocolVersion: 4, reconnectPeriod: 0 })
    bench.later(() => device.endAsync(true))
    device.on('message', (topic, payload) => {
      const { requestId, n } = JSON.parse(payload.toString())
      device.publish(topic.replace(/ask$/, 'answer'), JSON.stringify({ requestId, twice: 2 * n }), { qos: 1 })
    })
    await device.subscribeAsync('devices/+/ask', { qos: 1 })
    const answers = await Promise.all([1, 2, 3].map((n) => post(`/devices/d${n}/ask`, `{"n":${n}}`)))
    expect(answers.map(({ status, text }) => ({ status, ...JSON.parse(text) }))).toMatchObject(
      [1, 2, 3].map((n) => ({ status: 200, twice: 2 * n, device: `d${n}` })),
    )
  })
})

describe('docs/scatter-gather.md', () => {
  const workers = async () => [await bench.queue(), await bench.queue(), await bench.queue()] as const

  test('gives the whole offer with the lowest price', async () => {
    const [a, b, c] = await workers()
    for (const [queue, price] of [
      [a, 12],
      [b, 9],
      [c, 10],
    ] as const) {
      await rpcReplier(bench, queue, () => JSON.stringify({ price, from: queue }))
    }
    await run(bestPrice, { 'quotes.a': a, 'quotes.b': b, 'quotes.c': c })
    const { status, text } = await post('/quotes', '{}')
    expect({ status, body: JSON.parse(text) }).toEqual({ status: 200, body: { price: 9, from: b } })
  })

  test('tells what each target said, in the order of `to`, and that some are missing', async () => {
    const [a, b, c] = await workers()
    await rpcReplier(bench, a, () => undefined)
    await rpcReplier(bench, b, () => 'not JSON')
    await rpcReplier(bench, c, () => '{"price":3}')
    const whole = bestPrice.replace(/, aggregate: .*\}/, ' }').replace('2s', '1s')
    await run(whole, { 'quotes.a': a, 'quotes.b': b, 'quotes.c': c })
    const { text, headers } = await post('/quotes', '{}')
    expect(headers.get('trivium-parent-id')).toMatch(/^[0-9a-f-]{36}$/)
    expect(JSON.parse(text)).toMatchObject({
      results: [
        { target: `amqp://orders/${a}`, ok: false, error: { code: 'REPLY_TIMEOUT' } },
        { target: `amqp://orders/${b}`, ok: true, payload: 'not JSON' },
        { target: `amqp://orders/${c}`, ok: true, payload: { price: 3 } },
      ],
      ...{ success_count: 2, total_count: 3, partial: true },
    })
  })

  test('asks targets of different protocols alike', async () => {
    const [a, b] = await workers()
    const service = createServer((_request, response) => void response.end('{"price":7}')).listen(0, '127.0.0.1')
    await once(service, 'listening')
    bench.later(async () => service.close())
    const { port: shop } = service.address() as AddressInfo
    await rpcReplier(bench, a, () => '{"price":8}')
    await rpcReplier(bench, b, () => '{"price":9}')
    const mixed = bestPrice
      .replace('connections:', 'connections:\n  shop: { protocol: http }')
      .replace('{ connection: orders, queue: quotes.c }', `{ connection: shop, url: "http://127.0.0.1:${shop}/quote" }`)
    await run(mixed, { 'quotes.a': a, 'quotes.b': b })
    expect((await post('/quotes', '{}')).text).toBe('{"price":7}')
    service.closeAllConnections()
  })
})
