/** Requests and replies over Kafka, marked as Spring's clients do, and between Kafka and the others. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { IHeaders } from 'kafkajs'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { Bench } from '../support/contexts/amqp.ts'
import { RpcAsker, rpcReplier } from '../support/contexts/amqp-rpc.ts'
import { makeTopic } from '../support/contexts/kafka.ts'
import { KafkaAsker, type KafkaReplier, kafkaReplier } from '../support/contexts/kafka-rpc.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

const topicOf = async (partitions = 1) => await makeTopic({ partitions })

let bench: Bench
let topics: { toAmqp: string; toKafka: string; toFixed: string; workers: string; answers: string; replies: string }
let queues: { questions: string; workers: string }
let port: number
let worker: KafkaReplier
let asker: KafkaAsker
const gateways: TestGateway[] = []

/** One that shares the topic of replies with the others; `asks` is a topic of its own. */
async function start(asks: string): Promise<TestGateway> {
  const gateway = new TestGateway(`
gateway: { id: ${unique('gw')}, dataDir: "\${env:TRIVIUM_DATA_DIR}", admin: false, drain: 500ms }
connections:
  events: { protocol: kafka, brokers: ["${brokerAddresses().kafka}"], replyTopic: ${topics.replies} }
  orders: { protocol: amqp, url: "${brokerAddresses().amqp}" }
  api: { protocol: http, listen: "http://127.0.0.1:${asks === topics.toKafka ? port : await freePort()}" }
routes:
  - { name: kafka-kafka, from: { connection: events, topic: ${asks} }, to: [{ connection: events, topic: ${topics.workers} }], request: { timeout: 15s } }
${asks === topics.toKafka ? others() : ''}`)
  gateways.push(gateway)
  return await gateway.ready()
}

const others = () => `
  - { name: kafka-amqp, from: { connection: events, topic: ${topics.toAmqp} }, to: [{ connection: orders, queue: ${queues.workers} }], request: { timeout: 1s } }
  - { name: fixed, from: { connection: events, topic: ${topics.toFixed} }, to: [{ connection: orders, queue: ${queues.workers} }], request: { timeout: 15s, to: { topic: ${topics.answers} } } }
  - { name: amqp-kafka, from: { connection: orders, queue: ${queues.questions} }, to: [{ connection: events, topic: ${topics.workers} }], request: { timeout: 15s } }
  - { name: http-kafka, from: { connection: api, method: POST, path: /ask }, to: [{ connection: events, topic: ${topics.workers} }], request: { timeout: 15s } }
`

beforeAll(async () => {
  bench = new Bench()
  port = await freePort()
  const [toAmqp, toKafka, toFixed, workers] = [await topicOf(), await topicOf(), await topicOf(), await topicOf()]
  topics = { toAmqp, toKafka, toFixed, workers, answers: await topicOf(3), replies: await topicOf(2) }
  queues = { questions: await bench.queue(), workers: await bench.queue() }
  await start(topics.toKafka)
  const joining = [
    kafkaReplier(topics.workers, (text) => (text.includes('quiet') ? undefined : `${text}!`)),
    KafkaAsker.open(topics.answers),
  ] as const
  ;[worker, asker] = await Promise.all(joining)
  await rpcReplier(bench, queues.workers, (text) => (text.includes('quiet') ? undefined : `${text}!`))
}, 120_000)
afterAll(async () => {
  await Promise.all([asker?.close(), worker?.close()])
  await Promise.all(gateways.map((gateway) => gateway.stop()))
  await bench.end()
}, 60_000)

const exchange = (route: string, gateway = gateways[0]!) => gateway.route(route).exchange!
const letterOf = (text: string) =>
  eventually(() => gateways[0]!.letters().find(({ envelope }) => String(envelope.payload) === text), { what: text })
const settled = (route: string) => eventually(() => exchange(route).outstanding === 0, { what: 'all to be settled' })

