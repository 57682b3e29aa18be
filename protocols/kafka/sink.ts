import { setTimeout as sleep } from 'node:timers/promises'
import { type Context, type Outbound, type Outcome, rejected, type Sink } from '../../src/adapter/contract.ts'
import { withDeadline } from '../../src/adapter/deadline.ts'
import { again, unsendable } from '../../src/adapter/outcomes.ts'
import { Pace } from '../../src/adapter/pace.ts'
import { type GatewayError, PermanentError, RetryableError } from '../../src/errors.ts'
import { Cluster } from './client/connection.ts'
import { partitionOfKey, Sticky } from './client/partitioner.ts'
import { Producer } from './client/producer.ts'
import type { TopicMetadata } from './client/requests.ts'
import type { Routed } from './client/sending.ts'
import { encode } from './codec.ts'
import type { KafkaConnection, KafkaTarget } from './config.ts'
import { destinationError, errorType, toGatewayError } from './errors.ts'

type KafkaOutbound = Outbound<KafkaTarget>
interface Generation {
  readonly cluster: Cluster
  readonly producer: Producer
}

/** A topic that was not there is looked up again after this long. */
const absentMs = 1000
const creationLooks = 4
const creationMs = 100
const slackMs = 2000
const mostInBatch = 2000
const unknownTopic = 3
const maxAbsent = 10_000

/** One idempotent producer; confirmed by every replica in sync; one send under way. */
export class KafkaSink implements Sink<KafkaTarget> {
  readonly keepsOrder = true
  readonly maxConcurrentSends = 1
  readonly #pace = new Pace(mostInBatch)
  readonly #settings: KafkaConnection
  readonly #context: Context
  readonly #sticky = new Sticky()
  readonly #absentUntil = new Map<string, number>()
  #generation: Generation | undefined

  constructor(settings: KafkaConnection, context: Context) {
    this.#settings = settings
    this.#context = context
  }

  get maxBatch(): number {
    return this.#pace.batch
  }

