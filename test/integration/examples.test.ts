/** Every file of examples/ against real brokers, run by the command line as a user runs it. */

import { createHmac, randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from '@jest/globals'
import amqplib from 'amqplib'
import { Kafka, logLevel } from 'kafkajs'
import mqtt from 'mqtt'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { serve } from '../support/contexts/http-server.ts'
import { createTopics } from '../support/places/topics.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'
import { registerCleanups } from '../unit/cli/cleanups.ts'
import { RunningProcess, root, startTrivium } from '../unit/cli/command.ts'
import { folderWith } from '../unit/cli/files.ts'

const afterwards = registerCleanups()
let id: string

beforeEach(() => {
  id = `x${randomUUID().slice(0, 8)}`
})
const exampleText = (name: string): string => readFileSync(join(root, 'examples', name), 'utf8')

/** Runs an example's text until the end of the test; resolves when every connection named is up in that role. */
async function run(
  text: string,
  connected: readonly `${string} as ${'source' | 'sink'}`[],
  env: Record<string, string> = {},
) {
  const own = text.includes('gateway:') ? text : `gateway: { id: ${id} }\n${text}`
  const folder = folderWith({ 'example.yaml': own })
  const { kafka, amqp, mqtt: mqttUrl } = brokerAddresses()
  const gateway = startTrivium(['run', 'example.yaml'], {
    cwd: folder.path,
    env: {
      KAFKA_BROKER: kafka[0] ?? '',
      AMQP_URL: amqp,
      MQTT_URL: mqttUrl,
      TRIVIUM_ADMIN_LISTEN: 'off',
      ...env,
    },
  })
  afterwards(folder.remove)
  afterwards(() => forgetSession(`${id}-plant-in`))
  afterwards(async () => expect(await gateway.stop()).toMatchObject({ code: 0 }))
  for (const link of connected) await gateway.wrote(new RegExp(`"${link.replace(' as', ' is connected as')}`))
}

/** The persistent session that the gateway leaves at the broker. */
async function forgetSession(clientId: string): Promise<void> {
  const client = await mqtt.connectAsync(brokerAddresses().mqtt, { clientId, clean: true, reconnectPeriod: 0 })
  await client.endAsync()
}

async function device(url = brokerAddresses().mqtt) {
  const client = await mqtt.connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0 })
  afterwards(() => client.endAsync(true))
  const got: { topic: string; payload: string }[] = []
  client.on('message', (topic, payload) => got.push({ topic, payload: payload.toString() }))
  return { client, got }
}

async function kafkaClient(...topics: string[]) {
  const kafka = new Kafka({ brokers: brokerAddresses().kafka, logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  afterwards(() => admin.disconnect())
  await createTopics(
    admin,
    topics.map((topic) => ({ topic, numPartitions: 2 })),
  )
  afterwards(() => admin.deleteTopics({ topics }))
  return kafka
}

async function recordsOf(kafka: Kafka, topic: string) {
  const consumer = kafka.consumer({ groupId: `${id}-test`, maxWaitTimeInMs: 50 })
  afterwards(() => consumer.disconnect())
  const got: { key: string | undefined; value: string | undefined; site: string | undefined }[] = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ message }) => {
      got.push({
        key: message.key?.toString(),
        value: message.value?.toString(),
        site: message.headers?.site?.toString(),
      })
    },
  })
  return got
}

test('each file of examples/ has its test here', () => {
  const source = readFileSync(import.meta.filename, 'utf8')
  for (const name of readdirSync(join(root, 'examples'))) expect(source).toContain(`exampleText('${name}')`)
})

