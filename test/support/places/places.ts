/** Queues and topics at real brokers, whose clients are made anew for each use, so that they outlive no broker. */

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll } from '@jest/globals'
import amqplib from 'amqplib'
import { Kafka, logLevel } from 'kafkajs'
import mqtt from 'mqtt'
import { brokerAddresses } from '../brokers/addresses.ts'
import { startProxy, type TcpProxy } from '../brokers/proxy.ts'
import { unique } from '../names.ts'
import { type BrokerName, type ConnectionOptions, connectionYaml, portOf } from './connections.ts'
import { createTopics } from './topics.ts'

/** What the shared brokers would otherwise keep; brokers of a test's own take theirs along. */
const removals: (() => Promise<unknown>)[] = []
afterAll(async () => {
  await Promise.all(removals.splice(0).map((remove) => remove().catch(() => {})))
}, 120_000)
function removeLater(options: PlaceOptions, remove: () => Promise<unknown>): void {
  if (options.address === undefined) removals.push(remove)
}

/** A client that sends; `send` resolves when the broker has all of them. */
export interface Sender {
  send(messages: readonly string[]): Promise<void>
  close(): Promise<unknown>
}
/** A client that reads all there is and all that comes. */
export interface Reader {
  readonly got: Got[]
  close(): Promise<unknown>
}
export interface Got {
  readonly text: string
  /** null: a tombstone. */
  readonly payload: Buffer | null
  readonly key: string | undefined
  readonly headers: Readonly<Record<string, unknown>>
  readonly contentType: string | undefined
}

/** A queue or topic. */
export interface Place {
  readonly name: string
  /** The connection's YAML, without its name. */
  readonly connection: string
  /** The YAML of `from` and of a target, behind `connection: name`. */
  readonly from: string
  readonly to: string
  sender(): Promise<Sender>
  reader(): Promise<Reader>
}

export interface PlaceOptions extends ConnectionOptions {
  /** Address for clients of the test; default: the shared broker. */
  readonly address?: string
}

export function placeAt(protocol: BrokerName, options: PlaceOptions = {}): Promise<Place> {
  return { mqtt: mqttPlace, amqp: amqpPlace, kafka: kafkaPlace }[protocol](options)
}

/** A message of `texts` carries its key. */
export const keyOf = (text: string): string => (JSON.parse(text) as { key: string }).key

/** The shared broker seen through a wire that can be cut; at `port` where the gateway looks for it already. */
export function wireTo(protocol: BrokerName, port?: number): Promise<TcpProxy> {
  return startProxy(portOf(sharedAddress(protocol)), port)
}

export function sharedAddress(protocol: BrokerName): string {
  const { kafka, amqp, mqtt: mqttAddress } = brokerAddresses()
  return { kafka: kafka[0]!, amqp, mqtt: mqttAddress }[protocol]
}

export async function amqpPlace(options: PlaceOptions = {}): Promise<Place> {
  const { address = brokerAddresses().amqp } = options
  const queue = unique('t')
  const dial = async () => {
    const connection = await amqplib.connect(address)
    connection.on('error', () => {})
    const channel = await connection.createConfirmChannel()
    channel.on('error', () => {})
    await channel.assertQueue(queue, { durable: true })
    return { channel, close: () => connection.close().catch(() => {}) }
  }
  await (await dial()).close()
  removeLater(options, async () => {
    const { channel, close } = await dial()
    await channel.deleteQueue(queue)
    await close()
  })
  return {
    name: queue,
    connection: connectionYaml('amqp', address, options),
    from: `queue: ${queue}`,
    to: `queue: ${queue}`,
    async sender() {
      const { channel, close } = await dial()
      return {
        close,
        async send(messages) {
          for (const text of messages) channel.sendToQueue(queue, Buffer.from(text), { persistent: true })
          await channel.waitForConfirms()
        },
      }
    },
    async reader() {
      const { channel, close } = await dial()
      const got: Got[] = []
      await channel.consume(queue, (message) => {
        if (message === null) return
        const { headers, contentType } = message.properties
        const payload = message.content
        got.push({ text: payload.toString(), payload, key: undefined, headers: headers ?? {}, contentType })
        channel.ack(message)
      })
      return { got, close }
    },
  }
}

/** How many messages a queue has ready. */
export async function queueDepth(queue: string, address = brokerAddresses().amqp): Promise<number> {
  const connection = await amqplib.connect(address)
  try {
    const channel = await connection.createChannel()
    return (await channel.checkQueue(queue)).messageCount
  } finally {
    await connection.close()
  }
}

