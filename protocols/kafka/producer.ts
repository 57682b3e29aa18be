/**
 * An idempotent producer over kafkajs's connections: one batch of a partition under way at a time, sent again as it was,
 * with the same sequence number, so that the broker drops what it has already. Every record gets an outcome of its own.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Outcome } from '../../src/adapter/contract.ts'
import { delivered } from '../../src/adapter/contract.ts'
import { messageOf, PermanentError, RetryableError } from '../../src/errors.ts'
import type { Compression } from './compression.ts'
import type { Cluster } from './connection.ts'
import { brokerError, errorType, toGatewayError, typeOf } from './errors.ts'
import { encodeBatch, type OutRecord, sizeOfRecord } from './record-batch.ts'
import { type ProduceResult, produceRequest } from './requests.ts'

export interface Routed {
  readonly topic: string
  readonly partition: number
  readonly record: OutRecord
}

/** `message.max.bytes` is 1,048,588 by default and applies to the batch of a partition. */
const maxBatchBytes = 1_000_000
const recordOverheadBytes = 20
const maxRequestBytes = 16 * 1024 * 1024
const firstPauseMs = 50
const longestPauseMs = 1000
/** How long an unreachable cluster is waited for while it is unknown whether a batch has arrived. */
const uncertainGraceMs = 10_000

const renewAttempts = 20
const renewPauseMs = 250

const starting: ReadonlySet<string> = new Set(['GROUP_LOAD_IN_PROGRESS', 'GROUP_COORDINATOR_NOT_AVAILABLE'])
/** The broker has lost track of our sequence numbers: only a new producer id helps. https://github.com/tulios/kafkajs/issues/598 */
const needNewProducer: ReadonlySet<string> = new Set([
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'UNKNOWN_PRODUCER_ID',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
  'PRODUCER_FENCED',
])
/** Answered by another leader, or by the same one in a moment. A leader that is replaced may have written the batch. */
const transient: ReadonlySet<string> = new Set([
  'NOT_LEADER_FOR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'NETWORK_EXCEPTION',
  'REQUEST_TIMED_OUT',
  'NOT_ENOUGH_REPLICAS',
  'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  'KAFKA_STORAGE_ERROR',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
])
/** The whole batch is refused, but it may be the fault of one record. */
const perhapsOneRecord: ReadonlySet<string> = new Set([
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_RECORD',
  'INVALID_TIMESTAMP',
  'CORRUPT_MESSAGE',
])

interface Batch {
  readonly count: number
  readonly bytes: Buffer
}
interface Sent {
  readonly queue: Queue
  readonly batch: Batch
}

/** What waits for one partition during one `send`. */
interface Queue {
  readonly topic: string
  readonly partition: number
  /** Indexes of the records, in order. */
  waiting: number[]
  /** Most records in the next batch: halved to find the one at fault. */
  take: number
  /** The batch under way or to be sent again as it is. */
  batch: Batch | undefined
  /** True while the batch may have been written although no answer came. */
  isUncertain: boolean
}

export class Producer {
  readonly #cluster: Cluster
  readonly #compression: Compression
  #producerId = -1n
  #epoch = 0
  #sequences = new Map<string, number>()

  constructor(cluster: Cluster, compression: Compression) {
    this.#cluster = cluster
    this.#compression = compression
  }

