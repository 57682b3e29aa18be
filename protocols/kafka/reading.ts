/** Reading the partitions that are ours from the nodes that lead them, whoever that is, until the group deals anew. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from '../../src/adapter/contract.ts'
import type { SourceSession } from '../../src/adapter/source-session.ts'
import type { Envelope } from '../../src/envelope/envelope.ts'
import type { Item } from './backlog.ts'
import type { Cluster } from './client/connection.ts'
import type { WireProtocol } from './client/guard.ts'
import { type End, leaderPauseMs, listLed } from './client/offsets.ts'
import { type FetchedPartition, fetchRequest } from './client/requests.ts'
import { keyOf } from './client/topic-partition.ts'
import { decode, type KafkaPlace } from './codec.ts'
import { KafkaDelivery } from './delivery.ts'
import { brokerError, errorType, isOutage, movedLeaders, toGatewayError } from './errors.ts'
import type { OwnedPartition, Placed } from './partition.ts'
import { isUnreadable, unreadableEnvelope } from './unreadable.ts'

export interface ReadingSettings {
  /** For the log; undefined: it reads for itself alone. */
  readonly group: string | undefined
  startFrom(topic: string): End
  readonly maxFetchBytes: number
}

export interface ReadingParts {
  readonly cluster: Cluster
  readonly context: Context
  readonly settings: ReadingSettings
  readonly session: SourceSession<KafkaDelivery>
  /** Nodes that do not answer, and since when: kept from one reading to the next. */
  readonly failingSince: Map<number, number>
  /** Undefined: it is not for us, and passed over. */
  envelopeOf(item: Item, at: KafkaPlace): Envelope | undefined
}

const fetchWaitMs = 1_000
const fetchAnswerMs = 20_000
const maxPartitionBytes = 1024 * 1024
const handOverCount = 1_000
const nodePatienceMs = 30_000
/** Longest time between two looks for the leader of a partition that has none. */
const maxPauseMs = 5_000

export class Reading {
  readonly #cluster: Cluster
  readonly #context: Context
  readonly #settings: ReadingSettings
  readonly #session: SourceSession<KafkaDelivery>
  readonly #failingSince: Map<number, number>
  readonly #envelopeOf: ReadingParts['envelopeOf']
  readonly #owned: ReadonlyMap<string, OwnedPartition>
  readonly #lookUp: () => Promise<void>
  readonly #stopped: AbortSignal
  readonly #failure = Promise.withResolvers<never>()
  /** Nodes that are being read from. */
  readonly #nodes = new Set<number>()
  /** Partitions whose node says that it does not lead them, or says nothing: not asked for until the next look. */
  readonly #moved = new Set<OwnedPartition>()
  #isLooking = false
  #pauseMs = leaderPauseMs
  /** Partitions nobody leads, of which the log speaks. */
  #unled = ''

  /** `lookUp` learns who leads what; it throws where that ends the reading. */
  constructor(
    parts: ReadingParts,
    owned: ReadonlyMap<string, OwnedPartition>,
    { lookUp, stopped }: { lookUp: () => Promise<void>; stopped: AbortSignal },
  ) {
    this.#cluster = parts.cluster
    this.#context = parts.context
    this.#settings = parts.settings
    this.#session = parts.session
    this.#failingSince = parts.failingSince
    this.#envelopeOf = parts.envelopeOf
    this.#owned = owned
    this.#lookUp = lookUp
    this.#stopped = stopped
  }

  /** Goes on until it is stopped. Rejects with what ends the reading of any node. */
  run(): Promise<never> {
    this.#readFromLeaders()
    return this.#failure.promise
  }

  /** Partitions that nobody leads are looked up again, while the others are read. */
  #readFromLeaders(): void {
    for (const owned of this.#owned.values()) {
      const leader = this.#leaderOf(owned)
      if (leader === undefined) this.#lookAgainSoon()
      else if (!this.#nodes.has(leader) && !this.#moved.has(owned)) this.#begin(leader)
    }
  }

