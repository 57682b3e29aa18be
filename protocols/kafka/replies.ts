/** Where the replies to this gateway's requests are heard: a topic that every gateway reads whole, from its end, in no group. */
import type { Budget } from '../../src/adapter/budget.ts'
import type { Context, Deliver, Source } from '../../src/adapter/contract.ts'
import type { ReplyPlace } from '../../src/adapter/conversation.ts'
import { type SourcePeer, SourceSession, sourceBudget } from '../../src/adapter/source-session.ts'
import type { Envelope } from '../../src/envelope/envelope.ts'
import { type GatewayError, RetryableError } from '../../src/errors.ts'
import type { Item } from './backlog.ts'
import { Cluster } from './client/connection.ts'
import { type End, listOffsets } from './client/offsets.ts'
import { keyOf, type TopicPartition } from './client/topic-partition.ts'
import { findTopics } from './client/topics.ts'
import { decode, type KafkaPlace } from './codec.ts'
import type { KafkaConnection } from './config.ts'
import { correlationOf } from './conversation.ts'
import { type KafkaDelivery, redeliverMs } from './delivery.ts'
import { toGatewayError } from './errors.ts'
import { OwnedPartition } from './partition.ts'
import { Reading } from './reading.ts'
import { isUnreadable, unreadableEnvelope } from './unreadable.ts'

const maxInFlight = 1_000
const maxBytes = 32 * 1024 * 1024
const maxFetchBytes = 4 * 1024 * 1024
const discoveryMs = 30_000

export class ReplySource implements Source {
  readonly #connection: KafkaConnection
  readonly #context: Context
  readonly #envelopeOf: (item: Item, at: KafkaPlace) => Envelope | undefined
  readonly #budget: Budget
  /** They outlive a connection: a reply that was sent while there was none is read by the next. */
  readonly #partitions = new Map<string, OwnedPartition>()
  /** Where those begin that are not read yet: at the first opening nothing has been asked. */
  #begin: End = 'latest'
  #cluster: Cluster | undefined
  #end: ((error: GatewayError) => void) | undefined

  constructor(connection: KafkaConnection, context: Context, place: ReplyPlace) {
    this.#connection = connection
    this.#context = context
    this.#envelopeOf = envelopeFor(place.instance)
    this.#budget = sourceBudget(context, { maxInFlight: [maxInFlight], maxBytes: [maxBytes] })
  }

