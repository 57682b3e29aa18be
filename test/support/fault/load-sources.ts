/** Producers, one for each kind of source: each comes back by itself and sends again, in order, what was not acknowledged. */

import { setTimeout as sleep } from 'node:timers/promises'
import amqplib, { type ChannelModel, type ConfirmChannel } from 'amqplib'
import { Kafka, logLevel, type Producer } from 'kafkajs'
import { brokerAddresses } from '../brokers/addresses.ts'
import { unique } from '../names.ts'
import { type ConnectionOptions, connectionYaml, portOf } from '../places/connections.ts'
import { createTopics } from '../places/topics.ts'
import { eventually } from '../poll.ts'
import { freePort } from '../ports.ts'
import { Device } from './device.ts'
import type { MessageId } from './message.ts'
import type { IssueLog } from './oracle.ts'
import type { SendRate } from './send-rate.ts'

export const loadSourceNames = ['embedded', 'mqtt', 'amqp', 'kafka', 'http'] as const
export type LoadSourceName = (typeof loadSourceNames)[number]

export interface LoadSourceOptions extends ConnectionOptions {
  /** Where the producer finds the broker; for `embedded` and `http`, where the gateway listens. Default: the shared broker. */
  readonly address?: string
  /** Size of a message. Default 128. */
  readonly bytes?: number
  /** Number of keys; for MQTT each has a connection of its own. Default 8. */
  readonly keys?: number
  /** Messages a device has in flight. Default 16. */
  readonly window?: number
}

export interface LoadSource {
  /** Names what it feeds: a topic, a queue. */
  readonly name: string
  /** YAML of the gateway's connection, and of `from` behind `connection: …`. */
  readonly connection: string
  readonly from: string
  /** Issues messages at that pace until `pause`. */
  run(log: IssueLog, pace: SendRate): void
  /** Issues no more; resolves when all that was issued is acknowledged. */
  pause(withinMs?: number): Promise<void>
  readonly reconnects: number
  close(): Promise<unknown>
}

export function makeLoadSource(kind: LoadSourceName, options: LoadSourceOptions = {}): Promise<LoadSource> {
  const makers = { embedded: deviceFeed, mqtt: deviceFeed, amqp: amqpFeed, kafka: kafkaFeed, http: httpFeed }
  return makers[kind]({ ...options, isEmbedded: kind === 'embedded' })
}

/** A free address for what listens in the gateway itself. */
export async function ownFeed(kind: LoadSourceName): Promise<LoadSourceOptions> {
  const scheme = { embedded: 'mqtt', http: 'http', mqtt: undefined, amqp: undefined, kafka: undefined }[kind]
  return scheme === undefined ? {} : { address: `${scheme}://127.0.0.1:${await freePort()}` }
}

type Made = LoadSourceOptions & { readonly isEmbedded: boolean }
const tickMs = 10
const pauseWithinMs = 60_000

/** Devices that all publish below one topic. */
async function deviceFeed(options: Made): Promise<LoadSource> {
  const { isEmbedded, address = brokerAddresses().mqtt, keys = 8, bytes = 128, window = 16 } = options
  const root = unique('f')
  const devices: Device[] = []
  let timer: NodeJS.Timeout | undefined
  const begin = (log: IssueLog) => {
    for (let at = devices.length; at < keys; at += 1) {
      const key = `${root}-${at}`
      const port = portOf(address)
      devices.push(new Device({ port, key, clientId: key, topic: `${root}/${key}`, bytes, window }, log))
    }
  }
  return {
    name: root,
    connection: connectionYaml(isEmbedded ? 'embedded' : 'mqtt', address, options),
    from: `topic: "${root}/{key}", qos: 1`,
    run(log, pace) {
      begin(log)
      let turn = 0
      timer = setInterval(() => {
        for (let at = 0; at < devices.length; at += 1) {
          const device = devices[(turn + at) % devices.length]!
          device.send(pace.take(device.room))
        }
        turn += 1
      }, tickMs)
    },
    async pause(withinMs = pauseWithinMs) {
      clearInterval(timer)
      const busy = () => devices.filter((device) => !device.isIdle).length
      await eventually(() => busy() === 0, { withinMs, what: `acknowledgements of ${root}` })
    },
    get reconnects() {
      return devices.reduce((sum, device) => sum + Math.max(0, device.reconnects), 0)
    },
    async close() {
      clearInterval(timer)
      for (const device of devices) device.close()
    },
  }
}

