/** Reading the partitions that are ours from the nodes that lead them, for as long as neither changes. */
import type { Budget } from '../../src/adapter/budget.ts'
import type { Context } from '../../src/adapter/contract.ts'
import { RetryableError } from '../../src/errors.ts'
import { decode } from './codec.ts'
import type { Cluster } from './connection.ts'
import { KafkaDelivery } from './delivery.ts'
import { brokerError, errorType, movedLeaders, toGatewayError } from './errors.ts'
import type { WireProtocol } from './guard.ts'
import type { InFlight } from './in-flight.ts'
import { listOffsets } from './offsets.ts'
import type { OwnedPartition } from './partition.ts'
import { type FetchedPartition, fetchRequest } from './requests.ts'
import { keyOf } from './topic-partition.ts'

export interface ReadingSettings {
  readonly group: string
  startFrom(topic: string): 'earliest' | 'latest'
  readonly maxFetchBytes: number
}

export interface ReadingParts {
  readonly cluster: Cluster
  readonly context: Context
  readonly budget: Budget
  readonly settings: ReadingSettings
  readonly inFlight: InFlight
  /** Nodes that do not answer, and since when: kept from one reading to the next. */
  readonly failingSince: Map<number, number>
}

const fetchWaitMs = 1_000
const fetchAnswerMs = 20_000
const maxPartitionBytes = 1024 * 1024
const handOverCount = 1_000
const nodePatienceMs = 30_000

export class Reading {
  readonly #cluster: Cluster
  readonly #context: Context
  readonly #budget: Budget
  readonly #settings: ReadingSettings
  readonly #inFlight: InFlight
  readonly #failingSince: Map<number, number>
  readonly #owned: ReadonlyMap<string, OwnedPartition>
  /** Called when a partition is led by a node that is not being read from. */
  readonly #leadersMoved: () => void
  /** Nodes that are being read from. */
  #nodes: ReadonlySet<number> = new Set()

  constructor(parts: ReadingParts, owned: ReadonlyMap<string, OwnedPartition>, leadersMoved: () => void) {
    this.#cluster = parts.cluster
    this.#context = parts.context
    this.#budget = parts.budget
    this.#settings = parts.settings
    this.#inFlight = parts.inFlight
    this.#failingSince = parts.failingSince
    this.#owned = owned
    this.#leadersMoved = leadersMoved
  }

  /** Rejects with what ends the reading of any node. */
  async run(stopped: AbortSignal): Promise<void> {
    this.#nodes = this.#leaders()
    await Promise.all([...this.#nodes].map((node) => this.#read(node, stopped)))
  }

  #leaders(): Set<number> {
    const leaders = new Set<number>()
    for (const { topic, partition } of this.#owned.values()) {
      const leader = this.#cluster.leaderOf(topic, partition)
      if (leader === undefined) this.#leadersMoved()
      else leaders.add(leader)
    }
    return leaders
  }

  /** Fetches from one node and hands over, one after the other: what is fetched and not handed over is one response. */
  async #read(node: number, stopped: AbortSignal): Promise<void> {
    for (let turn = 0; !stopped.aborted; turn++) {
      const mine = this.#ledBy(node, turn)
      await this.#handOver(mine, stopped)
      if (stopped.aborted || mine.length === 0) return
      const limits = { maxWaitMs: fetchWaitMs, maxBytes: this.#settings.maxFetchBytes, maxPartitionBytes }
      const positions = mine.map(({ topic, partition, fetchOffset }) => ({ topic, partition, offset: fetchOffset }))
      const answer = await this.#fetch(node, fetchRequest(positions, limits))
      if (stopped.aborted || answer === undefined) return
      if (answer.errorCode !== 0) throw brokerError(errorType(answer.errorCode), 'fetching')
      const requested = new Map(positions.map((position) => [keyOf(position), position.offset]))
      for (const fetched of answer.partitions) await this.#receive(fetched, requested.get(keyOf(fetched)) ?? -1)
    }
  }

  /** A node that went away may have a successor: only one that stays away for 30 s ends the reading. */
  async #fetch<T>(node: number, request: WireProtocol<T>): Promise<T | undefined> {
    try {
      const answer = await this.#cluster.send(node, request, fetchAnswerMs)
      this.#failingSince.delete(node)
      return answer
    } catch (error) {
      const since = this.#failingSince.get(node) ?? Date.now()
      this.#failingSince.set(node, since)
      const failure = toGatewayError(error, 'fetching')
      if (!(failure instanceof RetryableError && failure.isOutage) || Date.now() - since > nodePatienceMs) throw failure
      this.#leadersMoved()
      return undefined
    }
  }

