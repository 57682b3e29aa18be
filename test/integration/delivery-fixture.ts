/** What the tests of outages, drains and dead letters share: places at brokers that may go away, and what must hold after. */
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import amqplib from 'amqplib'
import { Kafka, logLevel } from 'kafkajs'
import mqtt from 'mqtt'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { type LogLine, TestGateway } from '../support/gateway.ts'
import type { EndName } from '../support/peers.ts'
import { eventually } from '../support/poll.ts'

export const fresh = (): string => `t${randomUUID().slice(0, 12)}`

/** What one test has made; the last made goes first. */
export class Scope {
  readonly #cleanups: (() => unknown)[] = []

  after(cleanup: () => unknown): void {
    this.#cleanups.push(cleanup)
  }

  async use<T extends { close(): Promise<unknown> }>(making: Promise<T>): Promise<T> {
    const made = await making
    this.after(() => made.close())
    return made
  }

  /** A gateway; its end checks the invariant. */
  gateway(yaml: string, dataDir?: string): TestGateway {
    const gateway = new TestGateway(yaml, dataDir)
    this.after(() => gateway.stop())
    return gateway
  }

  async end(): Promise<void> {
    const failures: unknown[] = []
    for (const cleanup of this.#cleanups.splice(0).reverse()) {
      try {
        await cleanup()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}

/** A test that may run beside others of its file: it owns what it makes. */
export function scenario(title: string, body: (scope: Scope) => Promise<void>, timeoutMs = 120_000): void {
  test.concurrent(title, () => inScope(body), timeoutMs)
}

export async function inScope(body: (scope: Scope) => Promise<void>): Promise<void> {
  const scope = new Scope()
  try {
    await body(scope)
  } catch (error) {
    await scope.end().catch(() => {}) // the first failure is the one to show
    throw error
  }
  await scope.end()
}

/** Bodies run one after the other, e.g. because they take one broker away. */
export function oneAtATime(): (body: (scope: Scope) => Promise<void>) => (scope: Scope) => Promise<void> {
  let last: Promise<unknown> = Promise.resolve()
  return (body) => (scope) => {
    const turn = last.then(() => body(scope))
    last = turn.catch(() => {})
    return turn
  }
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

/** A queue or topic. Its clients are made anew for each use, so that they outlive no broker. */
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

export interface PlaceOptions {
  /** Address for clients of the test; default: the shared broker. */
  readonly address?: string
  /** Where the gateway finds it, e.g. behind a proxy; default: the same. */
  readonly port?: number
  /** Further settings of the gateway's connection, such as `keepalive: 2s`. */
  readonly settings?: string
}

export function placeAt(protocol: EndName, options: PlaceOptions = {}): Promise<Place> {
  return { mqtt: mqttPlace, amqp: amqpPlace, kafka: kafkaPlace }[protocol](options)
}

const keys = ['red', 'green', 'blue', 'white', 'black']
let lastNumber = 0
/** That many new messages of a few keys. */
export function texts(count: number): string[] {
  return Array.from({ length: count }, () => {
    lastNumber += 1
    return JSON.stringify({ key: keys[lastNumber % keys.length], n: lastNumber })
  })
}
const keyOf = (text: string): string => (JSON.parse(text) as { key: string }).key

/** The same, in the YAML of a route's `set`: the message's own key. */
export const setKey = 'set: { key: payload.key }'

function withPort(address: string, port: number | undefined): string {
  return port === undefined ? address : address.replace(/127\.0\.0\.1:\d+/, `127.0.0.1:${port}`)
}
const more = (settings: string | undefined): string => (settings === undefined ? '' : `, ${settings}`)

export async function amqpPlace(options: PlaceOptions = {}): Promise<Place> {
  const { address = brokerAddresses().amqp, port, settings } = options
  const queue = fresh()
  const dial = async () => {
    const connection = await amqplib.connect(address)
    connection.on('error', () => {})
    const channel = await connection.createConfirmChannel()
    channel.on('error', () => {})
    await channel.assertQueue(queue, { durable: true })
    return { channel, close: () => connection.close().catch(() => {}) }
  }
  await (await dial()).close()
  return {
    name: queue,
    connection: `{ protocol: amqp, url: "${withPort(address, port)}"${more(settings)} }`,
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
  const { address = brokerAddresses().mqtt, port, settings } = options
  const root = fresh()
  const session = { protocolVersion: 5, properties: { sessionExpiryInterval: 3_600 }, reconnectPeriod: 0 } as const
  const dial = (clientId: string, clean: boolean) => mqtt.connectAsync(address, { ...session, clientId, clean }, false)
  const readerId = fresh()
  const first = await dial(readerId, false) // a session, so that the broker keeps what comes before the reader does
  await first.subscribeAsync(`${root}/#`, { qos: 1 })
  await first.endAsync()
  return {
    name: root,
    connection: `{ protocol: mqtt, url: "${withPort(address, port)}"${more(settings)} }`,
    from: `topic: "${root}/{key}", qos: 1`,
    to: `topic: "${root}/{payload.key}", qos: 1`,
    async sender() {
      const client = await dial(fresh(), true)
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

export async function kafkaPlace(options: PlaceOptions = {}): Promise<Place> {
  const { address = brokerAddresses().kafka[0]!, port, settings } = options
  const kafka = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING, requestTimeout: 5_000, retry: { retries: 3 } })
  const topic = fresh()
  const group = fresh()
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: 3 }], waitForLeaders: true })
  await admin.disconnect()
  return {
    name: topic,
    connection: `{ protocol: kafka, brokers: ["${withPort(address, port)}"]${more(settings)} }`,
    from: `topic: ${topic}, group: ${group}`,
    to: `topic: ${topic}`,
    async sender() {
      const producer = kafka.producer({ retry: { retries: 0 } })
      await producer.connect()
      return {
        close: () => producer.disconnect(),
        async send(messages) {
          await producer.send({ topic, messages: messages.map((text) => ({ key: keyOf(text), value: text })) })
        },
      }
    },
    async reader() {
      const got: Got[] = []
      const consumer = kafka.consumer({ groupId: fresh(), maxWaitTimeInMs: 50 })
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

export interface Load {
  /** Confirmed by the broker: must arrive. */
  readonly confirmed: string[]
  /** Sent when the broker went away: may arrive. */
  readonly unsure: string[]
  stop(): Promise<void>
}

/** About 1,000 messages a second until `stop`, or until the broker goes away. */
export async function steadyLoad(scope: Scope, place: Place): Promise<Load> {
  const sender = await scope.use(place.sender())
  const confirmed: string[] = []
  const unsure: string[] = []
  let isWanted = true
  const run = async () => {
    while (isWanted) {
      const batch = texts(20)
      try {
        await sender.send(batch)
        confirmed.push(...batch)
      } catch {
        unsure.push(...batch)
        return
      }
      await pause(20) // the pace
    }
  }
  const running = run()
  const stop = async () => {
    isWanted = false
    await running
  }
  scope.after(stop)
  return { confirmed, unsure, stop }
}

/** All that must be there is there, nothing that was never sent, and each key's first copies in order. */
export function checkNothingLost(got: readonly { text: string }[], sent: readonly string[], unsure: string[] = []): void {
  const first = [...new Set(got.map(({ text }) => text))]
  const arrived = new Set(first)
  const isSent = new Set([...sent, ...unsure])
  expect({ missing: sent.filter((text) => !arrived.has(text)) }).toEqual({ missing: [] })
  expect({ unknown: first.filter((text) => !isSent.has(text)) }).toEqual({ unknown: [] })
  for (const key of keys) {
    const numbers = first.filter((text) => keyOf(text) === key).map((text) => (JSON.parse(text) as { n: number }).n)
    expect({ key, numbers }).toEqual({ key, numbers: numbers.toSorted((a, b) => a - b) })
  }
}

/** Resolves when every text has arrived at least once. */
export async function arrived(reader: Reader, sent: readonly string[], withinMs = 30_000): Promise<void> {
  let seen = 0
  const missing = new Set(sent)
  await eventually(
    () => {
      for (; seen < reader.got.length; seen += 1) missing.delete(reader.got[seen]!.text)
      return missing.size === 0
    },
    { withinMs, what: `${sent.length} messages` },
  ).catch((error: unknown) => {
    throw new Error(`${missing.size} of ${sent.length} missing, ${reader.got.length} arrived`, { cause: error })
  })
}

/** Lines about what does not work. */
export const complaints = (lines: readonly LogLine[]): LogLine[] =>
  lines.filter(({ level }) => level === 'warn' || level === 'error')