describe('examples/mqtt-to-kafka.yaml', () => {
  const text = exampleText('mqtt-to-kafka.yaml')

  test('has ten lines', () => {
    expect(text.trimEnd().split('\n')).toHaveLength(10)
  })

  test('brings telemetry into the topic of its site, in the order of its device', async () => {
    const kafka = await kafkaClient(`telemetry.${id}`)
    await run(text, ['plant as source', 'events as sink'])
    const { client } = await device()
    for (let n = 0; n < 20; n += 1) {
      await client.publishAsync(`sensors/${id}/${n % 2}/telemetry`, `{"n":${n}}`, { qos: 1 })
    }
    const got = await recordsOf(kafka, `telemetry.${id}`)
    await eventually(() => got.length >= 20, { withinMs: 30_000, what: '20 records' })
    for (const key of ['0', '1']) {
      const values = got.filter((record) => record.key === key).map(({ value }) => value)
      expect(values).toEqual(Array.from({ length: 10 }, (_, n) => `{"n":${2 * n + Number(key)}}`))
    }
    expect(new Set(got.map(({ site }) => site))).toEqual(new Set([id]))
  })
})

describe('examples/amqp-commands.yaml', () => {
  const text = exampleText('amqp-commands.yaml')

  async function office(name: string) {
    const connection = await amqplib.connect(brokerAddresses().amqp)
    afterwards(() => connection.close())
    afterwards(async () => {
      const channel = await connection.createChannel()
      for (const queue of [name, `${name}.dead`]) await channel.deleteQueue(queue)
      await channel.deleteExchange(name)
    })
    return connection.createConfirmChannel()
  }

  test('brings commands to the device they name, and keeps those it cannot understand', async () => {
    const name = `plant-commands-${id}`
    const channel = await office(name)
    const { client, got } = await device()
    await client.subscribeAsync(`devices/${id}/commands`, { qos: 1 })
    await run(text.replaceAll('plant-commands', name), ['office as source', 'plant as sink'])
    const send = (body: string) => channel.publish(name, `device.${id}`, Buffer.from(body), { persistent: true })
    send('{"command":"set-limit","limit":80}')
    send('{"command":"self-destruct"}')
    send('{"command":"restart"}')
    await channel.waitForConfirms()
    await eventually(() => got.length >= 2, { what: 'two commands' })
    const commands = got.map(({ payload }) => JSON.parse(payload))
    expect(commands).toEqual([
      { command: 'set-limit', limit: 80, issuedAt: expect.any(String) },
      { command: 'restart', issuedAt: expect.any(String) },
    ])
  })

  test('a command no longer valid waits in the dead letter queue with its reason', async () => {
    const name = `plant-commands-${id}`
    const channel = await office(name)
    await run(text.replaceAll('plant-commands', name), ['office as source', 'plant as sink'])
    await channel.assertQueue(`${name}.dead`, { durable: true })
    // an expiry of its own, which the broker does not know: it is over when the message arrives
    const headers = { cloudEvents_specversion: '1.0', cloudEvents_id: '1', cloudEvents_source: '/office' }
    const expired = {
      cloudEvents_type: 'Command',
      cloudEvents_time: '2020-01-01T00:00:00Z',
      cloudEvents_trvttl: '1000',
    }
    channel.publish(name, `device.${id}`, Buffer.from('{"command":"restart"}'), { headers: { ...headers, ...expired } })
    await channel.waitForConfirms()
    const dead = await eventually(async () => (await channel.get(`${name}.dead`, { noAck: true })) || undefined, {
      what: 'a dead letter',
    })
    expect(dead.content.toString()).toBe('{"command":"restart"}')
    expect(dead.properties.headers).toMatchObject({ 'trivium-dlq-reason': 'expired', 'trivium-dlq-route': 'commands' })
  })
})

