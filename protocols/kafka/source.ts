import type { Budget } from '../../src/adapter/budget.ts'
import type { Context, Deliver, Source } from '../../src/adapter/contract.ts'
import { withDeadline } from '../../src/adapter/deadline.ts'
import { sourceBudget } from '../../src/adapter/source-session.ts'
import { RetryableError } from '../../src/errors.ts'
import { Cluster } from './client/connection.ts'
import type { End } from './client/offsets.ts'
import { findTopics, isExact, topicRegExp } from './client/topics.ts'
import { type KafkaConnection, type KafkaFrom, topicsOf } from './config.ts'
import { Consumer, type ConsumerSettings, type FormerLife } from './consumer.ts'
import { toGatewayError } from './errors.ts'

const closeMs = 3000
const maxFetchBytes = 4 * 1024 * 1024

/** A member of a consumer group; commits only the unbroken confirmed prefix of each partition. */
export class KafkaSource implements Source {
  readonly #connection: KafkaConnection
  readonly #context: Context
  readonly #budget: Budget
  readonly #settings: ConsumerSettings
  readonly #formerLife: FormerLife = { staleMemberId: '' }
  #cluster: Cluster | undefined
  #reading: { consumer: Consumer; ended: Promise<void> } | undefined

  constructor(connection: KafkaConnection, froms: readonly KafkaFrom[], context: Context) {
    this.#connection = connection
    this.#context = context
    const maxBytes = froms.map((from) => from.maxBytes)
    this.#budget = sourceBudget(context, { maxInFlight: froms.map((from) => from.maxInFlight), maxBytes })
    this.#settings = {
      group: froms[0]?.group ?? context.gatewayId,
      patterns: [...new Set(froms.flatMap(topicsOf))],
      startFrom: startFromOf(froms),
      maxFetchBytes: Math.min(...maxBytes, maxFetchBytes),
    }
  }

  async open(signal: AbortSignal): Promise<void> {
    await this.close()
    const cluster = new Cluster(this.#connection, this.#context)
    try {
      await cluster.open(signal)
      await findTopics(cluster, this.#settings.patterns, signal)
      signal.throwIfAborted()
    } catch (error) {
      cluster.close()
      throw toGatewayError(error, 'opening the Kafka consumer')
    }
    this.#cluster = cluster
  }

  async consume(deliver: Deliver, signal: AbortSignal): Promise<void> {
    const cluster = this.#cluster
    if (cluster === undefined) throw new RetryableError('PEER_LOST', 'not connected')
    const consumer = new Consumer({
      cluster,
      context: this.#context,
      budget: this.#budget,
      settings: this.#settings,
      formerLife: this.#formerLife,
      deliver,
      signal,
    })
    const ended = consumer.run()
    this.#reading = { consumer, ended }
    try {
      await ended
    } catch (error) {
      if (signal.aborted) return
      throw toGatewayError(error, 'reading')
    }
  }

  async close(): Promise<void> {
    const reading = this.#reading
    this.#reading = undefined
    reading?.consumer.abandon()
    if (reading) await withDeadline(reading.ended, closeMs, 'the end of the reading').catch(() => {})
    this.#cluster?.close()
    this.#cluster = undefined
  }
}

/** With several routes on one topic the earliest wish wins: nobody misses a message. */
function startFromOf(froms: readonly KafkaFrom[]): (topic: string) => End {
  const wishes = froms.flatMap((from) =>
    topicsOf(from).map((text) => ({
      matches: isExact(text) ? undefined : topicRegExp(text),
      text,
      startFrom: from.startFrom,
    })),
  )
  return (topic) => {
    const of = wishes.filter(({ matches, text }) => matches?.test(topic) ?? text === topic)
    return of.some(({ startFrom }) => startFrom === 'earliest') ? 'earliest' : 'latest'
  }
}
