/**
 * One life of a group member, from joining to leaving.
 *
 *   joining -> reading -> (the group rebalances, leaders or topics change) -> settling what can be settled -> joining
 *                      -> (signal) -> draining -> committed and left
 *   any state -> (an error) -> the promise of `run` rejects; what is in flight is committed by nobody
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Budget } from '../../src/adapter/budget.ts'
import type { Context, Delivery } from '../../src/adapter/contract.ts'
import { messageOf, RetryableError } from '../../src/errors.ts'
import { decode } from './codec.ts'
import type { Cluster } from './connection.ts'
import { KafkaDelivery } from './delivery.ts'
import { brokerError, errorType, movedLeaders, toGatewayError } from './errors.ts'
import { GroupMember, type Position } from './group.ts'
import type { WireProtocol } from './guard.ts'
import { InFlight } from './in-flight.ts'
import { leaderPauseMs, listOffsets } from './offsets.ts'
import { OwnedPartition } from './partition.ts'
import { type FetchedPartition, fetchRequest } from './requests.ts'
import { findTopics } from './topics.ts'

export interface ConsumerSettings {
  readonly group: string
  readonly patterns: readonly string[]
  startFrom(topic: string): 'earliest' | 'latest'
  readonly maxFetchBytes: number
}

/** Kept from one life to the next. */
export interface Past {
  /** The member of the group that a lost connection left behind. */
  ghost: string
  /** Partitions of each topic at the first join: those that appear later are read from their beginning, whatever `startFrom` says. */
  first?: ReadonlyMap<string, number>
}

interface Parts {
  readonly cluster: Cluster
  readonly context: Context
  readonly budget: Budget
  readonly settings: ConsumerSettings
  readonly deliver: (batch: readonly Delivery[]) => void
  readonly signal: AbortSignal
  readonly past: Past
}

/** Why reading stopped. */
type Ending = 'stopped' | 'rebalancing' | 'expelled' | 'leaders moved' | 'topics changed'

const commitMs = 500
const commitPatienceMs = 30_000
const discoveryMs = 30_000
const revokeMs = 3_000
const fetchWaitMs = 1_000
const fetchAnswerMs = 20_000
const maxPartitionBytes = 1024 * 1024
const handOverCount = 1_000
const nodePatienceMs = 30_000

export class Consumer {
  readonly #cluster: Cluster
  readonly #context: Context
  readonly #budget: Budget
  readonly #settings: ConsumerSettings
  readonly #signal: AbortSignal
  readonly #past: Past
  readonly #member: GroupMember
  readonly #inFlight: InFlight
  #topics: readonly string[] = []
  #owned = new Map<string, OwnedPartition>()
  #committing: Promise<void> = Promise.resolve()
  #committedAt = Date.now()
  #end = newEnding()
  #isJoined = false
  /** Nodes that are being read from. */
  #nodes: ReadonlySet<number> = new Set()
  readonly #failingSince = new Map<number, number>()

  constructor({ cluster, context, budget, settings, deliver, signal, past }: Parts) {
    this.#past = past
    this.#cluster = cluster
    this.#context = context
    this.#budget = budget
    this.#settings = settings
    this.#signal = signal
    this.#member = new GroupMember(cluster, settings.group)
    this.#inFlight = new InFlight(budget, deliver)
  }

