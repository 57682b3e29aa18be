/** What the AMQP tests share: names of their own, a bare client beside the adapter, and a context that remembers. */
import { randomUUID } from 'node:crypto'
import { type Channel, type ChannelModel, connect, type GetMessage } from 'amqplib'
import { amqp } from '../../../protocols/amqp/index.ts'
import type { Outbound, Sink } from '../../../src/adapter/contract.ts'
import { brokerAddresses } from '../brokers/addresses.ts'
import { unique } from '../names.ts'
import { testContext } from './context.ts'
import { never, outboundTo } from './messages.ts'
import { RunningSource } from './running-source.ts'

export type AmqpTarget = ReturnType<typeof targetOf>

/** Of a connection called `orders`, as the tests of AMQP know it. */
export const recorder = (limits: { maxCount?: number; maxBytes?: number } = {}) =>
  testContext('orders', { maxCount: 10_000, maxBytes: 1 << 28, ...limits })

export const settingsOf = (settings: Record<string, unknown> = {}) =>
  amqp.connection.parse({ url: brokerAddresses().amqp, ...settings })
export const targetOf = (target: Record<string, unknown>) => amqp.sink!.schema.parse(target)
export const fromOf = (from: Record<string, unknown>) => amqp.source!.schema.parse(from)

export function outbound(
  target: AmqpTarget,
  { messageId = randomUUID(), payload = messageId, headers = {} }: OutboundFields = {},
): Outbound<AmqpTarget> {
  return outboundTo(target, { messageId, payload, headers })
}

interface OutboundFields {
  readonly messageId?: string
  readonly payload?: string | Uint8Array
  readonly headers?: Record<string, string>
}

/** A client of the broker beside the adapter, and everything a test opens; `end` lets go of it all. */
export class Bench {
  #model: ChannelModel | undefined
  #channel: Channel | undefined
  readonly #ends: (() => Promise<unknown>)[] = []

  async client(): Promise<Channel> {
    if (this.#channel) return this.#channel
    this.#model = await connect(brokerAddresses().amqp)
    this.#model.on('error', () => {})
    this.#channel = await this.#model.createChannel()
    this.#channel.on('error', () => {})
    return this.#channel
  }

  /** Another channel of the client. */
  async channel(): Promise<Channel> {
    await this.client()
    const channel = await this.#model!.createChannel()
    channel.on('error', () => {})
    return channel
  }

  /** A queue, gone at the end; bound if an exchange is given. */
  async queue(options: Record<string, unknown> = {}): Promise<string> {
    const client = await this.client()
    const { queue } = await client.assertQueue(unique('queue'), { durable: true, ...options })
    this.later(async () => (await this.client()).deleteQueue(queue))
    return queue
  }

  async exchange(type: string): Promise<string> {
    const client = await this.client()
    const { exchange } = await client.assertExchange(unique('exchange'), type)
    this.later(async () => (await this.client()).deleteExchange(exchange))
    return exchange
  }

  async sink(settings = settingsOf(), context = recorder()): Promise<Sink<AmqpTarget>> {
    const sink = amqp.sink!.create(settings, context)
    this.later(() => sink.close())
    await sink.open(never)
    return sink
  }

  async source(from: Record<string, unknown>, context = recorder(), settings = settingsOf()): Promise<RunningSource> {
    const source = amqp.source!.create(settings, [fromOf(from)], context)
    this.later(() => source.close())
    await source.open(never)
    return new RunningSource(source)
  }

  /** Everything that waits in a queue. */
  async drain(queue: string): Promise<GetMessage[]> {
    const client = await this.client()
    const messages: GetMessage[] = []
    for (let message = await client.get(queue); message !== false; message = await client.get(queue)) {
      client.ack(message)
      messages.push(message)
    }
    return messages
  }

  async depth(queue: string): Promise<number> {
    return (await (await this.client()).checkQueue(queue)).messageCount
  }

  later(end: () => Promise<unknown>): void {
    this.#ends.push(end)
  }

  async end(): Promise<void> {
    for (const end of this.#ends.reverse()) await end().catch(() => {})
    await this.#model?.close().catch(() => {})
  }
}
