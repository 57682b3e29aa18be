/** Requests over Kafka that are outstanding while the broker restarts, or the gateway is killed. */
import { expect, test } from '@jest/globals'
import { Kafka, logLevel } from 'kafkajs'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { startKafka } from '../support/brokers/kafka.ts'
import { KafkaAsker, kafkaReplier } from '../support/contexts/kafka-rpc.ts'
import { GatewayProcess } from '../support/fault/gateway-process.ts'
import { inScope, type Scope } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import { createTopics } from '../support/places/topics.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

/** The supervisor may wait 30 s between two attempts, and a Kafka group 15 s for a member that is gone. */
const patientMs = 150_000
const texts = Array.from({ length: 20 }, (_, n) => `q${n}`)
const answered = texts.map((text) => `${text}!`)

async function topicsAt(brokers: readonly string[], scope: Scope) {
  const topics = { asks: unique('asks'), work: unique('work'), answers: unique('answers'), replies: unique('replies') }
  const admin = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).admin()
  await scope.use(admin.connect().then(() => ({ close: () => admin.disconnect() })))
  await createTopics(
    admin,
    Object.values(topics).map((topic) => ({ topic, numPartitions: 2 })),
  )
  return topics
}

/** Through it callers of HTTP and of Kafka ask the same workers. */
async function gatewayFor(brokers: readonly string[], scope: Scope) {
  const topics = await topicsAt(brokers, scope)
  const port = await freePort()
  const gateway = await GatewayProcess.create(`
gateway: { id: ${unique('talk')}, drain: 500ms }
connections:
  events: { protocol: kafka, brokers: ["${brokers.join()}"], replyTopic: ${topics.replies} }
  api: { protocol: http, listen: "http://127.0.0.1:${port}", answerTimeout: 200s }
routes:
  - { name: topic, from: { connection: events, topic: ${topics.asks} }, to: [{ connection: events, topic: ${topics.work} }], request: { timeout: 190s } }
  - { name: call, from: { connection: api, method: POST, path: /ask }, to: [{ connection: events, topic: ${topics.work} }], request: { timeout: 190s } }
`)
  scope.after(() => gateway.stop())
  await gateway.start()
  const call = async (text: string) => {
    const response = await fetch(`http://127.0.0.1:${port}/ask`, { method: 'POST', body: text })
    return await response.text()
  }
  return { gateway, topics, call }
}

test.concurrent(
  'a broker restarts while requests are outstanding: each is answered',
  () =>
    inScope(async (scope) => {
      const broker = await startKafka()
      scope.after(() => broker.stop())
      const brokers = [broker.address]
      const { topics, call } = await gatewayFor(brokers, scope)
      const asker = await scope.use(KafkaAsker.open(topics.answers, brokers))
      const quiet = await kafkaReplier(topics.work, () => undefined, brokers)
      const calling = Promise.all(texts.map(call))
      for (const text of texts) void asker.ask(topics.asks, text)
      await eventually(() => quiet.heard.length === 40, { what: 'all to be asked', withinMs: patientMs })
      await quiet.close()
      await broker.restart()
      await scope.use(kafkaReplier(topics.work, (text) => `${text}!`, brokers)) // reads all from the beginning
      const after = await scope.use(KafkaAsker.open(topics.answers, brokers))
      expect(await calling).toEqual(answered)
      const heard = () => new Set(after.strangers.map(({ text }) => text))
      await eventually(() => heard().size === 20, { what: 'every answer', withinMs: patientMs })
      expect([...heard()].toSorted()).toEqual(answered.toSorted())
    }),
  400_000,
)

test.concurrent(
  'a gateway is killed while requests are outstanding: those of the topic are asked again, and answered',
  () =>
    inScope(async (scope) => {
      const brokers = [brokerAddresses().kafka].flat()
      const { gateway, topics, call } = await gatewayFor(brokers, scope)
      const asker = await scope.use(KafkaAsker.open(topics.answers, brokers))
      let isQuiet = true
      const worker = await scope.use(kafkaReplier(topics.work, (text) => (isQuiet ? undefined : `${text}!`), brokers))
      const asking = Promise.all(texts.map((text) => asker.ask(topics.asks, text)))
      const calling = call('call').catch(() => 'reset')
      await eventually(() => worker.heard.length === 21, { what: 'all to be asked', withinMs: patientMs })
      const early = worker.heard.find(({ value }) => String(value) === 'q0')!
      await gateway.kill()
      expect(await calling).toBe('reset')
      await worker.reply(early, 'to one that is gone')
      isQuiet = false
      await gateway.start()
      expect((await asking).map(({ text }) => text)).toEqual(answered)
      expect(asker.strangers).toEqual([])
      const tokens = new Set(worker.heard.map(({ headers }) => String(headers?.kafka_correlationId)))
      expect(tokens.size).toBe(41)
    }),
  400_000,
)