type Message = MessageId & { readonly payload: Buffer }

/** What producers to a broker share: a loop that issues, sends, and after a failure connects and sends the same again. */
abstract class BrokerFeed {
  readonly #keys: readonly string[]
  readonly #bytes: number
  readonly #name: string
  #unacked: Message[] = []
  #isWanted = false
  #isClosed = false
  #work: Promise<void> = Promise.resolve()
  reconnects = 0

  constructor(name: string, { keys = 8, bytes = 128 }: LoadSourceOptions) {
    this.#name = name
    this.#bytes = bytes
    this.#keys = Array.from({ length: keys }, (_, at) => `${name}-${at}`)
  }

  /** Sends all and resolves when the broker has all; on a new connection where the last one is lost. */
  protected abstract sendAll(messages: readonly Message[]): Promise<void>
  /** Leaves the connection for `sendAll` to make anew. */
  protected abstract disconnect(): Promise<unknown>

  run(log: IssueLog, pace: SendRate): void {
    this.#isWanted = true
    this.#work = this.#loop(log, pace)
  }

  async #loop(log: IssueLog, pace: SendRate): Promise<void> {
    let turn = 0
    while (!this.#isClosed && (this.#isWanted || this.#unacked.length > 0)) {
      if (this.#isWanted && this.#unacked.length === 0) {
        for (let left = pace.take(500); left > 0; left -= 1) {
          this.#unacked.push(log.issue(this.#keys[turn++ % this.#keys.length]!, this.#bytes))
        }
      }
      await this.#sendUnacked(log)
      await sleep(tickMs)
    }
  }

  async #sendUnacked(log: IssueLog): Promise<void> {
    if (this.#unacked.length === 0) return
    try {
      await this.sendAll(this.#unacked)
      for (const message of this.#unacked) log.acknowledge(message)
      this.#unacked = []
    } catch {
      this.reconnects += 1
      await this.disconnect().catch(() => {})
      await sleep(100)
    }
  }

  async pause(withinMs = pauseWithinMs): Promise<void> {
    this.#isWanted = false
    let isDone = false
    void this.#work.then(() => {
      isDone = true
    })
    await eventually(() => isDone, { withinMs, what: `acknowledgements of ${this.#name}` })
  }

  protected async end(): Promise<void> {
    this.#isClosed = true
    this.#isWanted = false
    await this.disconnect().catch(() => {})
    await this.#work
  }
}

class AmqpFeed extends BrokerFeed implements LoadSource {
  readonly name: string
  readonly connection: string
  readonly from: string
  readonly #address: string
  #link: { connection: ChannelModel; channel: ConfirmChannel } | undefined