describe('examples/orders-to-http.yaml', () => {
  test('an order is one signed request; while the service is away it waits; what it refuses is a dead letter', async () => {
    const queue = `shop-orders-${id}`
    const port = await freePort()
    const text = exampleText('orders-to-http.yaml').replaceAll('shop-orders', queue)
    const secret = `whsec_${Buffer.from(randomUUID()).toString('base64')}`
    await run(text, ['office as source'], { SHOP_URL: `http://127.0.0.1:${port}`, SHOP_SECRET: secret })
    const connection = await amqplib.connect(brokerAddresses().amqp)
    afterwards(() => connection.close())
    const channel = await connection.createConfirmChannel()
    afterwards(() => channel.deleteQueue(queue))
    const send = (order: object) => channel.sendToQueue(queue, Buffer.from(JSON.stringify(order)), { persistent: true })
    send({ id: 'a/7', customer: 'berlin', total: 250 })
    send({ id: 'bad', customer: 'berlin', total: 1 })
    send({ id: 'b8', customer: 'berlin', total: 12 })
    await channel.waitForConfirms()
    await eventually(async () => (await channel.checkQueue(queue)).messageCount === 0, { what: 'orders taken' })

    const shop = await serve(
      ({ path }, response) => void response.writeHead(path.includes('bad') ? 422 : 201).end(),
      port,
    )
    afterwards(() => shop.close())
    await eventually(() => shop.got.length === 3, { withinMs: 60_000, what: 'the orders at the shop' })
    expect(shop.got.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'PUT /orders/a%2F7?notify=phone',
      'PUT /orders/bad?notify=mail',
      'PUT /orders/b8?notify=mail',
    ])
    const [{ headers, body }] = shop.got as [(typeof shop.got)[0]]
    const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`
    const key = Buffer.from(secret.slice('whsec_'.length), 'base64')
    expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', key).update(signed).digest('base64')}`)
    expect(headers['x-customer']).toBe('berlin')
  })
})

describe('examples/http-to-kafka.yaml', () => {
  const text = exampleText('http-to-kafka.yaml')

  test('answers 202 for what it has stored, 401 without the token, and a repeated request is one record', async () => {
    const topic = `device-events-${id}`
    const kafka = await kafkaClient(topic)
    const listen = `http://127.0.0.1:${await freePort()}`
    const env = { HTTP_LISTEN: listen, HTTP_TOKEN: 'token-of-the-example' }
    await run(text.replaceAll('topic: device-events', `topic: ${topic}`), ['api as source', 'events as sink'], env)
    const post = (headers: Record<string, string>) =>
      fetch(`${listen}/devices/7/events?site=${id}`, { method: 'POST', body: '{"t":31.5}', headers })
    const headers = { authorization: `Bearer ${env.HTTP_TOKEN}`, 'idempotency-key': 'event-1' }
    expect((await post({})).status).toBe(401)
    for (const key of ['event-1', 'event-1', 'event-2']) {
      const answer = await post({ ...headers, 'idempotency-key': key })
      expect([answer.status, await answer.json()]).toEqual([202, { messageId: key }])
    }
    const got = await recordsOf(kafka, topic)
    await eventually(() => got.length >= 2, { withinMs: 30_000, what: 'two records' })
    expect(got).toEqual(Array(2).fill({ key: '7', value: '{"t":31.5}', site: id }))
  })
})

describe('examples/webhooks.yaml', () => {
  const text = exampleText('webhooks.yaml')

  test('brings what GitHub and Stripe have signed into a queue, once, and nothing else', async () => {
    const queue = `webhooks-${id}`
    const connection = await amqplib.connect(brokerAddresses().amqp)
    afterwards(() => connection.close())
    const channel = await connection.createChannel()
    await channel.assertQueue(queue)
    afterwards(() => channel.deleteQueue(queue))
    const got: unknown[] = []
    const take = ({ content, properties }: amqplib.ConsumeMessage) => got.push([properties.type, content.toString()])
    await channel.consume(queue, (message) => void (message && take(message)), { noAck: true })
    const env = { HOOKS_LISTEN: `http://127.0.0.1:${await freePort()}`, GITHUB_SECRET: 'hub', STRIPE_SECRET: 'whsec_s' }
    await run(text.replaceAll('queue: webhooks', `queue: ${queue}`), ['hooks as source', 'orders as sink'], env)
    const sign = (secret: string, signed: string) => createHmac('sha256', secret).update(signed).digest('hex')
    const post = async (path: string, body: string, headers: Record<string, string>) =>
      (await fetch(env.HOOKS_LISTEN + path, { method: 'POST', body, headers })).status
    const push = {
      'x-github-event': 'push',
      'x-github-delivery': id,
      'x-hub-signature-256': `sha256=${sign('hub', '{}')}`,
    }
    expect(await post('/github', '{}', push)).toBe(202)
    expect(await post('/github', '{}', push)).toBe(202)
    expect(await post('/github', '{ }', push)).toBe(401)
    const paid = `{"id":"${id}","type":"invoice.paid"}`
    const time = Math.floor(Date.now() / 1000)
    const stripe = (at: number) => ({ 'stripe-signature': `t=${at},v1=${sign('whsec_s', `${at}.${paid}`)}` })
    expect(await post('/stripe', paid, stripe(time))).toBe(202)
    expect(await post('/stripe', paid, stripe(time - 1))).toBe(202)
    expect(await post('/stripe', paid, stripe(time - 3_600))).toBe(401)
    await eventually(() => got.length >= 2, { what: 'two messages' })
    expect(got.toSorted()).toEqual([
      ['invoice.paid', paid],
      ['push', '{}'],
    ])
  })
})

