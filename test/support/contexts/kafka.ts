import { randomUUID } from 'node:crypto'
import { afterAll, afterEach } from '@jest/globals'
import { Kafka, logLevel } from 'kafkajs'
import { kafka } from '../../../protocols/kafka/index.ts'
import { Budget } from '../../../src/adapter/budget.ts'
import type { Context, Delivery, Outbound, Sink, Source } from '../../../src/adapter/contract.ts'
import { Envelope, type EnvelopeFields } from '../../../src/envelope/envelope.ts'
import { brokerAddresses } from '../brokers/addresses.ts'
import { createTopics } from '../places/topics.ts'
import { eventually } from '../poll.ts'

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>> | undefined
}

export function makeContext(gatewayId = `gw-${randomUUID()}`): Context & { lines: LogLine[] } {
  const lines: LogLine[] = []
  const write = (level: string) => (message: string, fields?: Readonly<Record<string, unknown>>) => {
    lines.push({ level, message, fields })
  }
  return {
    connection: 'events',
    gatewayId,
    log: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') },
    budget: new Budget({ maxCount: 100_000, maxBytes: 1024 ** 3 }),
    count: () => {},
    lines,
  }
}

export function connection(settings: Record<string, unknown> = {}) {
  return kafka.connection.parse({ brokers: brokerAddresses().kafka, ...settings })
}

const cleanUp: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const clean of cleanUp.splice(0).reverse()) await clean()
})

const admin = () => new Kafka({ brokers: brokerAddresses().kafka, logLevel: logLevel.NOTHING }).admin()
const topics: string[] = []
afterAll(async () => {
  if (topics.length > 0)
    await withAdmin((a) => a.deleteTopics({ topics: [...new Set(topics.splice(0))] })).catch(() => {})
})

export async function withAdmin<T>(use: (a: ReturnType<typeof admin>) => Promise<T>): Promise<T> {
  const a = admin()
  await a.connect()
  try {
    return await use(a)
  } finally {
    await a.disconnect()
  }
}

export function freshName(prefix = 'kafka'): string {
  return `${prefix}-${randomUUID()}`
}

export async function makeTopic(
  options: { name?: string; partitions?: number; config?: Record<string, string> } = {},
): Promise<string> {
  const topic = options.name ?? freshName()
  const configEntries = Object.entries(options.config ?? {}).map(([name, value]) => ({ name, value }))
  await withAdmin((a) => createTopics(a, [{ topic, numPartitions: options.partitions ?? 1, configEntries }]))
  topics.push(topic)
  return topic
}

export function outbound(
  target: { topic: string; key?: string; partition?: number },
  fields: Partial<EnvelopeFields> = {},
): Outbound<{ topic: string; key?: string; partition?: number }> {
  const envelope = new Envelope({
    messageId: randomUUID(),
    timestamp: '2026-01-02T03:04:05.678Z',
    source: 'test://somewhere',
    payload: Buffer.from('hello'),
    ...fields,
  })
  return { envelope, target, format: undefined }
}

export type KafkaSink = Sink<{ topic: string; key?: string | undefined; partition?: number | undefined }>

export async function openSink(settings: Record<string, unknown> = {}, context = makeContext()): Promise<KafkaSink> {
  const sink = kafka.sink?.create(connection(settings), context)
  if (sink === undefined) throw new Error('kafka has a sink')
  await sink.open(AbortSignal.timeout(30_000))
  cleanUp.push(() => sink.close())
  return sink
}

/** Sends, and fails unless all is delivered. */
export async function produce(sink: KafkaSink, batch: readonly ReturnType<typeof outbound>[]): Promise<void> {
  const outcomes = await sink.send(batch, AbortSignal.timeout(30_000))
  for (const outcome of outcomes) if (outcome.kind !== 'delivered') throw outcome.error
}

export interface Reading {
  readonly source: Source
  /** All that was handed over, in order. */
  readonly deliveries: Delivery[]
  /** Texts of the payloads handed over. */
  texts(): string[]
  /** Resolves when this many were handed over. */
  atLeast(count: number, withinMs?: number): Promise<void>
  /** Asks to stop and waits for the drain. */
  stop(): Promise<void>
  /** Breaks the connection as a crash would: nothing is committed after. */
  kill(): Promise<void>
  readonly ended: Promise<void>
}

export async function read(
  from: Record<string, unknown>,
  options: {
    context?: Context
    onBatch?: (batch: readonly Delivery[]) => void
    settings?: Record<string, unknown>
  } = {},
): Promise<Reading> {
  const parsed = kafka.source?.schema.parse(from)
  if (parsed === undefined) throw new Error('kafka has a source')
  const source = kafka.source?.create(connection(options.settings), [parsed], options.context ?? makeContext())
  if (source === undefined) throw new Error('kafka has a source')
  await source.open(AbortSignal.timeout(30_000))
  const stopping = new AbortController()
  const deliveries: Delivery[] = []
  const ended = source.consume((batch) => {
    const read = [...batch]
    deliveries.push(...read)
    options.onBatch?.(read)
  }, stopping.signal)
  ended.catch(() => {})
  const kill = async () => {
    await source.close()
    await ended.catch(() => {})
  }
  cleanUp.push(kill)
  return {
    source,
    deliveries,
    ended,
    kill,
    texts: () => deliveries.map(({ envelope }) => Buffer.from(envelope.payload ?? []).toString()),
    atLeast: async (count, withinMs = 20_000) => {
      await eventually(() => deliveries.length >= count, { withinMs, what: `${count} messages` })
    },
    stop: async () => {
      stopping.abort()
      await ended
    },
  }
}

export const acceptAll = (batch: readonly Delivery[]): void => {
  for (const delivery of batch) delivery.settle('accept')
}

/** What the group has committed, by partition; -1: nothing. */
export async function committedOffsets(group: string, topic: string): Promise<Record<number, number>> {
  const found = await withAdmin((a) => a.fetchOffsets({ groupId: group, topics: [topic] }))
  return Object.fromEntries(found.flatMap(({ partitions }) => partitions.map((p) => [p.partition, Number(p.offset)])))
}
