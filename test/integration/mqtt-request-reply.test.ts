/** Requests of MQTT clients and to MQTT devices, through the gateway and back: on Mosquitto, and at the embedded broker. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import mqttJs, { type IClientOptions, type MqttClient } from 'mqtt'
import { mqtt } from '../../protocols/mqtt/index.ts'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { FakeBroker } from '../support/brokers/fake-mqtt-broker.ts'
import { startProxy } from '../support/brokers/proxy.ts'
import { Bench } from '../support/contexts/amqp.ts'
import { RpcAsker, rpcReplier } from '../support/contexts/amqp-rpc.ts'
import { serve } from '../support/contexts/http-server.ts'
import { never } from '../support/contexts/messages.ts'
import { connectionOf, contextOf } from '../support/contexts/mqtt-client.ts'
import { MqttAsker, mqttReplier } from '../support/contexts/mqtt-rpc.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

let bench: Bench
let questions: string
let devices: string
let gateway: TestGateway | undefined

beforeEach(() => {
  bench = new Bench()
  questions = unique('questions')
  devices = unique('devices')
})
afterEach(async () => {
  await gateway?.stop()
  gateway = undefined
  await bench.end()
})

async function client(options: IClientOptions = {}, url = brokerAddresses().mqtt): Promise<MqttClient> {
  const opened = await mqttJs.connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0, ...options })
  bench.later(() => opened.endAsync(true))
  return opened
}

const asker = async () => await MqttAsker.open(await client())

/** The gateway with one route, called `ask`; the lines as in YAML. */
async function start(
  route: string,
  { plant = `url: "${brokerAddresses().mqtt}"`, more = '' }: { plant?: string; more?: string } = {},
): Promise<TestGateway> {
  const started = new TestGateway(`
gateway: { id: ${unique('talk')}, dataDir: "\${env:TRIVIUM_DATA_DIR}", admin: false, drain: 500ms }
connections:
  plant: { protocol: mqtt, ${plant} }
  orders: { protocol: amqp, url: "${brokerAddresses().amqp}" }
  shop: { protocol: http }
  ${more}
routes:
  - name: ask
${route.replaceAll(/^/gm, '    ')}
`)
  gateway = await started.ready()
  return gateway
}

const toDevice = (request = '{ timeout: 20s }') => `from: { connection: plant, topic: ${questions} }
to: [{ connection: plant, topic: ${devices} }]
request: ${request}`

const exchange = () => gateway!.route('ask').exchange!
const letters = () => gateway!.letters()
const settled = () => eventually(() => exchange().outstanding === 0, { what: 'every request to be settled' })

