/** The three requests whose answers kafkajs gives back too coarsely: it throws away which topic or partition failed. */
import type { WireProtocol } from './guard.ts'
import { Reader, Writer } from './wire.ts'

function protocol<T>(
  api: { apiKey: number; apiVersion: number; apiName: string },
  body: Buffer,
  read: (reader: Reader) => T,
): WireProtocol<T> {
  return {
    request: { ...api, encode: async () => ({ buf: body, buffer: body }) },
    response: { decode: async (payload) => read(new Reader(payload)), parse: async (decoded) => decoded },
    logResponseError: false,
  }
}

function byTopic<T extends { readonly topic: string }>(items: readonly T[]): [string, T[]][] {
  return [...Map.groupBy(items, ({ topic }) => topic)]
}

export interface TopicMetadata {
  readonly errorCode: number
  readonly name: string
  readonly isInternal: boolean
  readonly partitions: readonly { readonly errorCode: number; readonly id: number; readonly leader: number }[]
}
export interface Metadata {
  readonly brokers: readonly { readonly nodeId: number; readonly host: string; readonly port: number }[]
  readonly topics: readonly TopicMetadata[]
}

/**
 * `undefined` asks for all topics. With `mayCreate` a topic that is not there is made, where the broker's
 * `auto.create.topics.enable` allows it.
 */
export function metadataRequest(topics: readonly string[] | undefined, mayCreate = false): WireProtocol<Metadata> {
  const body = new Writer(256)
  if (topics === undefined) body.int32(-1)
  else body.array(topics, (writer, topic) => writer.string(topic))
  body.int8(mayCreate ? 1 : 0)
  return protocol({ apiKey: 3, apiVersion: 6, apiName: 'Metadata' }, body.written, readMetadata)
}

function readMetadata(reader: Reader): Metadata {
  reader.int32() // throttle time
  const brokers = reader.array((r) => {
    const broker = { nodeId: r.int32(), host: r.string() ?? '', port: r.int32() }
    r.string() // rack
    return broker
  })
  reader.string() // cluster id
  reader.int32() // controller
  const topics = reader.array((r) => ({
    errorCode: r.int16(),
    name: r.string() ?? '',
    isInternal: r.boolean(),
    partitions: r.array(readPartitionMetadata),
  }))
  return { brokers, topics }
}

function readPartitionMetadata(reader: Reader) {
  const partition = { errorCode: reader.int16(), id: reader.int32(), leader: reader.int32() }
  for (let list = 0; list < 3; list++) reader.array((r) => r.int32()) // replicas, in sync, offline
  return partition
}

export interface PartitionBatch {
  readonly topic: string
  readonly partition: number
  readonly batch: Buffer
}
export interface ProduceResult {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  /** Indexes in the batch of records that alone are at fault. */
  readonly recordErrors: readonly { readonly index: number; readonly message: string | null }[]
  readonly errorMessage: string | null
}

/** acks=all: the broker answers once every replica in sync has the batch. */
export function produceRequest(batches: readonly PartitionBatch[], timeoutMs: number): WireProtocol<ProduceResult[]> {
  const body = new Writer(batches.reduce((sum, { batch, topic }) => sum + batch.length + topic.length * 3 + 32, 64))
  body.string(null).int16(-1).int32(timeoutMs)
  body.array(byTopic(batches), (writer, [topic, ofTopic]) =>
    writer
      .string(topic)
      .array(ofTopic, (w, { partition, batch }) => w.int32(partition).int32(batch.length).bytes(batch)),
  )
  return protocol({ apiKey: 0, apiVersion: 8, apiName: 'Produce' }, body.written, (reader) =>
    reader.array(readProducedTopic).flat(),
  )
}

function readProducedTopic(reader: Reader): ProduceResult[] {
  const topic = reader.string() ?? ''
  return reader.array((r) => {
    const head = { topic, partition: r.int32(), errorCode: r.int16() }
    r.offset += 24 // base offset, append time, log start
    const recordErrors = r.array((error) => ({ index: error.int32(), message: error.string() }))
    return { ...head, recordErrors, errorMessage: r.string() }
  })
}

export interface FetchPosition {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}
export interface FetchedPartition {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  /** End of what may be read: beyond it lie open transactions. */
  readonly lastStableOffset: number
  readonly logStartOffset: number
  readonly aborted: readonly { readonly producerId: bigint; readonly firstOffset: number }[]
  readonly records: Buffer
}
export interface FetchLimits {
  readonly maxWaitMs: number
  readonly maxBytes: number
  readonly maxPartitionBytes: number
}

const readCommitted = 1

/** Waits at the broker until there is something, at most `maxWaitMs`. */
export function fetchRequest(
  positions: readonly FetchPosition[],
  limits: FetchLimits,
): WireProtocol<{ errorCode: number; partitions: FetchedPartition[] }> {
  const body = new Writer(256 + positions.length * 64)
  body.int32(-1).int32(limits.maxWaitMs).int32(1).int32(limits.maxBytes).int8(readCommitted)
  body.int32(0).int32(-1) // no fetch session
  body.array(byTopic(positions), (writer, [topic, ofTopic]) =>
    writer
      .string(topic)
      .array(ofTopic, (w, { partition, offset }) =>
        w.int32(partition).int32(-1).int64(offset).int64(-1).int32(limits.maxPartitionBytes),
      ),
  )
  body.int32(0).string('') // nothing forgotten, no rack
  return protocol({ apiKey: 1, apiVersion: 11, apiName: 'Fetch' }, body.written, (reader) => {
    reader.int32() // throttle time
    const errorCode = reader.int16()
    reader.int32() // session
    return { errorCode, partitions: reader.array(readFetchedTopic).flat() }
  })
}

function readFetchedTopic(reader: Reader): FetchedPartition[] {
  const topic = reader.string() ?? ''
  return reader.array((r) => {
    const head = { topic, partition: r.int32(), errorCode: r.int16() }
    r.int64() // high watermark
    const offsets = { lastStableOffset: r.int64(), logStartOffset: r.int64() }
    const aborted = r.array((entry) => ({ producerId: entry.bigint64(), firstOffset: entry.int64() }))
    r.int32() // preferred replica
    return { ...head, ...offsets, aborted, records: r.bytes(Math.max(0, r.int32())) }
  })
}
