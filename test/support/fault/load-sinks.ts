/** Readers, one for each kind of target: they read all there is from the beginning, whatever happens to the broker. */

import { setTimeout as sleep } from 'node:timers/promises'
import amqplib, { type Channel, type ChannelModel } from 'amqplib'
import { type Consumer, Kafka, logLevel } from 'kafkajs'
import mqtt from 'mqtt'
import { brokerAddresses } from '../brokers/addresses.ts'
import { unique } from '../names.ts'
import { type ConnectionOptions, connectionYaml } from '../places/connections.ts'
import { createTopics } from '../places/topics.ts'
import type { Oracle } from './oracle.ts'

export const loadSinkNames = ['kafka', 'amqp', 'mqtt'] as const
export type LoadSinkName = (typeof loadSinkNames)[number]

export interface LoadSinkOptions extends ConnectionOptions {
  /** Where the reader finds the broker. Default: the shared broker. */
  readonly address?: string
}

export interface LoadSink {
  readonly name: string
  /** YAML of the gateway's connection, and of a target behind `connection: …` for messages with the key of `expression`. */
  readonly connection: string
  to(expression: string): string
  /** Tells the oracle of every copy, from the beginning. */
  listen(oracle: Oracle): Promise<void>
  /** AMQP only: the broker refuses what is sent here, for good or for now, until `admit`. */
  refuse?(how: 'unroutable' | 'nack'): Promise<void>
  admit?(): Promise<void>
  close(): Promise<unknown>
}

export function makeLoadSink(kind: LoadSinkName, options: LoadSinkOptions = {}): Promise<LoadSink> {
  return { kafka: kafkaOutlet, amqp: amqpOutlet, mqtt: mqttOutlet }[kind](options)
}

async function kafkaOutlet(options: LoadSinkOptions): Promise<LoadSink> {
  const { address = brokerAddresses().kafka[0]! } = options
  const topic = unique('o')
  const retry = { retries: 8, initialRetryTime: 100, maxRetryTime: 1_000 }
  const kafka = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING, requestTimeout: 5_000, retry })
  const admin = kafka.admin()
  await admin.connect()
  await createTopics(admin, [{ topic, numPartitions: 3 }])
  let reader: KafkaReader | undefined
  return {
    name: topic,
    connection: connectionYaml('kafka', address, options),
    to: (expression) => `topic: ${topic}, key: "{${expression}}"`,
    async listen(oracle) {
      reader = new KafkaReader(kafka, topic, oracle)
      await reader.begin()
    },
    async close() {
      await reader?.close()
      await admin.disconnect().catch(() => {})
      await admin.connect()
      await admin.deleteTopics({ topics: [topic] }).catch(() => {})
      await admin.disconnect()
    },
  }
}

const leastPatienceMs = 5_000

/** kafkajs may stop reading for good when a broker restarts: then another consumer begins anew, and skips what is known. */
class KafkaReader {
  readonly #kafka: Kafka
  readonly #topic: string
  readonly #oracle: Oracle
  readonly #nextOffsets = new Map<number, number>()
  readonly #watch: NodeJS.Timeout
  #consumer: Consumer | undefined
  #progressAt = performance.now()
  #patienceMs = leastPatienceMs
  #isClosed = false