  constructor(options: LoadSourceOptions) {
    const name = unique('f')
    super(name, options)
    this.name = name
    this.#address = options.address ?? brokerAddresses().amqp
    this.connection = connectionYaml('amqp', this.#address, options)
    this.from = `queue: ${name}`
  }

  protected async sendAll(messages: readonly Message[]): Promise<void> {
    this.#link ??= await this.#dial()
    const { channel, connection } = this.#link
    const gone = new Promise<never>((_, reject) => connection.once('close', () => reject(new Error('closed'))))
    gone.catch(() => {})
    for (const { key, payload } of messages) {
      channel.sendToQueue(this.name, payload, { persistent: true, headers: { key } })
    }
    await Promise.race([channel.waitForConfirms(), gone])
  }

  async #dial() {
    const connection = await amqplib.connect(this.#address, { timeout: 5_000 })
    connection.on('error', () => {})
    const channel = await connection.createConfirmChannel()
    channel.on('error', () => {})
    return { connection, channel }
  }

  async declare(): Promise<this> {
    this.#link = await this.#dial()
    await this.#link.channel.assertQueue(this.name, { durable: true })
    return this
  }

  protected async disconnect(): Promise<void> {
    const link = this.#link
    this.#link = undefined
    await link?.connection.close()
  }

  async close(): Promise<void> {
    await this.end()
    const { channel, connection } = await this.#dial()
    await channel.deleteQueue(this.name)
    await connection.close()
  }
}

class KafkaFeed extends BrokerFeed implements LoadSource {
  readonly name: string
  readonly connection: string
  readonly from: string
  readonly #kafka: Kafka
  readonly #producer: Producer
  #isConnected = false

  constructor(options: LoadSourceOptions) {
    const name = unique('f')
    super(name, options)
    this.name = name
    const address = options.address ?? brokerAddresses().kafka[0]!
    this.connection = connectionYaml('kafka', address, options)
    this.from = `topic: ${name}, group: ${name}`
    const retry = { retries: 8, initialRetryTime: 100, maxRetryTime: 1_000 }
    this.#kafka = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING, requestTimeout: 5_000, retry })
    this.#producer = this.#kafka.producer({ retry: { ...retry, retries: 2 } })
  }

  protected async sendAll(messages: readonly Message[]): Promise<void> {
    if (!this.#isConnected) await this.#producer.connect()
    this.#isConnected = true
    await this.#producer.send({
      topic: this.name,
      messages: messages.map(({ key, payload }) => ({ key, value: payload })),
    })
  }

  async declare(): Promise<this> {
    const admin = this.#kafka.admin()
    await admin.connect()
    await createTopics(admin, [{ topic: this.name, numPartitions: 3 }])
    await admin.disconnect()
    return this
  }

  protected async disconnect(): Promise<void> {
    this.#isConnected = false
    await this.#producer.disconnect()
  }

  async close(): Promise<void> {
    await this.end()
    const admin = this.#kafka.admin()
    await admin.connect()
    await admin.deleteTopics({ topics: [this.name] })
    await admin.disconnect()
  }
}

/** Requests of a key follow each other, so that they come in their order. */
class HttpFeed extends BrokerFeed implements LoadSource {
  readonly name: string
  readonly connection: string
  readonly from: string
  readonly #url: string

  constructor(options: LoadSourceOptions) {
    const name = unique('f')
    super(name, options)
    const { address = '', settings } = options
    this.name = name
    this.#url = `${address}/${name}`
    this.connection = `{ protocol: http, listen: "${address}"${settings === undefined ? '' : `, ${settings}`} }`
    this.from = `path: "/${name}/{key}"`
  }

  protected async sendAll(messages: readonly Message[]): Promise<void> {
    const byKey = Map.groupBy(messages, ({ key }) => key)
    await Promise.all([...byKey.values()].map((ofKey) => this.#sendInOrder(ofKey)))
  }

  async #sendInOrder(messages: readonly Message[]): Promise<void> {
    for (const { key, payload } of messages) {
      const signal = AbortSignal.timeout(15_000)
      const { ok, status } = await fetch(`${this.#url}/${key}`, { method: 'POST', body: payload, signal })
      if (!ok) throw new Error(`answered ${status}`)
    }
  }

  protected async disconnect(): Promise<void> {}

  async close(): Promise<void> {
    await this.end()
  }
}

const httpFeed = async (options: Made): Promise<LoadSource> => new HttpFeed(options)
const amqpFeed = (options: Made): Promise<LoadSource> => new AmqpFeed(options).declare()
const kafkaFeed = (options: Made): Promise<LoadSource> => new KafkaFeed(options).declare()