  /** Reads until the signal, then until all in flight is settled and committed. */
  async run(): Promise<void> {
    const timers = [
      setInterval(() => this.#commitSoon(), commitMs),
      setInterval(() => void this.#discover(), discoveryMs),
    ]
    const stop = () => this.#end.resolve('stopped')
    this.#signal.addEventListener('abort', stop)
    try {
      await this.#readUntilAborted()
      await this.#drain()
    } finally {
      this.#signal.removeEventListener('abort', stop)
      for (const timer of timers) clearInterval(timer)
      for (const partition of this.#owned.values()) partition.isOurs = false
      this.#inFlight.end()
      this.#past.ghost = this.#member.memberId
      await this.#member.leave()
    }
  }

  /** Ends the reading at once, as a lost connection would, except that the group is told. */
  abandon(): void {
    this.#isJoined = false
    this.#end.reject(new RetryableError('PEER_LOST', 'the source is closed'))
  }

  async #readUntilAborted(): Promise<void> {
    const { promise: aborted, resolve } = Promise.withResolvers<void>()
    const stop = () => resolve()
    this.#signal.addEventListener('abort', stop)
    try {
      while (!this.#signal.aborted) await Promise.race([this.#readOnce(), aborted])
    } catch (error) {
      if (!this.#signal.aborted) throw error
    } finally {
      this.#signal.removeEventListener('abort', stop)
    }
  }

  async #readOnce(): Promise<void> {
    this.#end = newEnding()
    const topics = await findTopics(this.#cluster, this.#settings.patterns, this.#signal)
    if (topics.join() !== this.#topics.join()) this.#isJoined = false // e.g. one is gone: its partitions are nobody's
    this.#topics = topics
    if (!this.#isJoined) await this.#join()
    if (this.#signal.aborted) return
    const reading = new AbortController()
    const { promise: ending, reject, resolve } = this.#end
    this.#member.watch((reason) => {
      if ('error' in reason) reject(reason.error)
      else resolve(reason.isExpelled ? 'expelled' : 'rebalancing')
    })
    this.#nodes = this.#leaders()
    for (const node of this.#nodes) this.#read(node, reading.signal).catch(reject)
    await this.#leave(await ending.finally(() => reading.abort()))
  }

  /** Before the group deals anew: gives what is in flight a moment, then commits while the partitions are still ours. */
  async #leave(ending: Ending): Promise<void> {
    if (ending === 'stopped') return
    this.#context.log.debug('reading pauses', { group: this.#settings.group, ending })
    if (ending === 'leaders moved') {
      await sleep(leaderPauseMs)
      return
    }
    this.#context.count('kafka_rebalances')
    if (ending !== 'expelled') {
      await Promise.race([this.#inFlight.whenIdle(), sleep(revokeMs)])
      await this.#commit().catch(() => {}) // what is not committed is read again: by us or by the next owner
    }
    this.#isJoined = false
    if (ending === 'expelled') this.#disown()
  }

  #disown(): void {
    for (const partition of this.#owned.values()) partition.isOurs = false
    this.#owned.clear()
  }

  async #join(): Promise<void> {
    if (this.#past.ghost !== '') await this.#member.bury(this.#past.ghost)
    this.#past.ghost = ''
    const { partitions, isUnbroken } = await this.#member.join(this.#topics, this.#signal)
    const before = this.#owned
    const kept = partitions.map((p) => before.get(keyOf(p))).filter((p) => p !== undefined)
    this.#owned = new Map(isUnbroken ? kept.map((partition) => [keyOf(partition), partition]) : [])
    for (const [key, partition] of before) if (!this.#owned.has(key)) partition.isOurs = false
    const fresh = partitions.filter((partition) => !this.#owned.has(keyOf(partition)))
    if (fresh.length > 0) await this.#begin(fresh)
    this.#past.first ??= new Map(this.#topics.map((topic) => [topic, this.#partitionsOf(topic)]))
    this.#isJoined = true
    this.#commitSoon() // from `latest`, the position must outlive a restart before the first message
    const { group } = this.#settings
    this.#context.log.debug('reading from Kafka', { group, partitions: partitions.map(keyOf) })
  }

  /** Where newly owned partitions are read from: the committed position, else `startFrom`. */
  async #begin(partitions: readonly { topic: string; partition: number }[]): Promise<void> {
    const committed = new Map((await this.#member.committed(partitions)).map((p) => [keyOf(p), p]))
    for (const position of committed.values()) this.#own(position, position.offset)
    const without = partitions.filter((partition) => !committed.has(keyOf(partition)))
    const byEnd = Map.groupBy(without, (partition) => this.#startFrom(partition))
    for (const [end, asked] of byEnd) {
      for (const position of await listOffsets(this.#cluster, asked, end)) this.#own(position, -1)
    }
  }

  #own(position: Position, committed: number): void {
    this.#owned.set(keyOf(position), new OwnedPartition(position, committed))
  }

  #startFrom({ topic, partition }: { topic: string; partition: number }): 'earliest' | 'latest' {
    const { first } = this.#past
    const isNew = first !== undefined && partition >= (first.get(topic) ?? 0)
    return isNew ? 'earliest' : this.#settings.startFrom(topic)
  }

  #leaders(): Set<number> {
    const leaders = new Set<number>()
    for (const { topic, partition } of this.#owned.values()) {
      const leader = this.#cluster.leaderOf(topic, partition)
      if (leader === undefined) this.#end.resolve('leaders moved')
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
      this.#end.resolve('leaders moved')
      return undefined
    }
  }

  /** In turn, so that a partition that always has something does not starve the others. */
  #ledBy(node: number, turn: number): OwnedPartition[] {
    const all = [...this.#owned.values()].filter(({ topic, partition }) => {
      const leader = this.#cluster.leaderOf(topic, partition)
      if (leader === undefined || !this.#nodes.has(leader)) this.#end.resolve('leaders moved')
      return leader === node
    })
    const first = turn % Math.max(1, all.length)
    return [...all.slice(first), ...all.slice(0, first)]
  }

  async #receive(fetched: FetchedPartition, requested: number): Promise<void> {
    const partition = this.#owned.get(keyOf(fetched))
    if (partition === undefined) return
    const type = fetched.errorCode === 0 ? 'NONE' : errorType(fetched.errorCode)
    if (type === 'NONE') await this.#decode(partition, fetched, requested)
    else if (type === 'OFFSET_OUT_OF_RANGE') await this.#reposition(partition)
    else if (movedLeaders.has(type)) this.#end.resolve('leaders moved')
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

  #commitSoon(): void {
    if (!this.#isJoined) return
    const { resolve, reject } = this.#end
    this.#commit().catch((error) => {
      if (GroupMember.isOutOfGroup(error)) resolve(isRebalancing(error) ? 'rebalancing' : 'expelled')
      else if (Date.now() - this.#committedAt > commitPatienceMs) reject(toGatewayError(error, 'committing'))
      else this.#context.log.debug('a commit failed and is tried again', { error: messageOf(error) })
    })
  }

  /** Commits the confirmed prefixes that have grown. One commit at a time, so that an older one cannot come last. */
  #commit(): Promise<void> {
    const after = this.#committing.then(() => this.#commitNow())
    this.#committing = after.catch(() => {})
    return after
  }

  async #commitNow(): Promise<void> {
    const moved = [...this.#owned.values()]
      .map((partition) => ({ partition, offset: partition.committable }))
      .filter(({ partition, offset }) => partition.isOurs && offset > partition.committed)
    if (moved.length > 0) {
      const positions = moved.map(({ partition: { topic, partition }, offset }) => ({ topic, partition, offset }))
      await this.#member.commit(positions)
      for (const { partition, offset } of moved) partition.committed = offset
    }
    this.#committedAt = Date.now()
  }

  async #drain(): Promise<void> {
    this.#inFlight.end()
    await this.#inFlight.whenIdle()
    await this.#commit().catch((error) => {
      this.#context.log.warn('The last positions could not be committed; their messages will be read again.', {
        group: this.#settings.group,
        error: messageOf(error),
      })
    })
  }

  /** New topics of a pattern, new partitions of a topic: the group deals anew. */
  async #discover(): Promise<void> {
    const before = this.#partitionCount()
    const known = this.#topics
    const topics = await findTopics(this.#cluster, this.#settings.patterns, this.#signal).catch(() => known)
    if (topics.join() !== known.join() || this.#partitionCount() !== before) this.#end.resolve('topics changed')
  }

  #partitionCount(): number {
    return this.#topics.reduce((sum, topic) => sum + this.#partitionsOf(topic), 0)
  }

  #partitionsOf(topic: string): number {
    return this.#cluster.topic(topic)?.partitions.length ?? 0
  }
}

/** Rejected before anybody waits for it, it must not count as unhandled. */
function newEnding(): PromiseWithResolvers<Ending> {
  const ending = Promise.withResolvers<Ending>()
  ending.promise.catch(() => {})
  return ending
}

function isRebalancing(error: unknown): boolean {
  return (error as { type?: unknown }).type === 'REBALANCE_IN_PROGRESS'
}

function keyOf({ topic, partition }: { topic: string; partition: number }): string {
  return `${topic}/${partition}`
}
