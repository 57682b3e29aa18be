/** A whole gateway behind an HTTP listener: what its answers promise holds at the targets, in the store, and for whoever asks. */
import { expect } from '@jest/globals'
import mqtt from 'mqtt'
import '../../protocols/http/listener/listener.ts' // loaded before tests that run beside each other, see load-drivers.ts
import { memoryBus } from '../../protocols/memory/index.ts'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { serve } from '../support/contexts/http-server.ts'
import { type Scope, scenario } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

interface Plan {
  readonly connections?: string
  readonly route: string
  readonly more?: string
}

async function gatewayWith(scope: Scope, { connections = '', route, more = '' }: Plan) {
  const url = `http://127.0.0.1:${await freePort()}`
  const gateway = scope.gateway(`
gateway: { id: ${unique('t')}, drain: 5s, admin: false }
${more}
connections:
  api: { protocol: http, listen: "${url}", maxInFlight: 50 }
${connections}
routes:
  - name: road
    from: { connection: api, path: "/events/{key}" }
${route}
`)
  return { url: `${url}/events/7`, gateway: await gateway.ready() }
}

const post = async (url: string, body: string, headers: Record<string, string> = {}) => {
  const response = await fetch(url, { method: 'POST', body, headers })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

scenario('HTTP to MQTT, stored: 202, and the device has it', async (scope) => {
  const topic = unique('t')
  const device = await mqtt.connectAsync(brokerAddresses().mqtt, { reconnectPeriod: 0 })
  scope.after(() => device.endAsync(true))
  const got: string[] = []
  device.on('message', (_topic, payload) => void got.push(payload.toString()))
  await device.subscribeAsync(`${topic}/7`, { qos: 1 })
  const { url, gateway } = await gatewayWith(scope, {
    connections: `  plant: { protocol: mqtt, url: "${brokerAddresses().mqtt}", clean: true }`,
    route: `    to: [{ connection: plant, topic: "${topic}/{params.key}" }]`,
  })
  const sent = Array.from({ length: 20 }, (_, n) => `event ${n}`)
  for (const text of sent) expect(await post(url, text)).toMatchObject({ status: 202 })
  await eventually(() => got.length === sent.length, { what: 'all at the device' })
  expect(got).toEqual(sent)
  await gateway.pause()
})

scenario(
  'a target that is away keeps nobody waiting where the store has it, and is 504 where it has not',
  async (scope) => {
    const away = `amqp://guest:guest@127.0.0.1:${await freePort()}`
    const url = `http://127.0.0.1:${await freePort()}`
    const gateway = scope.gateway(`
gateway: { id: ${unique('t')}, drain: 100ms, admin: false }
connections:
  api: { protocol: http, listen: "${url}", answerTimeout: 200ms }
  orders: { protocol: amqp, url: "${away}" }
routes:
  - { name: stored, from: { connection: api, path: /stored }, to: [{ connection: orders, queue: q }] }
  - { name: direct, from: { connection: api, path: /direct }, to: [{ connection: orders, queue: q }], acknowledge: delivered }
`)
    await eventually(async () => (await post(`${url}/stored`, 'a').catch(() => undefined))?.status === 202, {
      what: '202',
    })
    expect(await post(`${url}/direct`, 'b')).toMatchObject({ status: 504 })
    expect(gateway.route('stored').waiting).toBe(1)
    expect(gateway.route('direct').inFlight).toBe(1)
  },
)

scenario('a store that is full is 503, and 202 again once its target is back', async (scope) => {
  let isBack = false
  const server = await scope.use(serve((_got, response) => void response.writeHead(isBack ? 204 : 503).end()))
  const { url, gateway } = await gatewayWith(scope, {
    more: 'store: { maxBytes: 1MiB }',
    connections: '  web: { protocol: http }',
    route: `    to: [{ connection: web, url: "${server.url}/in" }]
    retry: { attempts: 1000, delay: 10ms, maxDelay: 50ms }`,
  })
  const text = 'x'.repeat(100_000)
  const kept: Promise<unknown>[] = []
  const isFull = () => {
    kept.push(post(url, text))
    return gateway.gateway.status().store.fullBecause !== undefined
  }
  await eventually(isFull, { what: 'a full store' })
  const full = await post(url, text)
  expect([full.status, JSON.parse(full.text).code, full.headers.get('retry-after')]).toEqual([503, 'STORE_FULL', '1'])
  isBack = true
  await eventually(async () => (await post(url, text)).status === 202, { what: 'room again' })
  await Promise.all(kept)
  await eventually(() => gateway.route('road').waiting === 0, { what: 'an empty store' })
})

scenario('what the rules filter is accepted, what they cannot do is a dead letter and 422', async (scope) => {
  const bus = unique('bus')
  const { url, gateway } = await gatewayWith(scope, {
    connections: `  bus: { protocol: memory, bus: ${bus} }`,
    route: `    when: payload.t > 30
    to: [{ connection: bus, topic: "{payload.topic}", allow: [a] }]
    acknowledge: delivered`,
  })
  expect(await post(url, '{"t":1}')).toMatchObject({ status: 200 })
  expect(await post(url, '{"t":31,"topic":"b"}')).toMatchObject({ status: 422 })
  expect(await post(url, '{"t":31,"topic":"a"}')).toMatchObject({ status: 200 })
  expect([memoryBus(bus).size, gateway.letters().length, gateway.route('road').filtered]).toEqual([1, 1, 1])
})

const asking = (url: string, request: string) => ({
  connections: '  web: { protocol: http }',
  route: `    to: [{ connection: web, url: "${url}/ask", timeout: 20s }]\n    request: ${request}`,
})

scenario('who asks gets the reply, its status and headers, each their own', async (scope) => {
  const server = await scope.use(
    serve(({ body }, response) => {
      response.writeHead(200, { 'content-type': 'text/plain', 'x-answered': 'yes' }).end(`${body}!`)
    }),
  )
  const { url, gateway } = await gatewayWith(scope, asking(server.url, '{ timeout: 20s }'))
  const questions = Array.from({ length: 40 }, (_, n) => `q${n}`)
  const answers = await Promise.all(questions.map((text) => post(url, text)))
  expect(answers.map(({ status, text }) => [status, text])).toEqual(questions.map((text) => [200, `${text}!`]))
  const [first] = answers
  expect([first!.headers.get('content-type'), first!.headers.get('x-answered')]).toEqual(['text/plain', 'yes'])
  const event = (id: number) => ({ specversion: '1.0', id: String(id), source: '/s', type: 't', data: id })
  const batch = (count: number) => JSON.stringify(Array.from({ length: count }, (_, id) => event(id)))
  const batchType = { 'content-type': 'application/cloudevents-batch+json' }
  expect(await post(url, batch(1), batchType)).toMatchObject({ status: 200, text: '0!' })
  expect(await post(url, batch(2), batchType)).toMatchObject({ status: 422 }) // nobody could tell the replies apart
  await eventually(() => gateway.route('road').exchange?.outstanding === 0, { what: 'all settled' })
})

scenario('who asks too many, too long, of nobody, or of a gateway that stops, hears so', async (scope) => {
  const held: (() => void)[] = []
  const server = await scope.use(
    serve(({ body }, response) => {
      if (body === 'refuse me') return void response.writeHead(400).end('no')
      held.push(() => response.end('late'))
    }),
  )
  const { url, gateway } = await gatewayWith(scope, asking(server.url, '{ timeout: 300ms, maxOutstanding: 1 }'))
  const first = post(url, 'hold me')
  await eventually(() => held.length === 1, { what: 'the question' })
  const second = await post(url, 'one too many')
  expect([second.status, second.headers.get('retry-after')]).toEqual([503, '1'])
  const timedOut = await first
  expect([timedOut.status, JSON.parse(timedOut.text).code]).toEqual([504, 'REPLY_TIMEOUT'])
  held[0]!()
  await eventually(() => gateway.route('road').exchange?.outstanding === 0, { what: 'room' })
  expect(await post(url, 'refuse me')).toMatchObject({ status: 502 })
  const last = post(url, 'hold me too')
  await eventually(() => held.length === 2, { what: 'another question' })
  const stopped = gateway.gateway.stop()
  expect([502, 503, 504]).toContain((await last).status)
  await stopped
})
