/** Independent clients of the three protocols: plain use of the libraries, nothing of the gateway's. */

import { randomUUID } from 'node:crypto'
import amqplib from 'amqplib'
import { Kafka, logLevel } from 'kafkajs'
import mqtt from 'mqtt'
import { brokerAddresses } from '../brokers/addresses.ts'
import { createTopics } from './topics.ts'

export interface Sent {
  readonly key: string
  readonly text: string
}
export interface Got {
  readonly key: string | undefined
  readonly payload: Buffer
  readonly headers: Readonly<Record<string, unknown>>
}

/** One end of a road: a place at a real broker that a test writes to or reads from. */
export interface End {
  /** The connection's YAML, without its name. */
  readonly connection: string
  /** The YAML of `from`, behind `connection: name,`, and the expression that gives a message's key there. */
  readonly from: string
  readonly keyOf: string
  /** The YAML of a target, behind `connection: name,`, for a message whose key `expression` gives. */
  to(expression: string): string
  /** Sends all and waits until the broker has them. */
  produce(messages: readonly Sent[]): Promise<void>
  /** Everything that has arrived since `listen`. */
  readonly got: readonly Got[]
  listen(): Promise<void>
  close(): Promise<void>
}

export type EndName = 'mqtt' | 'amqp' | 'kafka'
export const endNames: readonly EndName[] = ['mqtt', 'amqp', 'kafka']

export function makeEnd(name: EndName): Promise<End> {
  return { mqtt: mqttEnd, amqp: amqpEnd, kafka: kafkaEnd }[name]()
}

const fresh = (): string => `t${randomUUID().slice(0, 12)}`

/** Topic `<root>/<key>`; the key is the last level. */
export async function mqttEnd(
  url: string = brokerAddresses().mqtt,
  connection = `{ protocol: mqtt, url: "${url}" }`,
): Promise<End> {
  const root = fresh()
  const got: Got[] = []
  const client = await mqtt.connectAsync(url, { protocolVersion: 4, clientId: fresh(), reconnectPeriod: 0 })
  client.on('message', (topic, payload) => got.push({ key: topic.split('/').at(-1), payload, headers: {} }))
  return {
    connection,
    from: `topic: "${root}/{key}", qos: 1`,
    keyOf: 'params.key',
    to: (expression) => `topic: "${root}/{${expression}}", qos: 1`,
    async produce(messages) {
      await Promise.all(messages.map(({ key, text }) => client.publishAsync(`${root}/${key}`, text, { qos: 1 })))
    },
    got,
    async listen() {
      await client.subscribeAsync(`${root}/#`, { qos: 1 })
    },
    close: () => client.endAsync(true),
  }
}

/** A durable queue of the default exchange; the key is a header. */
export async function amqpEnd(): Promise<End> {
  const { amqp } = brokerAddresses()
  const queue = fresh()
  const got: Got[] = []
  const connection = await amqplib.connect(amqp)
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue(queue, { durable: true })
  return {
    connection: `{ protocol: amqp, url: "${amqp}" }`,
    from: `queue: ${queue}`,
    keyOf: 'headers.key',
    to: () => `queue: ${queue}`,
    async produce(messages) {
      for (const { key, text } of messages) {
        channel.sendToQueue(queue, Buffer.from(text), { persistent: true, headers: { key } })
      }
      await channel.waitForConfirms()
    },
    got,
    async listen() {
      await channel.consume(queue, (message) => {
        if (message === null) return
        const headers = (message.properties.headers ?? {}) as Record<string, unknown>
        got.push({ key: headers.key as string | undefined, payload: message.content, headers })
        channel.ack(message)
      })
    },
    async close() {
      await channel.deleteQueue(queue)
      await connection.close()
    },
  }
}

/** A topic of three partitions; the key is the record's. */
export async function kafkaEnd(): Promise<End> {
  const { kafka: brokers } = brokerAddresses()
  const topic = fresh()
  const got: Got[] = []
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  await createTopics(admin, [{ topic, numPartitions: 3 }])
  const producer = kafka.producer()
  await producer.connect()
  const consumer = kafka.consumer({ groupId: fresh(), maxWaitTimeInMs: 50 })
  return {
    connection: `{ protocol: kafka, brokers: [${brokers.map((broker) => `"${broker}"`).join(', ')}] }`,
    from: `topic: ${topic}, group: ${fresh()}`,
    keyOf: 'key',
    to: (expression) => `topic: ${topic}, key: "{${expression}}"`,
    async produce(messages) {
      await producer.send({ topic, messages: messages.map(({ key, text }) => ({ key, value: text })) })
    },
    got,
    async listen() {
      await consumer.connect()
      await consumer.subscribe({ topic, fromBeginning: true })
      await consumer.run({
        eachMessage: async ({ message }) => {
          got.push({
            key: message.key?.toString(),
            payload: message.value ?? Buffer.alloc(0),
            headers: { ...message.headers },
          })
        },
      })
    },
    async close() {
      await Promise.all([consumer.disconnect(), producer.disconnect()])
      await admin.deleteTopics({ topics: [topic] }).catch(() => {})
      await admin.disconnect()
    },
  }
}