  /** Fetches a new producer id; what was under way with the old one is forgotten. A broker that still starts is waited for. */
  async renew(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#renewOnce()
      } catch (error) {
        if (attempt === renewAttempts || !starting.has(typeOf(error))) throw error
        await sleep(renewPauseMs)
      }
    }
  }

  async #renewOnce(): Promise<void> {
    const broker = await this.#cluster.anyBroker()
    const request = broker.initProducerId({ transactionTimeout: 60_000 })
    const given = await this.#cluster.ask(broker, 'InitProducerId', request, this.#cluster.requestTimeoutMs)
    this.#producerId = BigInt(given.producerId)
    this.#epoch = given.producerEpoch
    this.#sequences = new Map()
  }

  /** Outcome i belongs to record i. One `send` at a time. https://github.com/tulios/kafkajs/issues/353 */
  async send(records: readonly Routed[], signal: AbortSignal): Promise<Outcome[]> {
    const sending = new Sending(records, Date.now() + this.#cluster.requestTimeoutMs)
    let pauseMs = firstPauseMs
    while (sending.queues.length > 0) {
      const isSmooth = await this.#round(sending)
      if (isSmooth) {
        pauseMs = firstPauseMs
        continue
      }
      if (await this.#cannotGoOn(sending, signal)) break
      await sleep(pauseMs)
      pauseMs = Math.min(longestPauseMs, pauseMs * 2)
    }
    if (sending.isSequenceBroken) this.#producerId = -1n
    return sending.outcomes
  }

  /** One batch of each partition. False when something is to be tried again after a pause. */
  async #round(sending: Sending): Promise<boolean> {
    try {
      if (this.#producerId < 0n) await this.renew()
    } catch (error) {
      sending.lastError = toGatewayError(error, 'fetching a producer id')
      return false
    }
    const byLeader = Map.groupBy(sending.queues, ({ topic, partition }) => this.#cluster.leaderOf(topic, partition))
    const isSmooth = await Promise.all([...byLeader].map(([node, queues]) => this.#sendTo(node, queues, sending)))
    if (sending.needsNewProducer) this.#beginAnew(sending)
    sending.queues = sending.queues.filter(({ waiting }) => waiting.length > 0)
    return isSmooth.every(Boolean)
  }

  async #sendTo(node: number | undefined, queues: readonly Queue[], sending: Sending): Promise<boolean> {
    if (node === undefined) {
      sending.lastError = brokerError('LEADER_NOT_AVAILABLE', `topic ${queues[0]?.topic}`)
      return false
    }
    const chosen = await this.#fill(queues, sending)
    const batches = chosen.map(({ queue, batch }) => ({ ...queue, batch: batch.bytes }))
    const request = produceRequest(batches, sending.msLeft)
    let results: ProduceResult[]
    try {
      results = await this.#cluster.send(node, request, sending.msLeft)
    } catch (error) {
      for (const { queue } of chosen) queue.isUncertain = true
      sending.lastError = toGatewayError(error, 'sending')
      return false
    }
    const byPartition = new Map(results.map((result) => [keyOf(result), result]))
    return chosen.map((sent) => this.#judge(sent, byPartition.get(keyOf(sent.queue)), sending)).every(Boolean)
  }

  /** Makes the next batch of each queue, as many as one request may hold. */
  async #fill(queues: readonly Queue[], sending: Sending): Promise<Sent[]> {
    const chosen: Sent[] = []
    let bytes = 0
    for (const queue of queues) {
      if (bytes >= maxRequestBytes) break
      queue.batch ??= await this.#nextBatch(queue, sending)
      bytes += queue.batch.bytes.length
      chosen.push({ queue, batch: queue.batch })
    }
    return chosen
  }

  async #nextBatch(queue: Queue, sending: Sending): Promise<Batch> {
    const records: OutRecord[] = []
    const sizes: number[] = []
    let total = 0
    for (const index of queue.waiting) {
      const { record } = sending.records[index] as Routed
      const size = sizeOfRecord(record)
      total += size + recordOverheadBytes
      if (records.length >= queue.take || (records.length > 0 && total > maxBatchBytes)) break
      records.push(record)
      sizes.push(size)
    }
    const first = this.#sequences.get(keyOf(queue)) ?? 0
    const sequence = { producerId: this.#producerId, epoch: this.#epoch, first }
    return { count: records.length, bytes: await encodeBatch(records, sequence, this.#compression, sizes) }
  }

  /** True when the queue can go on at once. */
  #judge({ queue, batch }: Sent, result: ProduceResult | undefined, sending: Sending): boolean {
    if (result === undefined) return keepInDoubt(queue)
    const type = result.errorCode === 0 ? 'NONE' : errorType(result.errorCode)
    if (type === 'NONE' || type === 'DUPLICATE_SEQUENCE_NUMBER') {
      this.#advance(queue, batch.count)
      sending.finish(queue, batch.count, delivered)
      return true
    }
    const error = brokerError(
      type,
      `topic ${queue.topic}, partition ${queue.partition}`,
      result.errorMessage ?? undefined,
    )
    sending.lastError = error
    if (transient.has(type)) return type === 'NOT_ENOUGH_REPLICAS' ? false : keepInDoubt(queue)
    if (!needNewProducer.has(type) && !perhapsOneRecord.has(type)) {
      if (error.code === 'PEER_FAILED') queue.isUncertain = true // e.g. UNKNOWN_SERVER_ERROR: anything may have happened
      sending.give(queue, error)
      return true
    }
    // A batch in doubt may have its sequence numbers in the log: other records must not be sent under the same.
    if (needNewProducer.has(type) || queue.isUncertain) {
      queue.isUncertain = false
      sending.needsNewProducer = true
      return false
    }
    queue.batch = undefined
    narrow(queue, batch.count, result, error, sending)
    return true
  }

  #advance(queue: Queue, count: number): void {
    const next = (this.#sequences.get(keyOf(queue)) ?? 0) + count
    this.#sequences.set(keyOf(queue), next % 0x8000_0000)
    queue.take *= 2
  }

  /** Sequence numbers belong to a producer id: with a new one every unanswered batch is made again. */
  #beginAnew(sending: Sending): void {
    sending.needsNewProducer = false
    this.#producerId = -1n
    for (const queue of sending.queues) queue.batch = undefined
  }

  /** After a failed round: looks up the leaders again. True when the rest has got its outcomes. */
  async #cannotGoOn(sending: Sending, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted || sending.msLeft <= 0) {
      const late = new RetryableError('PEER_TIMEOUT', `not confirmed in time: ${messageOf(sending.lastError)}`)
      sending.giveAll(
        sending.lastError instanceof RetryableError && sending.lastError.isOutage ? sending.lastError : late,
      )
      return true
    }
    try {
      const topics = [...new Set(sending.queues.map(({ topic }) => topic))]
      await this.#cluster.refresh(topics)
    } catch (error) {
      const isWorthWaiting = sending.isUncertain && Date.now() < sending.startedAt + uncertainGraceMs
      if (isWorthWaiting) return false
      sending.giveAll(toGatewayError(error, 'looking up leaders'))
      return true
    }
    for (const queue of sending.queues) {
      const isGone = this.#cluster.topic(queue.topic)?.partitions.length === 0
      if (isGone) sending.give(queue, new RetryableError('NOT_FOUND', `topic ${queue.topic} does not exist`))
    }
    sending.queues = sending.queues.filter(({ waiting }) => waiting.length > 0)
    return sending.queues.length === 0
  }
}

function keyOf({ topic, partition }: { topic: string; partition: number }): string {
  return `${topic}/${partition}`
}

/** The same batch is to be sent again under the same sequence number, whatever became of it. */
function keepInDoubt(queue: Queue): false {
  queue.isUncertain = true
  return false
}

/** Rejects the records at fault where they are known; else halves the batch until one is left. */
function narrow(
  queue: Queue,
  count: number,
  result: ProduceResult,
  error: RetryableError | PermanentError,
  sending: Sending,
): void {
  if (result.recordErrors.length > 0) {
    const at = new Map(result.recordErrors.map(({ index, message }) => [index, message]))
    for (const [index, message] of at) {
      const text = `topic ${queue.topic}: ${message ?? messageOf(error)}`
      sending.reject(queue.waiting[index], new PermanentError('MESSAGE_REFUSED', text))
    }
    queue.waiting = queue.waiting.filter((_, index) => !at.has(index))
  } else if (count > 1) {
    queue.take = Math.ceil(count / 2)
  } else {
    const refusal = error instanceof PermanentError ? error : new PermanentError('MESSAGE_REFUSED', error.message)
    sending.finish(queue, 1, { kind: 'rejected', error: refusal })
    queue.take = Number.MAX_SAFE_INTEGER
  }
}

/** The state of one `send`. */
class Sending {
  readonly records: readonly Routed[]
  readonly outcomes: Outcome[]
  readonly startedAt = Date.now()
  readonly #deadline: number
  queues: Queue[]
  lastError: unknown = undefined
  /** True when a batch was given up of which nobody knows whether it was written. */
  isSequenceBroken = false
  /** True when the broker has lost track of our sequence numbers: what is unanswered is made again under a new id. */
  needsNewProducer = false

  constructor(records: readonly Routed[], deadline: number) {
    this.records = records
    this.#deadline = deadline
    this.outcomes = new Array<Outcome>(records.length)
    this.queues = queuesOf(records)
  }

  get msLeft(): number {
    return Math.max(0, this.#deadline - Date.now())
  }

  get isUncertain(): boolean {
    return this.queues.some((queue) => queue.isUncertain)
  }

  /** Settles the first `count` of a queue. */
  finish(queue: Queue, count: number, outcome: Outcome): void {
    for (let i = 0; i < count; i++) this.outcomes[queue.waiting[i] as number] = outcome
    queue.waiting = queue.waiting.slice(count)
    queue.batch = undefined
    queue.isUncertain = false
  }

  reject(index: number | undefined, error: PermanentError): void {
    if (index !== undefined) this.outcomes[index] = { kind: 'rejected', error }
  }

  /** Gives up a queue: what waits in it gets the error. */
  give(queue: Queue, error: unknown): void {
    if (queue.isUncertain) this.isSequenceBroken = true
    this.finish(queue, queue.waiting.length, outcomeOf(error))
  }

  giveAll(error: unknown): void {
    for (const queue of this.queues) this.give(queue, error)
    this.queues = []
  }
}

function outcomeOf(error: unknown): Outcome {
  if (error instanceof PermanentError && error.code !== 'CONFIG_INVALID') return { kind: 'rejected', error }
  if (error instanceof RetryableError) return { kind: 'retryable', error }
  return { kind: 'retryable', error: new RetryableError('PEER_FAILED', messageOf(error), { cause: error }) }
}

function queuesOf(records: readonly Routed[]): Queue[] {
  const queues = new Map<string, Map<number, Queue>>()
  records.forEach(({ topic, partition }, index) => {
    const ofTopic = queues.get(topic) ?? new Map<number, Queue>()
    queues.set(topic, ofTopic)
    const queue = ofTopic.get(partition)
    if (queue) queue.waiting.push(index)
    else ofTopic.set(partition, newQueue(topic, partition, index))
  })
  return [...queues.values()].flatMap((ofTopic) => [...ofTopic.values()])
}

function newQueue(topic: string, partition: number, index: number): Queue {
  return { topic, partition, waiting: [index], take: Number.MAX_SAFE_INTEGER, batch: undefined, isUncertain: false }
}