  /** In turn, so that a partition that always has something does not starve the others. */
  #ledBy(node: number, turn: number): OwnedPartition[] {
    const all = [...this.#owned.values()].filter(({ topic, partition }) => {
      const leader = this.#cluster.leaderOf(topic, partition)
      if (leader === undefined || !this.#nodes.has(leader)) this.#leadersMoved()
      return leader === node
    })
    const first = turn % Math.max(1, all.length)
    return [...all.slice(first), ...all.slice(0, first)]
  }

  async #receive(fetched: FetchedPartition, requested: number): Promise<void> {
    const partition = this.#owned.get(keyOf(fetched))
    if (partition === undefined || !partition.isOurs) return
    const type = fetched.errorCode === 0 ? 'NONE' : errorType(fetched.errorCode)
    if (type === 'NONE') await this.#decode(partition, fetched, requested)
    else if (type === 'OFFSET_OUT_OF_RANGE') await this.#reposition(partition)
    else if (movedLeaders.has(type)) this.#leadersMoved()
    else throw brokerError(type, `topic ${fetched.topic}, partition ${fetched.partition}`)
  }

  async #decode(partition: OwnedPartition, fetched: FetchedPartition, requested: number): Promise<void> {
    try {
      await partition.receive(fetched, requested)
    } catch (error) {
      throw toGatewayError(error, `${keyOf(partition)} at offset ${partition.fetchOffset}`)
    }
  }

  /** The log no longer has our position: messages were deleted unread, or the topic was made anew. */
  async #reposition(partition: OwnedPartition): Promise<void> {
    const startFrom = this.#settings.startFrom(partition.topic)
    const [earliest] = await listOffsets(this.#cluster, [partition], 'earliest')
    const [latest] = await listOffsets(this.#cluster, [partition], 'latest')
    const to = (startFrom === 'earliest' ? earliest : latest)?.offset ?? 0
    this.#context.count('kafka_positions_lost')
    this.#context.log.error(
      'The position is no longer in the log; messages may have been deleted before they were read.',
      {
        group: this.#settings.group,
        topic: partition.topic,
        partition: partition.partition,
        position: partition.fetchOffset,
        earliest: earliest?.offset,
        latest: latest?.offset,
        goesOnAt: to,
      },
    )
    partition.moveTo(to)
  }

  async #handOver(partitions: readonly OwnedPartition[], stopped: AbortSignal): Promise<void> {
    do {
      if (this.#budget.isFull) {
        await this.#budget.whenRoom()
        for (const partition of partitions) partition.touch()
      }
      if (stopped.aborted) return
      const batch = this.#take(partitions)
      if (batch.length > 0) this.#inFlight.handOver(batch)
    } while (this.#budget.isFull || partitions.some(({ hasWaiting }) => hasWaiting))
  }

  #take(partitions: readonly OwnedPartition[]): KafkaDelivery[] {
    const batch: KafkaDelivery[] = []
    for (const partition of partitions) {
      const { connection, format } = this.#context
      const place = { connection, format, topic: partition.topic, partition: partition.partition }
      while (partition.hasWaiting && batch.length < handOverCount && !this.#budget.isFull) {
        const next = partition.shift()
        if (next === undefined) break
        const envelope = decode(next.record as Parameters<typeof decode>[0], place)
        this.#budget.take(envelope.sizeBytes)
        batch.push(new KafkaDelivery(envelope, partition.topic, next.confirm, this.#inFlight))
      }
    }
    return batch
  }
}