describe('MQTT 5 on Mosquitto', () => {
  test('a client asks a device: the correlation data of each come back as they were', async () => {
    await start(toDevice())
    const { heard } = await mqttReplier(await client(), devices, (text) => `${text}!`)
    const asking = await asker()
    const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => asking.ask(questions, `q${n}`)))
    expect(answers.map(({ text }) => text)).toEqual(Array.from({ length: 200 }, (_, n) => `q${n}!`))
    expect(new Set(answers.map(({ topic }) => topic))).toEqual(new Set([asking.responseTopic]))
    expect(answers[0]?.properties.responseTopic).toBeUndefined()
    const { responseTopic, correlationData } = heard[0]?.properties ?? {}
    expect(responseTopic).toMatch(/^trivium\/talk-[0-9a-f-]+\/[0-9a-f]{24}\/replies$/)
    expect(String(correlationData)).toMatch(/^[0-9a-f]{24}-0-\w+-[0-9a-f]{16}$/)
    expect(new Set(heard.map(({ properties }) => String(properties?.correlationData))).size).toBe(200)
    await settled()
    expect(asking.strangers).toEqual([])
    expect(exchange()).toMatchObject({ replies: 200, returned: 200, late: 0, unknown: 0 })
    expect(gateway!.route('ask')).toMatchObject({ delivered: 200, inFlight: 0 })
  })

  test.each(['raw', 'cloudevents', 'envelope'])('a device is asked in format %s', async (format) => {
    const target = `{ connection: plant, topic: ${devices}, format: ${format} }`
    await start(`from: { connection: plant, topic: ${questions} }\nto: [${target}]\nrequest: { timeout: 20s }`)
    await mqttReplier(await client(), devices, () => 'here')
    expect((await (await asker()).ask(questions, 'q')).text).toBe('here')
  })

  test('an HTTP call is answered by a device', async () => {
    const api = `http://127.0.0.1:${await freePort()}`
    const route = `from: { connection: api, method: POST, path: /ask }\nto: [{ connection: plant, topic: ${devices} }]\nrequest: {}`
    await start(route, { more: `api: { protocol: http, listen: "${api}" }` })
    await mqttReplier(await client(), devices, (text) => `${text}, says the device`)
    const response = await fetch(`${api}/ask`, { method: 'POST', body: 'how warm?' })
    expect([response.status, await response.text()]).toEqual([200, 'how warm?, says the device'])
  })

  test('an AMQP RPC client asks a device', async () => {
    const queue = await bench.queue()
    await start(
      `from: { connection: orders, queue: ${queue} }\nto: [{ connection: plant, topic: ${devices} }]\nrequest: {}`,
    )
    await mqttReplier(await client(), devices, (text) => `${text}, says the device`)
    const answer = await (await RpcAsker.open(bench)).ask(queue, 'how warm?', { correlationId: 'mine' })
    expect(answer.text).toBe('how warm?, says the device')
    expect(answer.properties.correlationId).toBe('mine')
  })

  test('a device asks an AMQP worker', async () => {
    const queue = await bench.queue()
    await start(
      `from: { connection: plant, topic: ${questions} }\nto: [{ connection: orders, queue: ${queue} }]\nrequest: {}`,
    )
    await rpcReplier(bench, queue, (text) => `${text} done`)
    expect((await (await asker()).ask(questions, 'job')).text).toBe('job done')
  })

  test('a device asks an HTTP service, and hears what it refuses', async () => {
    const service = await serve(({ body }, response) => {
      response.writeHead(body === 'bad' ? 400 : 200, { 'content-type': 'text/plain' }).end(`${body} in stock`)
    })
    bench.later(() => service.close())
    await start(
      `from: { connection: plant, topic: ${questions} }\nto: [{ connection: shop, url: "${service.url}/stock" }]\nrequest: {}`,
    )
    const asking = await asker()
    expect((await asking.ask(questions, '7')).text).toBe('7 in stock')
    const refused = await asking.ask(questions, 'bad')
    expect(refused.properties.userProperties).toMatchObject({ 'trivium-error': 'MESSAGE_REFUSED' })
  })

  test('an asker that nobody answers in time is told so; what comes late or was never asked reaches nobody', async () => {
    await start(toDevice('{ timeout: 500ms }'))
    const device = await client()
    const { heard, reply } = await mqttReplier(device, devices, () => undefined)
    const asking = await asker()
    const answer = await asking.ask(questions, 'anybody?')
    expect(answer.properties.userProperties).toMatchObject({ 'trivium-error': 'REPLY_TIMEOUT' })
    reply(heard[0]!, 'sorry')
    const { responseTopic = '', correlationData } = heard[0]!.properties!
    const [instance, , , proof] = String(correlationData).split('-') // of a device that was asked, for one that was not
    for (const wrong of [undefined, 'x', `${instance}-0-2-${proof}`, `${'0'.repeat(24)}-0-1`]) {
      const properties = wrong === undefined ? {} : { correlationData: Buffer.from(wrong) }
      device.publish(responseTopic, 'strange', { qos: 1, properties })
    }
    await eventually(() => letters().length === 5, { what: 'their dead letters' })
    expect(new Set(letters().map(({ reason }) => reason))).toEqual(new Set(['late-reply']))
    await settled()
    expect(exchange()).toMatchObject({ timedOut: 1, replies: 5, late: 1, unknown: 4, returned: 0 })
    expect(asking.strangers).toEqual([])
  })

  test.each([
    ['$SYS/broker/answers', 'DESTINATION_INVALID'],
    [undefined, 'REPLY_ADDRESS_MISSING'],
  ])('a request with the response topic %s is a dead letter, and is not asked', async (responseTopic, code) => {
    await start(toDevice())
    const { heard } = await mqttReplier(await client(), devices, (text) => text)
    const asking = await asker()
    void asking.ask(questions, 'whisper', { responseTopic: responseTopic! })
    await eventually(() => letters().length === 1, { what: 'the dead letter' })
    expect(letters()[0]?.error.code).toBe(code)
    expect(heard).toEqual([])
    expect(gateway!.route('ask')).toMatchObject({ deadLetteredTotal: 1, delivered: 0 })
  })

  test('a lost connection: what the device says meanwhile is heard, and what was outstanding is asked again', async () => {
    const proxy = await startProxy(Number(new URL(brokerAddresses().mqtt).port))
    bench.later(() => proxy.close())
    await start(toDevice('{ timeout: 60s }'), { plant: `url: "mqtt://127.0.0.1:${proxy.port}"` })
    const { heard, reply } = await mqttReplier(await client(), devices, () => undefined)
    const asking = await asker()
    const answering = asking.ask(questions, 'q')
    await eventually(() => heard.length === 1, { what: 'the question' })
    proxy.cut()
    await eventually(() => gateway!.link('plant', 'replies').state !== 'up', { what: 'the loss' })
    reply(heard[0]!, 'while it was away')
    proxy.restore()
    expect((await answering).text).toBe('while it was away')
    await eventually(() => heard.length === 2, { what: 'the question again' })
    reply(heard[1]!, 'again')
    await eventually(() => asking.strangers.length === 1, { what: 'its answer again' })
    await settled()
    expect(letters()).toEqual([])
  })

  test('a gateway asks through another gateway, and each has its own replies', async () => {
    const queue = await bench.queue()
    const workers = await bench.queue()
    await start(
      `from: { connection: plant, topic: ${devices} }\nto: [{ connection: orders, queue: ${workers} }]\nrequest: {}`,
    )
    const other = gateway!
    try {
      await start(
        `from: { connection: orders, queue: ${queue} }\nto: [{ connection: plant, topic: ${devices} }]\nrequest: {}`,
      )
      await rpcReplier(bench, workers, (text) => `${text}!`)
      const asking = await RpcAsker.open(bench)
      const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => asking.ask(queue, `${n}`)))
      expect(answers.map(({ text }) => text)).toEqual(Array.from({ length: 50 }, (_, n) => `${n}!`))
    } finally {
      await other.stop()
    }
  })
})

