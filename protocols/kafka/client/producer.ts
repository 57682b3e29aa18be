/**
 * An idempotent producer over kafkajs's connections: one batch of a partition under way at a time, sent again as it was,
 * with the same sequence number, so that the broker drops what it has already. Every record gets an outcome of its own.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Outcome } from '../../../src/adapter/contract.ts'
import { delivered } from '../../../src/adapter/contract.ts'
import { messageOf, PermanentError, RetryableError } from '../../../src/errors.ts'
import { destinationError, errorType, toGatewayError, typeOf } from '../errors.ts'
import { type Compression, compress, isFaultOfMachine } from './compression.ts'
import type { Cluster } from './connection.ts'
import { batchErrors, newProducerErrors, startingErrors, transientErrors } from './produce-errors.ts'
import type { Batch, Queue } from './queue.ts'
import { BatchBuilder, expectedBytes } from './record-batch.ts'
import { type ProduceResult, produceRequest } from './requests.ts'
import { type Routed, Sending } from './sending.ts'
import { keyOf } from './topic-partition.ts'

/** `message.max.bytes` is 1,048,588 by default and applies to the batch of a partition. */
const maxBatchBytes = 1_000_000
const maxRequestBytes = 16 * 1024 * 1024
const firstPauseMs = 50
const longestPauseMs = 1000
/** The broker gives up on slow replicas before we give up on the broker: else one partition would look like a lost node. */
const brokersShare = 0.8
/**
 * How long a partition that takes nothing is tried for its leader to move, while nothing of it is in doubt. Other
 * partitions wait with it.
 */
const stuckMs = 1500
/** Names may come from templates; past this many, all that is known of partitions is forgotten. */
const maxUnavailable = 10_000
/** Past this many partitions a new producer id is taken: under the old one no sequence may ever be forgotten. */
const maxSequences = 100_000
/** How long an unreachable cluster is waited for while it is unknown whether a batch has arrived. */
const uncertainGraceMs = 10_000

const renewAttempts = 20
const renewPauseMs = 250

interface Sent {
  readonly queue: Queue
  readonly batch: Batch
}

export class Producer {
  readonly #cluster: Cluster
  readonly #compression: Compression
  #producerId = -1n
  #epoch = 0
  #sequences = new Map<string, number>()
  /** Partitions that were given up and have taken nothing since: they are tried once a `send`, without patience. */
  readonly #unavailable = new Set<string>()

  constructor(cluster: Cluster, compression: Compression) {
    this.#cluster = cluster
    this.#compression = compression
  }