export async function mqttPlace(options: PlaceOptions = {}): Promise<Place> {
  const { address = brokerAddresses().mqtt } = options
  const root = unique('t')
  const session = { protocolVersion: 5, properties: { sessionExpiryInterval: 3_600 }, reconnectPeriod: 0 } as const
  const dial = (clientId: string, clean: boolean) => mqtt.connectAsync(address, { ...session, clientId, clean }, false)
  const readerId = unique('t')
  const first = await dial(readerId, false) // a session, so that the broker keeps what comes before the reader does
  await first.subscribeAsync(`${root}/#`, { qos: 1 })
  await first.endAsync()
  removeLater(options, async () => (await dial(readerId, true)).endAsync())
  return {
    name: root,
    connection: connectionYaml('mqtt', address, options),
    from: `topic: "${root}/{key}", qos: 1`,
    to: `topic: "${root}/{payload.key}", qos: 1`,
    async sender() {
      const client = await dial(unique('t'), true)
      const gone = new Promise<never>((_resolve, reject) => client.once('close', () => reject(new Error('closed'))))
      gone.catch(() => {})
      return {
        close: () => client.endAsync(true),
        async send(messages) {
          const publish = (text: string) => client.publishAsync(`${root}/${keyOf(text)}`, text, { qos: 1 })
          await Promise.race([Promise.all(messages.map(publish)), gone])
        },
      }
    },
    async reader() {
      const got: Got[] = []
      const client = mqtt.connect(address, { ...session, clientId: readerId, clean: false })
      client.on('message', (topic, payload, { properties }) => {
        got.push({
          ...{ text: payload.toString(), payload, key: topic.split('/').at(-1) },
          ...{ headers: { ...properties?.userProperties }, contentType: properties?.contentType },
        })
      })
      client.on('error', () => {})
      await new Promise<unknown>((resolve, reject) => client.once('connect', resolve).once('error', reject))
      return { got, close: () => client.endAsync(true) }
    },
  }
}

/** A topic that has just been made may have no leader for a moment: nothing was written then, and it is sent again. */
async function onceLed<T>(send: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await send()
    } catch (error) {
      const isLeaderless = /not the leader|no leader/.test(String((error as Error).cause ?? error))
      if (!isLeaderless || attempt === 20) throw error
      await sleep(100)
    }
  }
}

export async function kafkaPlace(options: PlaceOptions = {}): Promise<Place> {
  const { address = brokerAddresses().kafka[0]! } = options
  const kafka = new Kafka({
    brokers: [address],
    logLevel: logLevel.NOTHING,
    requestTimeout: 5_000,
    retry: { retries: 3 },
  })
  const topic = unique('t')
  const group = unique('t')
  const admin = kafka.admin()
  await admin.connect()
  await createTopics(admin, [{ topic, numPartitions: 3 }])
  await admin.disconnect()
  removeLater(options, async () => {
    await admin.connect()
    await admin.deleteTopics({ topics: [topic] })
    await admin.disconnect()
  })
  return {
    name: topic,
    connection: connectionYaml('kafka', address, options),
    from: `topic: ${topic}, group: ${group}`,
    to: `topic: ${topic}`,
    async sender() {
      const producer = kafka.producer({ retry: { retries: 0 } })
      await producer.connect()
      return {
        close: () => producer.disconnect(),
        async send(messages) {
          for (let at = 0; at < messages.length; at += 2_000) {
            const some = messages.slice(at, at + 2_000) // a batch of one partition stays below 1 MiB
            const send = () =>
              producer.send({ topic, messages: some.map((text) => ({ key: keyOf(text), value: text })) })
            await onceLed(send)
          }
        },
      }
    },
    async reader() {
      const got: Got[] = []
      const consumer = kafka.consumer({ groupId: unique('t'), maxWaitTimeInMs: 50 })
      await consumer.connect()
      await consumer.subscribe({ topic, fromBeginning: true })
      await consumer.run({
        eachMessage: async ({ message: { key, value, headers } }) => {
          got.push({
            ...{ text: value?.toString() ?? '', payload: value, key: key?.toString() },
            ...{ headers: { ...headers }, contentType: headers?.['content-type']?.toString() },
          })
        },
      })
      return { got, close: () => consumer.disconnect() }
    },
  }
}

/** How many messages of a Kafka place its group has committed. */
export async function committed({ name, from }: Place): Promise<number> {
  const admin = new Kafka({ brokers: brokerAddresses().kafka, logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    const groupId = /group: (\S+)/.exec(from)![1]!
    const [found] = await admin.fetchOffsets({ groupId, topics: [name] })
    return found!.partitions.reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0)
  } finally {
    await admin.disconnect()
  }
}