describe('MQTT 3.1.1', () => {
  const request = () => `set: { payload.id: request.id }
to: [{ connection: plant, topic: "${devices}/{params.device}/ask" }]
request:
  timeout: 20s
  to: { topic: "${questions}/{params.device}/answers/{payload.n}" }
  reply: { connection: plant, topic: "${devices}/{device}/answer", correlation: payload.id }`
  const route = () => `from: { connection: plant, topic: "${questions}/{device}/ask" }\n${request()}`

  /** Answers with its name and the id of the request in its JSON, on a topic of its own. */
  async function device(name: string, url?: string, options: IClientOptions = {}): Promise<MqttClient> {
    const opened = await client({ protocolVersion: 4, ...options }, url)
    opened.on('message', (_topic, payload) => {
      const { id, n } = JSON.parse(payload.toString())
      opened.publish(`${devices}/${name}/answer`, JSON.stringify({ id, n, by: name }), { qos: 1 })
    })
    await opened.subscribeAsync(`${devices}/${name}/ask`, { qos: 1 })
    return opened
  }

  /** Asks, and hears its answers by the topic they come to. */
  async function ask(name: string, url?: string, options: IClientOptions = {}) {
    const opened = await client({ protocolVersion: 4, ...options }, url)
    const answers = new Map<string, unknown>()
    opened.on('message', (topic, payload) => answers.set(topic, JSON.parse(payload.toString())))
    await opened.subscribeAsync(`${questions}/${name}/answers/+`, { qos: 1 })
    for (const n of [1, 2, 3]) opened.publish(`${questions}/${name}/ask`, `{"n":${n}}`, { qos: 1 })
    await eventually(() => answers.size === 3, { what: 'three answers' })
    return [1, 2, 3].map((n) => answers.get(`${questions}/${name}/answers/${n}`))
  }

  const expected = (name: string) => [1, 2, 3].map((n) => expect.objectContaining({ n, by: name }))

  test('on Mosquitto: a device asks and a device answers, on topics that the route names', async () => {
    await start(route(), { plant: `url: "${brokerAddresses().mqtt}", protocolVersion: 4` })
    await device('d1')
    expect(await ask('d1')).toEqual(expected('d1'))
  })

  test('at the embedded broker: an answer goes where the rights of its asker let it read', async () => {
    const port = await freePort()
    const user = (name: string, publish: string, subscribe: string) =>
      `{ username: ${name}, password: pw, publish: ["${publish}"], subscribe: ["${subscribe}"] }`
    const users = [
      user('asker', `${questions}/{client}/ask`, `${questions}/{client}/answers/+`),
      user('device', `${devices}/+/answer`, `${devices}/+/ask`),
    ]
    await start(route(), { plant: `listen: "mqtt://127.0.0.1:${port}", users: [${users.join(', ')}]` })
    const url = `mqtt://127.0.0.1:${port}`
    await device('d1', url, { username: 'device', password: 'pw' })
    expect(await ask('d1', url, { clientId: 'd1', username: 'asker', password: 'pw' })).toEqual(expected('d1'))
    const other = await client({ protocolVersion: 4, clientId: 'd2', username: 'asker', password: 'pw' }, url)
    const [granted] = await other.subscribeAsync(`${questions}/d1/answers/+`).catch((error) => [error])
    expect(granted).toMatchObject({ message: expect.stringMatching(/Unspecified error/) })
    const ended = new Promise<void>((resolve) => other.once('close', resolve))
    other.publish(`${questions}/d1/ask`, '{"n":4}')
    await ended
    expect(exchange().returned).toBe(3)
  })
})

test('a broker that speaks MQTT 3.1.1 alone is told, and nothing is asked through it', async () => {
  const broker = await FakeBroker.start()
  bench.later(() => broker.stop())
  broker.connackFor = (version) => Buffer.from(version === 5 ? [0x20, 2, 0, 1] : [0x20, 2, 0, 0])
  const place = { gatewayId: 'talk', instance: '0'.repeat(24) }
  const replies = mqtt.replies!.create(connectionOf({ url: broker.url }), contextOf(), place)
  await expect(replies.open(never)).rejects.toMatchObject({
    retryable: true,
    message: expect.stringMatching(/speaks MQTT 3\.1\.1, which has no reply address; say with `request\.reply`/),
  })
})
