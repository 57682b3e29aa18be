import { afterAll, afterEach } from '@jest/globals'
import { Kafka, logLevel } from 'kafkajs'
import { kafka } from '../../../protocols/kafka/index.ts'
import type { Context, Delivery, Sink } from '../../../src/adapter/contract.ts'
import { brokerAddresses } from '../brokers/addresses.ts'
import { unique } from '../names.ts'
import { createTopics } from '../places/topics.ts'
import { testContext } from './context.ts'
import { type envelopeOf, outboundTo } from './messages.ts'
import { RunningSource } from './running-source.ts'

/** Of a connection called `events`, as the tests of Kafka know it. */
export const makeContext = () => testContext('events')

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

export async function makeTopic(
  options: { name?: string; partitions?: number; config?: Record<string, string> } = {},
): Promise<string> {
  const topic = options.name ?? unique('kafka')
  const configEntries = Object.entries(options.config ?? {}).map(([name, value]) => ({ name, value }))
  await withAdmin((a) => createTopics(a, [{ topic, numPartitions: options.partitions ?? 1, configEntries }]))
  topics.push(topic)
  return topic
}

interface Target {
  readonly topic: string
  readonly key?: string
  readonly partition?: number
}

export const outbound = (target: Target, fields: Parameters<typeof envelopeOf>[0] = {}) => outboundTo(target, fields)

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

interface ReadOptions {
  readonly context?: Context
  readonly onBatch?: (batch: readonly Delivery[]) => void
  readonly settings?: Record<string, unknown>
}

/** A source that is killed at the end of the test, if it is not stopped before. */
export async function read(from: Record<string, unknown>, options: ReadOptions = {}): Promise<RunningSource> {
  const parsed = kafka.source?.schema.parse(from)
  if (parsed === undefined) throw new Error('kafka has a source')
  const source = kafka.source?.create(connection(options.settings), [parsed], options.context ?? makeContext())
  if (source === undefined) throw new Error('kafka has a source')
  await source.open(AbortSignal.timeout(30_000))
  const running = new RunningSource(source, options.onBatch)
  cleanUp.push(() => running.kill())
  return running
}

/** What the group has committed, by partition; -1: nothing. */
export async function committedOffsets(group: string, topic: string): Promise<Record<number, number>> {
  const found = await withAdmin((a) => a.fetchOffsets({ groupId: group, topics: [topic] }))
  return Object.fromEntries(found.flatMap(({ partitions }) => partitions.map((p) => [p.partition, Number(p.offset)])))
}
