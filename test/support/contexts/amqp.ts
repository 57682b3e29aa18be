/** What the AMQP tests share: names of their own, a bare client beside the adapter, and a context that remembers. */
import { randomUUID } from 'node:crypto'
import { type Channel, type ChannelModel, connect, type GetMessage } from 'amqplib'
import { amqp } from '../../../protocols/amqp/index.ts'
import { Budget } from '../../../src/adapter/budget.ts'
import type { Context, Delivery, Outbound, Outcome, Sink, Source } from '../../../src/adapter/contract.ts'
import { Envelope } from '../../../src/envelope/envelope.ts'
import { brokerAddresses } from '../brokers/addresses.ts'
import { eventually } from '../poll.ts'

export type AmqpTarget = ReturnType<typeof targetOf>

export const unique = (name: string) => `test-${name}-${randomUUID().slice(0, 8)}`

export interface Recorder extends Context {
  readonly lines: string[]
  readonly counts: Map<string, number>
}

export function recorder(limits: { maxCount?: number; maxBytes?: number } = {}): Recorder {
  const lines: string[] = []
  const counts = new Map<string, number>()
  const line = (message: string, fields?: unknown) => void lines.push(`${message} ${JSON.stringify(fields ?? {})}`)
  return {
    connection: 'orders',
    gatewayId: 'test',
    log: { debug: line, info: line, warn: line, error: line },
    budget: new Budget({ maxCount: limits.maxCount ?? 10_000, maxBytes: limits.maxBytes ?? 1 << 28 }),
    count: (name, by = 1) => void counts.set(name, (counts.get(name) ?? 0) + by),
    lines,
    counts,
  }
}

export const settingsOf = (settings: Record<string, unknown> = {}) =>
  amqp.connection.parse({ url: brokerAddresses().amqp, ...settings })
export const targetOf = (target: Record<string, unknown>) => amqp.sink!.schema.parse(target)
export const fromOf = (from: Record<string, unknown>) => amqp.source!.schema.parse(from)

export function outbound(
  target: AmqpTarget,
  fields: { messageId?: string; payload?: string | Uint8Array; headers?: Record<string, string> } = {},
): Outbound<AmqpTarget> {
  const { messageId = randomUUID(), payload = messageId, headers = {} } = fields
  const envelope = new Envelope({
    messageId,
    timestamp: '2026-02-03T04:05:06Z',
    source: 'mqtt://plant/sensors',
    payload: Buffer.from(payload as string),
    headers,
  })
  return { envelope, target, format: undefined }
}

export const kinds = (outcomes: readonly Outcome[]) => outcomes.map((outcome) => outcome.kind)
export const codes = (outcomes: readonly Outcome[]) =>
  outcomes.map((outcome) => (outcome.kind === 'delivered' ? 'delivered' : outcome.error.code))
export const never = new AbortController().signal
export const textOf = (delivery: Delivery) => Buffer.from(delivery.envelope.payload ?? '').toString()

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

  async source(from: Record<string, unknown>, context = recorder(), settings = settingsOf()): Promise<Running> {
    const source = amqp.source!.create(settings, [fromOf(from)], context)
    this.later(() => source.close())
    await source.open(never)
    return new Running(source, context)
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

/** A source under way and what it has handed over. */
export class Running {
  readonly received: Delivery[] = []
  readonly batches: number[] = []
  readonly source: Source
  readonly context: Recorder
  readonly done: Promise<void>
  onBatch: (batch: readonly Delivery[]) => void = () => {}
  readonly #stop = new AbortController()

  constructor(source: Source, context: Recorder) {
    this.source = source
    this.context = context
    const deliver = (read: Iterable<Delivery>) => {
      const batch = [...read]
      this.received.push(...batch)
      this.batches.push(batch.length)
      this.onBatch(batch)
    }
    this.done = source.consume(deliver, this.#stop.signal)
    this.done.catch(() => {})
  }

  stop(): Promise<void> {
    this.#stop.abort()
    return this.done
  }

  has(count: number): Promise<unknown> {
    return eventually(() => this.received.length >= count, { what: `${count} deliveries, got ${this.received.length}` })
  }
}
