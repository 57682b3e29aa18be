/** The API for applications beside the gateway, as they use it: by HTTP alone. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from '@jest/globals'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { Bench } from '../support/contexts/amqp.ts'
import { rpcReplier } from '../support/contexts/amqp-rpc.ts'
import { amqpConnection, sidecarOf } from '../support/contexts/sidecar.ts'
import { type Scope, scenario } from '../support/gateway/scenario.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'
import { root } from '../unit/cli/command.ts'

function benchOf(scope: Scope): Bench {
  const bench = new Bench()
  scope.after(() => bench.end())
  return bench
}

async function firstOf(bench: Bench, queue: string) {
  const channel = await bench.client()
  const got = await eventually(async () => (await channel.get(queue, { noAck: true })) || undefined, {
    what: 'a message',
  })
  return got
}

scenario('publishes to a queue, stored: 202, and the message has its id, type and headers', async (scope) => {
  const bench = benchOf(scope)
  const queue = await bench.queue()
  const { say } = await sidecarOf(scope)
  const headers = {
    'idempotency-key': 'order-7',
    'content-type': 'application/json',
    'ce-type': 'Ordered',
    'x-site': 'b',
  }
  const { status, text } = await say(`/v1/publish/orders/${queue}`, '{"n":7}', { headers })
  expect({ status, ...JSON.parse(text) }).toEqual({ status: 202, messageId: 'order-7' })
  const { content, properties } = await firstOf(bench, queue)
  expect(content.toString()).toBe('{"n":7}')
  expect(properties).toMatchObject({ messageId: 'order-7', type: 'Ordered', contentType: 'application/json' })
  expect(properties.headers).toMatchObject({ 'x-site': 'b' })
  expect(Object.keys(properties.headers ?? {})).not.toContain('query')
})

scenario('with acknowledge=delivered answers 200 once the broker has it', async (scope) => {
  const bench = benchOf(scope)
  const exchange = await bench.exchange('topic')
  const queue = await bench.queue()
  await (await bench.client()).bindQueue(queue, exchange, 'a.*')
  const { say, gateway } = await sidecarOf(scope)
  expect(await say(`/v1/publish/orders/${exchange}/a.b?acknowledge=delivered`, 'x')).toMatchObject({ status: 200 })
  expect(await firstOf(bench, queue)).toMatchObject({ fields: { routingKey: 'a.b' } })
  expect(gateway.route('~sidecar/publish-delivered/orders').delivered).toBe(1)
})

scenario('structured events and batches of them are messages of their own', async (scope) => {
  const bench = benchOf(scope)
  const queue = await bench.queue()
  const { say } = await sidecarOf(scope)
  const event = (id: string) => ({ specversion: '1.0', id, source: '/app', type: 'T', data: { id } })
  const path = `/v1/publish/orders/${queue}`
  const one = { headers: { 'content-type': 'application/cloudevents+json' } }
  expect(await say(path, JSON.stringify(event('a')), one)).toMatchObject({ status: 202, text: '{"messageId":"a"}' })
  const several = { headers: { 'content-type': 'application/cloudevents-batch+json' } }
  const { status, text } = await say(path, JSON.stringify([event('b'), event('c')]), several)
  expect({ status, ids: JSON.parse(text).messages.map((each: { messageId: string }) => each.messageId) }).toEqual({
    status: 202,
    ids: ['b', 'c'],
  })
  for (const id of ['a', 'b', 'c'])
    expect((await firstOf(bench, queue)).properties).toMatchObject({ messageId: id, type: 'T' })
})

scenario('is answered by problems: no token, unknown connection, a bad destination, a bad query', async (scope) => {
  const { say, gateway } = await sidecarOf(scope)
  const asked = [
    ['/v1/publish/orders/q', { headers: { authorization: 'Bearer wrong' } }, 401],
    ['/v1/publish/nobody/q', {}, 404],
    ['/v1/publish/~sidecar/q', {}, 404],
    ['/v1/request/orders/q', {}, 404],
    ['/v1/publish/orders/q', { method: 'PUT' }, 405],
    ['/v1/publish/orders', {}, 400],
    [`/v1/publish/orders/${'x'.repeat(300)}`, {}, 400],
    ['/v1/publish/orders/q?acknowledge=perhaps', {}, 400],
    ['/v1.0/publish/orders/q?metadata.ttlInSeconds=soon', {}, 400],
  ] as const
  for (const [path, sent, status] of asked) {
    const told = await say(path, 'x', sent)
    expect({ path, status: told.status }).toEqual({ path, status })
    expect(told.headers.get('content-type')).toBe('application/problem+json')
  }
  expect(gateway.gateway.status().routes.reduce((sum, { matched }) => sum + matched, 0)).toBe(0)
})

scenario("takes what Dapr's SDKs publish: 204, and the time to live", async (scope) => {
  const bench = benchOf(scope)
  const queue = await bench.queue()
  const { say } = await sidecarOf(scope)
  const path = `/v1.0/publish/orders/${queue}?metadata.ttlInSeconds=60&metadata.rawPayload=true`
  expect(await say(path, '{"a":1}', { headers: { 'content-type': 'application/json' } })).toMatchObject({
    status: 204,
    text: '',
  })
  const { properties } = await firstOf(bench, queue)
  expect(Number(properties.expiration)).toBeGreaterThan(30_000)
})

scenario('a broker that is away keeps no application waiting: 202, and the message waits on disk', async (scope) => {
  const away = `amqp://guest:guest@127.0.0.1:${await freePort()}`
  const port = await freePort()
  const gateway = scope.gateway(`
gateway: { drain: 100ms, admin: false, sidecar: { listen: "127.0.0.1:${port}", insecure: true } }
connections: { orders: { protocol: amqp, url: "${away}" } }
`)
  const publish = () => fetch(`http://127.0.0.1:${port}/v1/publish/orders/q`, { method: 'POST', body: 'x' })
  await eventually(async () => (await publish().catch(() => undefined))?.status === 202, { what: '202' })
  expect(gateway.route('~sidecar/publish-stored/orders').waiting).toBeGreaterThan(0)
})

scenario('asks a worker and gives its reply, or 504 once the asker has waited as long as it said', async (scope) => {
  const bench = benchOf(scope)
  const queue = await bench.queue()
  await rpcReplier(bench, queue, (text) => (text === 'quiet' ? undefined : `${text}, twice ${text}`))
  const { say, gateway } = await sidecarOf(scope, { sidecar: 'request: [orders]', connections: amqpConnection() })
  expect(await say(`/v1/request/orders/${queue}`, 'hello')).toMatchObject({ status: 200, text: 'hello, twice hello' })
  const startedMs = performance.now()
  const { status, text } = await say(`/v1/request/orders/${queue}?timeout=300ms`, 'quiet')
  expect({ status, ...JSON.parse(text) }).toMatchObject({ status: 504, code: 'REPLY_TIMEOUT' })
  expect(performance.now() - startedMs).toBeGreaterThan(290)
  expect((await say(`/v1/request/orders/${queue}?timeout=1h`, 'x')).status).toBe(400)
  expect(gateway.route('~sidecar/request/orders').exchange).toMatchObject({ outstanding: 0, timedOut: 1 })
})

scenario('runs the configuration of docs/sidecar-api.md as it stands', async (scope) => {
  const bench = benchOf(scope)
  const queue = await bench.queue()
  await rpcReplier(bench, queue, (text) => `heard ${text}`)
  const port = await freePort()
  const [, yaml = ''] = /^```yaml\n(.*?)^```/ms.exec(readFileSync(join(root, 'docs/sidecar-api.md'), 'utf8')) ?? []
  const own = yaml
    .replace('  sidecar:', `  admin: false\n  sidecar:\n    listen: "127.0.0.1:${port}"`)
    .replace('${env:TRIVIUM_SIDECAR_TOKEN}', 'of-a-test')
    .replace('amqp://localhost:5672', brokerAddresses().amqp)
  await scope.gateway(own).ready()
  const url = `http://127.0.0.1:${port}/v1/request/orders/${queue}?timeout=2s`
  const response = await fetch(url, { method: 'POST', body: '7', headers: { authorization: 'Bearer of-a-test' } })
  expect({ status: response.status, text: await response.text() }).toEqual({ status: 200, text: 'heard 7' })
})