  #leaderOf({ topic, partition }: OwnedPartition): number | undefined {
    return this.#cluster.leaderOf(topic, partition)
  }

  #begin(node: number): void {
    this.#nodes.add(node)
    this.#read(node)
      .finally(() => this.#nodes.delete(node))
      .catch(this.#failure.reject)
  }

  #lookAgainSoon(): void {
    if (this.#isLooking || this.#stopped.aborted) return
    this.#isLooking = true
    this.#lookAgain().catch(this.#failure.reject)
  }

  async #lookAgain(): Promise<void> {
    await sleep(this.#pauseMs, undefined, { ref: false })
    if (this.#stopped.aborted) return
    await this.#lookUp()
    if (this.#stopped.aborted) return
    this.#isLooking = false
    this.#moved.clear()
    this.#tellUnled()
    this.#readFromLeaders()
  }

  #tellUnled(): void {
    const unled = [...this.#owned.values()].filter((owned) => this.#leaderOf(owned) === undefined)
    this.#pauseMs = unled.length === 0 ? leaderPauseMs : Math.min(2 * this.#pauseMs, maxPauseMs)
    const partitions = unled.map(keyOf).join()
    if (partitions === this.#unled) return
    this.#unled = partitions
    const { group } = this.#settings
    if (unled.length === 0) this.#context.log.info('all partitions have a leader again and are read', { group })
    else this.#context.log.warn('partitions without a leader are not read; the others are', { group, partitions })
  }

  /** Fetches from one node and hands over, one after the other: what is fetched and not handed over is one response. */
  async #read(node: number): Promise<void> {
    for (let turn = 0; !this.#stopped.aborted; turn++) {
      if (turn > 0) this.#readFromLeaders() // what it led may be led by another by now
      const mine = this.#ledBy(node, turn)
      await this.#place(mine)
      await this.#handOver(mine)
      const wanted = mine.filter(({ fetchOffset }) => fetchOffset >= 0)
      if (this.#stopped.aborted || wanted.length === 0) return
      if (!(await this.#fetch(node, wanted))) return
    }
  }

  /** False when the node does not answer. */
  async #fetch(node: number, wanted: readonly OwnedPartition[]): Promise<boolean> {
    const limits = { maxWaitMs: fetchWaitMs, maxBytes: this.#settings.maxFetchBytes, maxPartitionBytes }
    const positions = wanted.map(({ topic, partition, fetchOffset }) => ({ topic, partition, offset: fetchOffset }))
    const answer = await this.#ask(node, fetchRequest(positions, limits))
    if (answer === undefined) {
      this.#setAside(wanted)
      return false
    }
    if (answer.errorCode !== 0) throw brokerError(errorType(answer.errorCode), 'fetching')
    const requested = new Map(positions.map((position) => [keyOf(position), position.offset]))
    // those it had no room for have to wait for their turn: that is no stall
    if (answer.partitions.some(({ records }) => records.byteLength > 0)) for (const each of wanted) each.touch()
    for (const fetched of answer.partitions) {
      if (this.#stopped.aborted) break
      await this.#receive(fetched, requested.get(keyOf(fetched)) ?? -1)
    }
    return true
  }

  /** Those that had no leader when they became ours have no position yet. */
  async #place(partitions: readonly OwnedPartition[]): Promise<void> {
    const unplaced = partitions.filter(({ fetchOffset }) => fetchOffset < 0)
    for (const [end, asked] of Map.groupBy(unplaced, ({ begin }) => begin)) {
      for (const position of await listLed(this.#cluster, asked, end)) {
        this.#owned.get(keyOf(position))?.moveTo(position.offset)
      }
    }
    this.#setAside(unplaced.filter(({ fetchOffset }) => fetchOffset < 0))
  }

  #setAside(partitions: readonly OwnedPartition[]): void {
    for (const partition of partitions) this.#moved.add(partition)
    if (partitions.length > 0) this.#lookAgainSoon()
  }

  /** A node that went away may have a successor: only one that stays away for 30 s ends the reading. */
  async #ask<T>(node: number, request: WireProtocol<T>): Promise<T | undefined> {
    try {
      const answer = await this.#cluster.send(node, request, fetchAnswerMs)
      this.#failingSince.delete(node)
      return answer
    } catch (error) {
      const since = this.#failingSince.get(node) ?? Date.now()
      this.#failingSince.set(node, since)
      const failure = toGatewayError(error, 'fetching')
      if (!isOutage(failure) || Date.now() - since > nodePatienceMs) throw failure
      return undefined
    }
  }

  /** In turn, so that a partition that always has something does not starve the others. */
  #ledBy(node: number, turn: number): OwnedPartition[] {
    const all = [...this.#owned.values()].filter((owned) => this.#leaderOf(owned) === node && !this.#moved.has(owned))
    const first = turn % Math.max(1, all.length)
    return [...all.slice(first), ...all.slice(0, first)]
  }

  async #receive(fetched: FetchedPartition, requested: number): Promise<void> {
    const partition = this.#owned.get(keyOf(fetched))
    if (partition === undefined || !partition.isOurs) return
    const type = fetched.errorCode === 0 ? 'NONE' : errorType(fetched.errorCode)
    if (type === 'NONE') await this.#decode(partition, fetched, requested)
    else if (type === 'OFFSET_OUT_OF_RANGE') await this.#reposition(partition)
    else if (movedLeaders.has(type)) this.#setAside([partition])
    else throw brokerError(type, `topic ${fetched.topic}, partition ${fetched.partition}`)
  }

  async #decode(partition: OwnedPartition, fetched: FetchedPartition, requested: number): Promise<void> {
    try {
      partition.receive(fetched, requested)
    } catch (error) {
      throw toGatewayError(error, `${keyOf(partition)} at offset ${partition.fetchOffset}`)
    }
  }

  /** The log no longer has our position: messages were deleted unread, or the topic was made anew. */
  async #reposition(partition: OwnedPartition): Promise<void> {
    const startFrom = this.#settings.startFrom(partition.topic)
    const [earliest] = await listLed(this.#cluster, [partition], 'earliest')
    const [latest] = await listLed(this.#cluster, [partition], 'latest')
    const to = (startFrom === 'earliest' ? earliest : latest)?.offset
    if (to === undefined) return this.#setAside([partition])
    this.#context.count('kafka_positions_lost')
    this.#context.log.error(
      'the position is no longer in the log; messages may have been deleted before they were read',
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

  async #handOver(partitions: readonly OwnedPartition[]): Promise<void> {
    const session = this.#session
    do {
      if (session.isFull) {
        await session.whenRoom(this.#stopped)
        for (const partition of partitions) partition.touch()
      }
      if (this.#stopped.aborted) return
      const count = session.handOver(this.#readyOf(partitions), handOverCount)
      if (count === 0) await this.#unfold(partitions)
    } while (session.isFull || partitions.some(({ hasWaiting }) => hasWaiting))
  }

  /** One at a time, with nothing in hand: that is all that is unfolded at once. */
  async #unfold(partitions: readonly OwnedPartition[]): Promise<void> {
    const partition = partitions.find(({ hasWaiting }) => hasWaiting)
    if (partition === undefined) return
    try {
      await partition.unfold()
    } catch (error) {
      throw toGatewayError(error, `${keyOf(partition)} at offset ${partition.committable}`)
    }
  }

  /** Gives what is ready, partition by partition. Throws where a record cannot be read. */
  #readyOf(partitions: readonly OwnedPartition[]): () => KafkaDelivery | undefined {
    const { connection, format } = this.#context
    const places = partitions.map(({ topic, partition }) => ({ connection, format, topic, partition }))
    let index = 0
    return () => {
      while (index < partitions.length) {
        const partition = partitions[index] as OwnedPartition
        const next = partition.shift()
        const delivery = next && this.#deliveryOf(partition, next, places[index] as KafkaPlace)
        if (delivery !== undefined) return delivery
        if (next === undefined) index += 1
      }
      return undefined
    }
  }

  #deliveryOf(partition: OwnedPartition, { item, place }: Placed, at: KafkaPlace): KafkaDelivery | undefined {
    const envelope = this.#envelopeOf(item, at)
    if (envelope !== undefined) return new KafkaDelivery(envelope, partition, place)
    partition.confirm(place)
    return undefined
  }
}

/** Of any record. */
export function envelopeOf(item: Item, at: KafkaPlace): Envelope {
  return isUnreadable(item) ? unreadableEnvelope(item, at) : decode(item, at)
}