describe('examples/live-events.yaml', () => {
  const text = exampleText('live-events.yaml')

  test('is the one of docs/http.md; curl follows a site live, on the port that takes its readings', async () => {
    const [, shown = ''] = text.split(/^(?=connections:)/m)
    const page = readFileSync(join(root, 'docs/http.md'), 'utf8')
    expect(page).toContain(shown.replace(/\$\{env:API_LISTEN:-([^}]*)\}/, '$1'))
    const env = { API_LISTEN: `http://127.0.0.1:${await freePort()}` }
    await run(text, ['api as source', 'api as sink'], env)
    const curl = new RunningProcess('curl', ['-sN', `${env.API_LISTEN}/live/berlin`])
    afterwards(() => curl.stop())
    await curl.wrote(/^retry: 2000$/m)
    const [written = ''] = /^curl http\S+\/readings .*$/m.exec(page) ?? []
    const command = written.replace('http://127.0.0.1:8080', env.API_LISTEN)
    const other = command.replaceAll('berlin', 'hamburg').replaceAll('reading-1', 'other')
    for (const line of [other, command]) {
      const { stdout } = await new RunningProcess('sh', ['-c', line]).ended
      expect(JSON.parse(stdout)).toHaveProperty('messageId')
    }
    await curl.wrote(/\nid: reading-1\ndata: \{"t":31\.5\}\n\n$/)
    expect(curl.output).not.toContain('other')
  })
})

describe('examples/sidecar.yaml', () => {
  const text = exampleText('sidecar.yaml')

  test('an application with nothing but plain MQTT on this machine sends to Kafka and hears from it', async () => {
    const [events, commands] = [`app-events-${id}`, `app-commands-${id}`]
    const kafka = await kafkaClient(`${events}.orders`, commands)
    const port = String(await freePort())
    const own = text.replaceAll('app-events', events).replaceAll('app-commands', commands)
    await run(own, ['events as source', 'app as source'], { POD_NAME: id, APP_MQTT_PORT: port })

    const { client, got } = await device(`mqtt://127.0.0.1:${port}`)
    await client.subscribeAsync('in/#', { qos: 1 })
    await client.publishAsync('out/orders/4711', '{"total":12.50}', { qos: 1 })
    const records = await recordsOf(kafka, `${events}.orders`)
    await eventually(() => records.length > 0, { withinMs: 30_000, what: 'the order in Kafka' })
    expect(records).toEqual([{ key: '4711', value: '{"total":12.50}', site: undefined }])

    const producer = kafka.producer()
    await producer.connect()
    afterwards(() => producer.disconnect())
    const commandTo = (value: string, target?: string) => ({ value, headers: target === undefined ? {} : { target } })
    // a group without a position begins at the end: sent again until the first has come through
    await eventually(
      async () => {
        await producer.send({ topic: commands, messages: [commandTo('another', 'other'), commandTo('all')] })
        return got.length > 0
      },
      { withinMs: 30_000, what: 'a command' },
    )
    await producer.send({ topic: commands, messages: [commandTo('mine', 'app')] })
    await eventually(() => got.some(({ payload }) => payload === 'mine'), { what: 'the command to this application' })
    expect(new Set(got.map(({ payload }) => payload))).toEqual(new Set(['all', 'mine']))
  })
})