  async open(signal: AbortSignal): Promise<void> {
    await this.close()
    const cluster = new Cluster(this.#settings, this.#context)
    const producer = new Producer(cluster, this.#settings.compression)
    try {
      await cluster.open(signal)
      await producer.open()
      signal.throwIfAborted()
    } catch (error) {
      cluster.close()
      throw toGatewayError(error, 'opening the Kafka producer')
    }
    this.#generation = { cluster, producer }
  }

  async close(): Promise<void> {
    this.#generation?.cluster.close()
    this.#generation = undefined
  }

  lost(): Promise<GatewayError> {
    return this.#generation?.cluster.lost() ?? new Promise(() => {})
  }

  async send(batch: readonly KafkaOutbound[], signal: AbortSignal): Promise<readonly Outcome[]> {
    const generation = this.#generation
    if (generation === undefined) return batch.map(() => again(new RetryableError('PEER_LOST', 'not connected')))
    const outcomes: Outcome[] = new Array(batch.length)
    const departedAt = performance.now()
    try {
      const sending = this.#sendAll(generation, batch, outcomes, signal)
      await withDeadline(sending, this.#settings.requestTimeout + slackMs, 'confirmation by the brokers')
    } catch (error) {
      const failure = toGatewayError(error, 'sending')
      generation.cluster.fail(failure) // what still runs must not meet the next send: the gateway opens anew
      for (let i = 0; i < batch.length; i++) outcomes[i] ??= again(failure)
    }
    this.#pace.ended(outcomes.filter(isAnswer).length, performance.now() - departedAt)
    return outcomes.map((outcome, i) => finalFor(batch[i] as KafkaOutbound, outcome))
  }

  async #sendAll(
    { cluster, producer }: Generation,
    batch: readonly KafkaOutbound[],
    outcomes: Outcome[],
    signal: AbortSignal,
  ): Promise<void> {
    const absent = await this.#lookUp(cluster, batch)
    const partitioner = new Partitioner(cluster, this.#sticky, absent)
    const routed: Routed[] = []
    const indexes: number[] = []
    batch.forEach((outbound, index) => {
      try {
        routed.push(partitioner.place(outbound))
        indexes.push(index)
      } catch (error) {
        outcomes[index] = unsendable(error)
      }
    })
    const results = await producer.send(routed, signal)
    results.forEach((outcome, i) => {
      outcomes[indexes[i] as number] = outcome
    })
  }

  /** Learns who leads the topics of a batch; gives the errors of those that cannot be used. */
  async #lookUp(cluster: Cluster, batch: readonly KafkaOutbound[]): Promise<ReadonlyMap<string, GatewayError>> {
    cluster.limitTopics()
    if (this.#absentUntil.size > maxAbsent) this.#absentUntil.clear()
    const topics = new Set<string>()
    for (const { target } of batch) if (!isThere(cluster, target)) topics.add(target.topic)
    const unknown = [...topics]
    const now = Date.now()
    const asked = new Set(unknown.filter((topic) => (this.#absentUntil.get(topic) ?? 0) <= now))
    await this.#askAll(cluster, asked, batch)
    const nextAskAt = Date.now() + absentMs // from the answer on: asking itself may take longer
    const absent = new Map<string, GatewayError>()
    for (const topic of unknown) {
      const metadata = cluster.topic(topic)
      if (isUsable(metadata)) {
        this.#absentUntil.delete(topic)
        continue
      }
      if (asked.has(topic)) this.#absentUntil.set(topic, nextAskAt)
      absent.set(topic, topicError(topic, metadata))
    }
    return absent
  }

  async #askAll(cluster: Cluster, asked: ReadonlySet<string>, batch: readonly KafkaOutbound[]): Promise<void> {
    const ours = new Set(batch.filter(({ target }) => target.mustExist !== true).map(({ target }) => target.topic))
    const toCreate = [...asked].filter((topic) => ours.has(topic))
    const toFind = [...asked].filter((topic) => !ours.has(topic))
    if (toCreate.length > 0) await this.#create(cluster, toCreate)
    if (toFind.length > 0) await cluster.refresh(toFind)
  }

  /** A broker that creates a topic on being asked for it has it a moment later; only the first question waits for that. */
  async #create(cluster: Cluster, topics: readonly string[]): Promise<void> {
    const isNew = topics.some((topic) => !this.#absentUntil.has(topic))
    for (let look = 1; look <= (isNew ? creationLooks : 1); look += 1) {
      if (look > 1) await sleep(creationMs)
      await cluster.refresh(topics, { mayCreate: true })
      if (topics.every((topic) => isUsable(cluster.topic(topic)))) return
    }
  }
}

/** Not one that nobody heard of in time. */
function isAnswer(outcome: Outcome): boolean {
  return outcome.kind !== 'retryable' || !outcome.error.isOutage
}

/**
 * An asker whose topic is not there, or that we may not write to, is gone: nobody will mend that, and its request must not
 * wait for it.
 */
function finalFor({ target }: KafkaOutbound, outcome: Outcome): Outcome {
  if (target.mustExist !== true || outcome.kind !== 'retryable') return outcome
  const { code, message } = outcome.error
  if (code !== 'NOT_FOUND' && code !== 'ACCESS_DENIED') return outcome
  return rejected(new PermanentError('MESSAGE_UNROUTABLE', message, { cause: outcome.error }))
}

function isThere(cluster: Cluster, { topic, partition = 0 }: KafkaTarget): boolean {
  return partition < (cluster.topic(topic)?.partitions.length ?? 0)
}

function isUsable(metadata: TopicMetadata | undefined): boolean {
  return metadata !== undefined && metadata.partitions.length > 0
}

/** Finds the place of each message of one batch. */
class Partitioner {
  readonly #cluster: Cluster
  readonly #sticky: Sticky
  readonly #absent: ReadonlyMap<string, GatewayError>
  readonly #chosen = new Map<string, number>()

  constructor(cluster: Cluster, sticky: Sticky, absent: ReadonlyMap<string, GatewayError>) {
    this.#cluster = cluster
    this.#sticky = sticky
    this.#absent = absent
  }

  /** Throws a GatewayError for a message that has no place. */
  place(outbound: KafkaOutbound): Routed {
    const { topic, partition } = outbound.target
    const error = this.#absent.get(topic)
    if (error !== undefined) throw error
    const record = encode(outbound)
    const { partitions } = this.#cluster.topic(topic) as TopicMetadata
    if (partition !== undefined) {
      if (partition < partitions.length) return { topic, partition, record }
      throw new RetryableError('NOT_FOUND', `topic ${topic} has ${partitions.length} partitions, none is ${partition}`)
    }
    if (record.key !== null) return { topic, partition: partitionOfKey(record.key, partitions.length), record }
    return { topic, partition: this.#withoutKey(topic, partitions), record }
  }

  #withoutKey(topic: string, partitions: TopicMetadata['partitions']): number {
    const known = this.#chosen.get(topic)
    if (known !== undefined) return known
    const usable = partitions.filter(({ leader }) => leader >= 0).map(({ id }) => id)
    const partition = this.#sticky.choose(topic, usable) ?? 0
    this.#chosen.set(topic, partition)
    return partition
  }
}

function topicError(topic: string, metadata: TopicMetadata | undefined): GatewayError {
  const code = metadata?.errorCode ?? unknownTopic
  if (code === unknownTopic) return new RetryableError('NOT_FOUND', `topic ${topic} does not exist`)
  return destinationError(errorType(code), `topic ${topic}`)
}
