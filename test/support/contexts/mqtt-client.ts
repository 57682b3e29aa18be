/** What the tests of the MQTT client share: adapters that close themselves, and a bare client beside them. */
import { randomUUID } from 'node:crypto'
import mqttJs, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt'
import { MqttClientConnection } from '../../../protocols/mqtt/client/config.ts'
import type { MqttFrom, MqttTarget } from '../../../protocols/mqtt/config.ts'
import { mqtt } from '../../../protocols/mqtt/index.ts'
import { Budget } from '../../../src/adapter/budget.ts'
import type { Context, Delivery, Outbound, Outcome, Sink, Source } from '../../../src/adapter/contract.ts'
import { Envelope } from '../../../src/envelope/envelope.ts'
import { brokerAddresses } from '../brokers/addresses.ts'
import { eventually } from '../poll.ts'

export const unique = (name: string) => `test/${name}/${randomUUID().slice(0, 8)}`
export const never = new AbortController().signal
export const textOf = (delivery: Delivery) => Buffer.from(delivery.envelope.payload ?? '').toString()
export const codes = (outcomes: readonly Outcome[]) =>
  outcomes.map((outcome) => (outcome.kind === 'delivered' ? 'delivered' : outcome.error.code))

export const connectionOf = (settings: Record<string, unknown> = {}): MqttClientConnection =>
  MqttClientConnection.parse({ url: brokerAddresses().mqtt, ...settings })
export const fromOf = (from: Record<string, unknown>): MqttFrom => mqtt.source!.schema.parse(from)

export function outbound(
  topic: string,
  payload: string | Buffer,
  more: Partial<MqttTarget> = {},
): Outbound<MqttTarget> {
  const envelope = new Envelope({
    messageId: randomUUID(),
    timestamp: '2026-02-03T04:05:06Z',
    source: 'amqp://orders/queue',
    payload: Buffer.from(payload as string),
  })
  return { envelope, target: { topic, qos: 1, retain: false, ...more }, format: 'raw' }
}

export function contextOf(maxCount = 10_000): Context & { lines: string[] } {
  const lines: string[] = []
  const line = (message: string, fields?: unknown) => void lines.push(`${message} ${JSON.stringify(fields ?? {})}`)
  return {
    connection: randomUUID().slice(0, 8), // part of the client id: every test has a session of its own
    gatewayId: 'test',
    log: { debug: line, info: line, warn: line, error: line },
    budget: new Budget({ maxCount, maxBytes: 1 << 28 }),
    count: () => {},
    lines,
  }
}

/** Everything a test opens; `end` lets go of it all. */
export class Bench {
  readonly #ends: (() => Promise<unknown>)[] = []

  later(end: () => Promise<unknown>): void {
    this.#ends.push(end)
  }

  async end(): Promise<void> {
    for (const end of this.#ends.reverse()) await end().catch(() => {})
    this.#ends.length = 0
  }

  source(
    froms: readonly Record<string, unknown>[],
    connection = connectionOf(),
    context: Context = contextOf(),
  ): Source {
    const source = mqtt.source!.create(connection, froms.map(fromOf), context)
    this.later(() => source.close())
    return source
  }

  async run(
    froms: readonly Record<string, unknown>[],
    connection = connectionOf(),
    context: Context = contextOf(),
  ): Promise<Reading> {
    const source = this.source(froms, connection, context)
    await source.open(never)
    return new Reading(source)
  }

  async sink(connection = connectionOf()): Promise<Sink<MqttTarget>> {
    const sink = mqtt.sink!.create(connection, contextOf())
    this.later(() => sink.close())
    await sink.open(never)
    return sink
  }

  async client(options: IClientOptions = {}): Promise<MqttClient> {
    const client = await mqttJs.connectAsync(brokerAddresses().mqtt, { protocolVersion: 5, ...options })
    this.later(() => client.endAsync(true))
    return client
  }
}

/** A source under way and what it has handed over. */
export class Reading {
  readonly received: Delivery[] = []
  readonly batches: number[] = []
  readonly done: Promise<void>
  readonly source: Source
  onDelivery: (delivery: Delivery) => void = () => {}
  readonly #stop = new AbortController()

  constructor(source: Source) {
    this.source = source
    this.done = source.consume((batch) => {
      const deliveries = [...batch]
      this.batches.push(deliveries.length)
      for (const delivery of deliveries) {
        this.received.push(delivery)
        this.onDelivery(delivery)
      }
    }, this.#stop.signal)
    this.done.catch(() => {})
  }

  get texts(): string[] {
    return this.received.map(textOf)
  }

  has(count: number): Promise<unknown> {
    return eventually(() => this.received.length >= count, { what: `${count} deliveries, not ${this.received.length}` })
  }

  stop(): Promise<void> {
    this.#stop.abort()
    return this.done
  }
}

/** What a bare client receives; resolves each `has` at its count. */
export async function listen(client: MqttClient, filter: string): Promise<{ packets: IPublishPacket[] }> {
  const packets: IPublishPacket[] = []
  client.on('message', (_topic, _payload, packet) => packets.push(packet))
  await client.subscribeAsync(filter, { qos: 2 })
  return { packets }
}