describe('a request over kafka', () => {
  test('is answered by a worker of RabbitMQ at the partition asked for, its correlation untouched', async () => {
    const correlation = Buffer.from('fffe00000000000000000000000000ff', 'hex')
    const answer = await asker.ask(topics.toAmqp, 'q', { correlation, partition: 2 })
    expect(answer).toMatchObject({ text: 'q!', partition: 2 })
    await settled('kafka-amqp')
    expect(exchange('kafka-amqp')).toMatchObject({ returned: 1, late: 0, unknown: 0 })
  })

  test('that nobody answers in time is told so with its correlation', async () => {
    const { headers, text } = await asker.ask(topics.toAmqp, 'quiet')
    expect(headers).toMatchObject({ 'trivium-error': 'REPLY_TIMEOUT' })
    expect(JSON.parse(text)).toMatchObject({ error: 'REPLY_TIMEOUT' })
  })

  test('names its reply address in the envelope as well', async () => {
    const headers = { ce_specversion: '1.0', ce_trvreply: `kafka:${topics.answers}/1` }
    expect(await asker.ask(topics.toAmqp, 'by event', { headers })).toMatchObject({ text: 'by event!', partition: 1 })
  })

  test('with a correlation alone is answered where the route says', async () => {
    expect(await asker.ask(topics.toFixed, 'fixed', { headers: {} })).toMatchObject({ text: 'fixed!' })
  })

  test('without a reply address is a dead letter, and is not asked', async () => {
    void asker.ask(topics.toAmqp, 'whisper', { headers: { kafka_replyPartition: Buffer.alloc(4) } })
    expect((await letterOf('whisper')).error.code).toBe('REPLY_ADDRESS_MISSING')
  })

  test('whose reply topic, or its partition, is not there is settled, and its reply is kept', async () => {
    void asker.ask(topics.toAmqp, 'from nowhere', { headers: { kafka_replyTopic: unique('missing') } })
    void asker.ask(topics.toAmqp, 'out of bounds', { partition: 3 })
    for (const text of ['from nowhere!', 'out of bounds!'])
      expect(await letterOf(text)).toMatchObject({ reason: 'late-reply' })
    await settled('kafka-amqp')
  })
})

describe('a worker of kafka', () => {
  test('answers a request of kafka, told where, and no more', async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, n) => asker.ask(topics.toKafka, `q${n}`, { partition: n % 3 })),
    )
    expect(answers.map(({ text, partition }) => [text, partition])).toEqual(
      Array.from({ length: 100 }, (_, n) => [`q${n}!`, n % 3]),
    )
    const { headers = {} } = worker.heard.find(({ value }) => String(value) === 'q7')!
    expect(String(headers.kafka_replyTopic)).toBe(topics.replies)
    expect(String(headers.kafka_correlationId)).toMatch(/^[0-9a-f]{24}-[\w-]+$/)
    expect(headers.kafka_replyPartition).toBeUndefined()
    expect(asker.strangers).toEqual([])
  })

  test('answers an RPC client of RabbitMQ', async () => {
    const client = await RpcAsker.open(bench)
    expect((await client.ask(queues.questions, 'rpc', { correlationId: 'mine' })).text).toBe('rpc!')
  })

  test('answers a call over HTTP', async () => {
    const response = await fetch(`http://127.0.0.1:${port}/ask`, { method: 'POST', body: 'call' })
    expect({ status: response.status, text: await response.text() }).toEqual({ status: 200, text: 'call!' })
  })

  test('answers one of two gateways that share a topic of replies, and the other leaves that alone', async () => {
    const asks = await topicOf()
    const second = await start(asks)
    const asking = Array.from({ length: 50 }, (_, n) => [
      asker.ask(asks, `second ${n}`),
      asker.ask(topics.toKafka, `first ${n}`),
    ])
    expect((await Promise.all(asking.flat())).map(({ text }) => text)).toEqual(
      asking.flatMap((_, n) => [`second ${n}!`, `first ${n}!`]),
    )
    expect(exchange('kafka-kafka', second)).toMatchObject({ replies: 50, returned: 50, unknown: 0, late: 0 })

    const outstanding = asker.ask(asks, 'quiet for now')
    const request = await eventually(() => worker.heard.find(({ value }) => String(value) === 'quiet for now'), {
      what: 'the question',
    })
    await second.stop()
    gateways.pop()
    expect((await outstanding).headers).toMatchObject({ 'trivium-error': 'GATEWAY_STOPPING' })
    const before = exchange('kafka-kafka').replies
    await worker.reply(request, 'to one that is gone')
    expect((await asker.ask(topics.toKafka, 'go on')).text).toBe('go on!')
    expect(exchange('kafka-kafka')).toMatchObject({ replies: before + 1, unknown: 0, late: 0 })
  })

  test('that answers too late, or to nothing, reaches nobody, and its replies are kept', async () => {
    const { heard, reply } = worker
    const [request] = heard
    await reply(request!, 'twice')
    const headers: IHeaders = { ...request!.headers, kafka_correlationId: 'nonsense' }
    await reply({ headers }, 'strange')
    await eventually(() => exchange('kafka-kafka').late === 1 && exchange('kafka-kafka').unknown === 1, {
      what: 'the late one and the strange one',
    })
    for (const text of ['twice', 'strange']) expect((await letterOf(text)).reason).toBe('late-reply')
    expect(asker.strangers).toEqual([])
  })
})