  constructor(kafka: Kafka, topic: string, oracle: Oracle) {
    this.#kafka = kafka
    this.#topic = topic
    this.#oracle = oracle
    this.#watch = setInterval(() => {
      if (performance.now() - this.#progressAt > this.#patienceMs && !oracle.isComplete) this.#beginAnew()
    }, 1_000)
  }

  /** With twice the patience: a broker that is slow gives a consumer nothing for a while. */
  #beginAnew(): void {
    this.#patienceMs = Math.min(2 * this.#patienceMs, 8 * leastPatienceMs)
    void this.begin().catch(() => {})
  }

  async begin(): Promise<void> {
    this.#progressAt = performance.now()
    void this.#consumer?.disconnect().catch(() => {})
    const retry = { restartOnFailure: async () => false }
    const consumer = this.#kafka.consumer({ groupId: unique('o'), maxWaitTimeInMs: 100, retry })
    this.#consumer = consumer
    await consumer.connect()
    if (this.#isClosed) await consumer.disconnect()
    if (this.#isClosed) return
    await consumer.subscribe({ topic: this.#topic, fromBeginning: true })
    await consumer.run({
      eachBatch: async ({ batch: { partition, messages } }) => {
        this.#progressAt = performance.now()
        this.#patienceMs = leastPatienceMs
        for (const { offset, key, value } of messages) {
          if (Number(offset) < (this.#nextOffsets.get(partition) ?? 0)) continue
          this.#nextOffsets.set(partition, Number(offset) + 1)
          this.#oracle.deliver(value ?? Buffer.alloc(0), { key: key?.toString() })
        }
      },
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#watch)
    await this.#consumer?.disconnect().catch(() => {})
  }
}

async function amqpOutlet(options: LoadSinkOptions): Promise<LoadSink> {
  const { address = brokerAddresses().amqp } = options
  const queue = unique('o')
  let connection: ChannelModel | undefined
  let isClosed = false
  const dial = async () => {
    const made = await amqplib.connect(address, { timeout: 5_000 })
    made.on('error', () => {})
    const channel = await made.createChannel()
    channel.on('error', () => {})
    await channel.assertQueue(queue, { durable: true })
    return { connection: made, channel }
  }
  const consume = async (oracle: Oracle): Promise<void> => {
    const { connection: made, channel } = await dial()
    connection = made
    made.once('close', () => void again(oracle))
    await channel.prefetch(1_000)
    await channel.consume(queue, (message) => {
      if (message === null) return
      const { key } = (message.properties.headers ?? {}) as { key?: string }
      oracle.deliver(message.content, { key, isAgain: message.fields.redelivered })
      channel.ack(message)
    })
  }
  const again = async (oracle: Oracle): Promise<void> => {
    while (!isClosed) {
      await sleep(100)
      try {
        return await consume(oracle)
      } catch {
        // the broker is still away
      }
    }
  }
  const exchange = queue
  const stuffed = `${queue}-stuffed` // takes nothing: whoever sends there gets a negative acknowledgement
  const briefly = async (use: (channel: Channel) => Promise<unknown>) => {
    const { connection: own, channel } = await dial()
    await use(channel)
    await own.close()
  }
  await briefly(async (channel) => {
    await channel.assertExchange(exchange, 'direct', { durable: true })
    await channel.bindQueue(queue, exchange, '')
  })
  return {
    name: queue,
    connection: connectionYaml('amqp', address, options),
    to: () => `exchange: ${exchange}, routingKey: ""`,
    listen: consume,
    refuse: (how) =>
      briefly(async (channel) => {
        if (how === 'nack') {
          const limits = { 'x-max-length': 0, 'x-overflow': 'reject-publish' }
          await channel.assertQueue(stuffed, { durable: true, arguments: limits })
          await channel.bindQueue(stuffed, exchange, '')
        }
        await channel.unbindQueue(queue, exchange, '')
      }),
    admit: () =>
      briefly(async (channel) => {
        await channel.bindQueue(queue, exchange, '')
        await channel.deleteQueue(stuffed)
      }),
    async close() {
      isClosed = true
      await connection?.close().catch(() => {})
      await briefly(async (channel) => {
        await channel.deleteQueue(queue)
        await channel.deleteExchange(exchange)
      })
    },
  }
}

async function mqttOutlet(options: LoadSinkOptions): Promise<LoadSink> {
  const { address = brokerAddresses().mqtt } = options
  const root = unique('o')
  const dial = { clientId: `${root}-reader`, protocolVersion: 4, clean: false, reconnectPeriod: 200 } as const
  const first = await mqtt.connectAsync(address, dial) // a session, so that nothing is gone before the reader is there
  await first.subscribeAsync(`${root}/#`, { qos: 1 })
  await first.endAsync()
  let client: mqtt.MqttClient | undefined
  return {
    name: root,
    connection: connectionYaml('mqtt', address, options),
    to: (expression) => `topic: "${root}/{${expression}}", qos: 1`,
    async listen(oracle) {
      client = mqtt.connect(address, dial)
      client.on('error', () => {})
      client.on('message', (topic, payload, { dup }) =>
        oracle.deliver(payload, { key: topic.split('/').at(-1), isAgain: dup }),
      )
    },
    async close() {
      await client?.endAsync(true)
      const last = await mqtt.connectAsync(address, { ...dial, clean: true, reconnectPeriod: 0 })
      await last.endAsync()
    },
  }
}