  /** Makes ready to send. Throws where this machine cannot compress as it should, or there is no producer id. */
  async open(): Promise<void> {
    await compress(this.#compression, Buffer.alloc(1))
    await this.#renew()
  }

  /** Fetches a new producer id; what was under way with the old one is forgotten. A broker that still starts is waited for. */
  async #renew(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#renewOnce()
      } catch (error) {
        if (attempt === renewAttempts || !startingErrors.has(typeOf(error))) throw error
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

  /**
   * Outcome i belongs to record i. One `send` at a time. https://github.com/tulios/kafkajs/issues/353
   * A partition that fails pauses; the others go on meanwhile, and only when they are done are the failed ones tried again.
   */
  async send(records: readonly Routed[], signal: AbortSignal): Promise<Outcome[]> {
    if (this.#sequences.size > maxSequences) this.#producerId = -1n
    const sending = new Sending(records, Date.now() + this.#cluster.requestTimeoutMs)
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
      for (let queues = sending.goingOn(); queues.length > 0; queues = sending.goingOn()) {
        await this.#round(queues, sending)
      }
      if (sending.queues.length === 0 || (await this.#cannotGoOn(sending, signal))) break
      await sleep(pauseMs)
      for (const queue of sending.queues) queue.goOn()
    }
    if (sending.isSequenceBroken) this.#producerId = -1n
    return sending.outcomes
  }

  /** One batch of each partition. */
  async #round(queues: readonly Queue[], sending: Sending): Promise<void> {
    try {
      if (this.#producerId < 0n) await this.#renew()
    } catch (error) {
      const failure = toGatewayError(error, 'fetching a producer id')
      for (const queue of queues) queue.pause(failure)
      return
    }
    const byLeader = Map.groupBy(queues, (queue) => this.#leaderOf(queue))
    await Promise.all([...byLeader].map(([node, led]) => this.#sendTo(node, led, sending)))
    if (sending.needsNewProducer) this.#beginAnew(sending)
  }

  async #sendTo(node: number | undefined, queues: readonly Queue[], sending: Sending): Promise<void> {
    if (node === undefined) {
      for (const queue of queues) queue.pause(destinationError('LEADER_NOT_AVAILABLE', placeOf(queue)))
      return
    }
    const chosen = await this.#fill(queues, sending)
    if (chosen.length === 0) return
    const batches = chosen.map(({ queue: { topic, partition }, batch }) => ({ topic, partition, batch: batch.bytes }))
    const request = produceRequest(batches, Math.ceil(sending.msLeft * brokersShare))
    let results: ProduceResult[]
    try {
      results = await this.#cluster.send(node, request, sending.msLeft)
    } catch (error) {
      const failure = toGatewayError(error, 'sending')
      for (const { queue } of chosen) queue.keepInDoubt(failure)
      return
    }
    const byPartition = new Map(results.map((result) => [keyOf(result), result]))
    for (const sent of chosen) this.#judge(sent, byPartition.get(keyOf(sent.queue)), sending)
  }

  /** Makes the next batch of each queue, as many as one request may hold. */
  async #fill(queues: readonly Queue[], sending: Sending): Promise<Sent[]> {
    const chosen: Sent[] = []
    let bytes = 0
    for (const queue of queues) {
      if (bytes >= maxRequestBytes) break
      const batch = queue.batch ?? (await this.#nextBatch(queue, sending))
      if (batch === undefined) continue
      queue.batch = batch
      bytes += batch.bytes.length
      chosen.push({ queue, batch })
    }
    return chosen
  }

  /**
   * undefined where the records cannot be written as a batch: fewer are tried next, and one alone is rejected. Throws where
   * that is the machine's fault, and no record's.
   */
  async #nextBatch(queue: Queue, sending: Sending): Promise<Batch | undefined> {
    const batch = new BatchBuilder(sizeOfNext(queue, sending))
    let size: number | undefined // of what cannot be written
    try {
      gather(queue, sending, batch)
      size = batch.count
      const first = this.#sequences.get(keyOf(queue)) ?? 0
      const sequence = { producerId: this.#producerId, epoch: this.#epoch, first }
      return { count: batch.count, bytes: await batch.finish(sequence, this.#compression) }
    } catch (cause) {
      if (isFaultOfMachine(cause)) throw cause
      const text = `topic ${queue.topic}: it cannot be written as a record: ${messageOf(cause)}`
      sending.narrow(queue, size ?? batch.count + 1, new PermanentError('MESSAGE_REFUSED', text, { cause }))
      return undefined
    }
  }

  #judge({ queue, batch }: Sent, result: ProduceResult | undefined, sending: Sending): void {
    if (result === undefined)
      return queue.keepInDoubt(new RetryableError('PEER_FAILED', `${placeOf(queue)}: no answer`))
    const type = result.errorCode === 0 ? 'NONE' : errorType(result.errorCode)
    if (type === 'NONE' || type === 'DUPLICATE_SEQUENCE_NUMBER') {
      this.#advance(queue, batch.count)
      return sending.finish(queue, batch.count, delivered)
    }
    const error = destinationError(type, placeOf(queue), result.errorMessage ?? undefined)
    queue.pause(error)
    if (type === 'NOT_ENOUGH_REPLICAS') return // said before anything is written
    if (transientErrors.has(type)) return queue.keepInDoubt(error)
    if (!newProducerErrors.has(type) && !batchErrors.has(type)) {
      if (error.code === 'PEER_FAILED') queue.keepInDoubt(error) // e.g. UNKNOWN_SERVER_ERROR: anything may have happened
      return sending.give(queue, error)
    }
    // A batch in doubt may have its sequence numbers in the log: other records must not be sent under the same.
    if (newProducerErrors.has(type) || queue.isInDoubt) {
      sending.needsNewProducer = true
      return
    }
    queue.goOn()
    sending.narrow(queue, batch.count, error, result.recordErrors)
  }

  #advance(queue: Queue, count: number): void {
    const key = keyOf(queue)
    this.#sequences.set(key, ((this.#sequences.get(key) ?? 0) + count) % 0x8000_0000)
    this.#unavailable.delete(key)
    queue.take *= 2
  }

  /** Sequence numbers belong to a producer id: with a new one every unanswered batch is made again. */
  #beginAnew(sending: Sending): void {
    sending.needsNewProducer = false
    this.#producerId = -1n
    for (const queue of sending.queues) queue.makeAnew()
  }

  /** All that is left has failed: gives up what is hopeless and looks up the leaders again. True when nothing is left. */
  async #cannotGoOn(sending: Sending, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted || sending.msLeft <= 0) {
      sending.giveAll()
      return true
    }
    const leaders = sending.queues.map((queue) => this.#leaderOf(queue))
    try {
      const topics = [...new Set(sending.queues.map(({ topic }) => topic))]
      await this.#cluster.refresh(topics)
    } catch (error) {
      const isWorthWaiting = sending.isInDoubt && Date.now() < sending.startedAt + uncertainGraceMs
      if (isWorthWaiting) return false
      sending.giveAll(toGatewayError(error, 'looking up leaders'))
      return true
    }
    sending.queues.forEach((queue, i) => {
      queue.stuckSince ??= Date.now()
      const isGone = this.#cluster.topic(queue.topic)?.partitions.length === 0
      const hasMoved = this.#leaderOf(queue) !== leaders[i]
      if (isGone) sending.give(queue, new RetryableError('NOT_FOUND', `topic ${queue.topic} does not exist`))
      else if (!hasMoved && this.#isHopeless(queue)) this.#giveUp(queue, sending)
    })
    sending.queues = sending.queues.filter(({ waiting }) => waiting.length > 0)
    return sending.queues.length === 0
  }

  #leaderOf({ topic, partition }: Queue): number | undefined {
    return this.#cluster.leaderOf(topic, partition)
  }

  /** True when nothing of a partition is in doubt and it alone keeps the others waiting. */
  #isHopeless(queue: Queue): boolean {
    if (queue.isInDoubt || queue.failure?.code !== 'DESTINATION_UNAVAILABLE') return false
    return this.#unavailable.has(keyOf(queue)) || Date.now() - (queue.stuckSince ?? 0) >= stuckMs
  }

  #giveUp(queue: Queue, sending: Sending): void {
    if (this.#unavailable.size >= maxUnavailable) this.#unavailable.clear()
    this.#unavailable.add(keyOf(queue))
    sending.give(queue, queue.failure)
  }
}

function placeOf({ topic, partition }: Queue): string {
  return `topic ${topic}, partition ${partition}`
}

/** Bytes that the next batch of a queue will have, about. */
function sizeOfNext({ waiting, take }: Queue, { records }: Sending): number {
  let bytes = 0
  for (let i = 0; i < waiting.length && i < take && bytes < maxBatchBytes; i++) {
    bytes += expectedBytes((records[waiting[i] as number] as Routed).record)
  }
  return Math.min(bytes, maxBatchBytes)
}

/** Adds as many of those that wait as one batch may have. */
function gather({ waiting, take }: Queue, { records }: Sending, batch: BatchBuilder): void {
  for (const index of waiting) {
    if (batch.count >= take || !batch.add((records[index] as Routed).record, maxBatchBytes)) return
  }
}