  async open(signal: AbortSignal): Promise<void> {
    await this.close()
    const cluster = new Cluster(this.#connection, this.#context)
    try {
      await cluster.open(signal)
      await cluster.refresh([this.#topic], { signal, mayCreate: true })
      await this.#lookUp(cluster, signal)
      await this.#place(cluster)
      signal.throwIfAborted()
    } catch (error) {
      cluster.close()
      throw toGatewayError(error, 'opening the Kafka replies')
    }
    this.#begin = 'earliest'
    this.#cluster = cluster
  }

  async consume(deliver: Deliver, signal: AbortSignal): Promise<void> {
    const cluster = this.#cluster
    if (cluster === undefined) throw new RetryableError('PEER_LOST', 'not connected')
    const session = new SourceSession<KafkaDelivery>(inMemory, { budget: this.#budget, gather: 'turn', redeliverMs })
    const ended = new AbortController()
    const end = (error: GatewayError) => {
      ended.abort()
      session.end(error)
    }
    this.#end = end
    void cluster.lost().then(end)
    const discovery = setInterval(() => void this.#lookUp(cluster, ended.signal).catch(() => {}), discoveryMs)
    this.#read(cluster, session, AbortSignal.any([signal, ended.signal])).catch((error: unknown) =>
      end(toGatewayError(error, 'reading replies')),
    )
    try {
      await session.run(deliver, signal)
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      clearInterval(discovery)
      end(new RetryableError('PEER_LOST', 'reading has ended'))
    }
  }

  async close(): Promise<void> {
    this.#end?.(new RetryableError('PEER_LOST', 'the source is closed'))
    this.#end = undefined
    this.#cluster?.close()
    this.#cluster = undefined
  }

  get #topic(): string {
    return this.#connection.replyTopic
  }

  #read(cluster: Cluster, session: SourceSession<KafkaDelivery>, stopped: AbortSignal): Promise<never> {
    const settings = { group: undefined, startFrom: () => 'earliest' as const, maxFetchBytes }
    const own = { cluster, session, settings, failingSince: new Map<number, number>() }
    const parts = { ...own, context: this.#context, envelopeOf: this.#envelopeOf }
    for (const partition of this.#partitions.values()) partition.touch()
    const lookUp = () => this.#lookUp(cluster, stopped)
    return new Reading(parts, this.#partitions, { lookUp, stopped }).run()
  }

  /** Learns who leads what, and of partitions that came or went. Throws NOT_FOUND where there is no such topic. */
  async #lookUp(cluster: Cluster, signal: AbortSignal): Promise<void> {
    const there = await this.#find(cluster, signal)
    const keys = new Set(there.map(keyOf))
    for (const key of this.#partitions.keys()) if (!keys.has(key)) this.#partitions.delete(key)
    for (const each of there) {
      if (this.#partitions.has(keyOf(each))) continue
      const position = { ...each, offset: -1 }
      this.#partitions.set(keyOf(each), new OwnedPartition(position, { committed: -1, begin: this.#begin }))
    }
  }

  async #find(cluster: Cluster, signal: AbortSignal): Promise<TopicPartition[]> {
    const topic = this.#topic
    try {
      await findTopics(cluster, [topic], signal)
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'NOT_FOUND') throw error
      this.#partitions.clear() // made anew it begins anew
      const help = 'replies could not be heard: create it, or name another as `replyTopic`'
      throw new RetryableError('NOT_FOUND', `topic ${topic} does not exist, and ${help}`)
    }
    const { partitions = [] } = cluster.topic(topic) ?? {}
    if (partitions.length === 0) throw new RetryableError('PEER_UNREACHABLE', `topic ${topic} has no partitions yet`)
    return partitions.map(({ id }) => ({ topic, partition: id }))
  }

  /** At the first opening each must have a position: who begins at the end later has missed what came before. */
  async #place(cluster: Cluster): Promise<void> {
    const unplaced = [...this.#partitions.values()].filter(({ fetchOffset }) => fetchOffset < 0)
    if (this.#begin === 'earliest' || unplaced.length === 0) return
    const positions = await listOffsets(cluster, unplaced, this.#begin)
    for (const position of positions) this.#partitions.get(keyOf(position))?.moveTo(position.offset)
    const left = unplaced.filter(({ fetchOffset }) => fetchOffset < 0).map(keyOf)
    if (left.length > 0) throw new RetryableError('PEER_UNREACHABLE', `nobody leads ${left.join(', ')}`)
  }
}

/** Nothing is committed. What was handed over is in the exchange's hands, also when the connection is lost. */
const inMemory: SourcePeer<KafkaDelivery> = {
  settle: ({ partition, place }) => partition.confirm(place),
  settleLate: ({ partition, place }) => partition.confirm(place),
}

const tokenLike = /^([0-9a-f]{24})-/

/** Undefined for a reply to another instance, which is not even decoded. */
function envelopeFor(instance: string): (item: Item, at: KafkaPlace) => Envelope | undefined {
  return (item, at) => {
    if (isUnreadable(item)) return unreadableEnvelope(item, at)
    const token = correlationOf(item.headers)
    const [, addressee = instance] = tokenLike.exec(token ?? '') ?? []
    if (addressee !== instance) return undefined
    const envelope = decode(item, at)
    return token === envelope.correlationId || token === undefined ? envelope : envelope.with({ correlationId: token })
  }
}
