/**
 * One life of a group member, from joining to leaving.
 *
 *   joining -> reading -> (the group rebalances, topics change) -> settling what can be settled -> joining
 *                      -> (signal) -> draining -> committed and left
 *   any state -> (an error) -> the promise of `run` rejects; what is in flight is committed by nobody
 */
import type { Budget } from '../../src/adapter/budget.ts'
import type { Context, Deliver } from '../../src/adapter/contract.ts'
import { withDeadline } from '../../src/adapter/deadline.ts'
import { SourceSession } from '../../src/adapter/source-session.ts'
import { messageOf, RetryableError } from '../../src/errors.ts'
import type { Cluster } from './client/connection.ts'
import { GroupMember, type Position } from './client/group.ts'
import { type End, listOffsets } from './client/offsets.ts'
import { keyOf, type TopicPartition } from './client/topic-partition.ts'
import { findTopics } from './client/topics.ts'
import { type KafkaDelivery, partitions, redeliverMs } from './delivery.ts'
import { toGatewayError } from './errors.ts'
import { OwnedPartition } from './partition.ts'
import { envelopeOf, Reading, type ReadingParts, type ReadingSettings } from './reading.ts'

export interface ConsumerSettings extends ReadingSettings {
  readonly group: string
  readonly patterns: readonly string[]
}

/** Kept from one life to the next. */
export interface FormerLife {
  /** The member of the group that a lost connection left behind. */
  staleMemberId: string
  /** Partitions of each topic at the first join: those that appear later are read from their beginning, whatever `startFrom` says. */
  first?: ReadonlyMap<string, number>
}

interface Parts {
  readonly cluster: Cluster
  readonly context: Context
  readonly budget: Budget
  readonly settings: ConsumerSettings
  readonly deliver: Deliver
  readonly signal: AbortSignal
  readonly formerLife: FormerLife
}

/** Why reading stopped. */
type Ending = 'stopped' | 'rebalancing' | 'expelled' | 'topics changed'

const commitMs = 500
const commitPatienceMs = 30_000
const discoveryMs = 30_000
const revokeMs = 3_000

export class Consumer {
  readonly #cluster: Cluster
  readonly #context: Context
  readonly #settings: ConsumerSettings
  readonly #signal: AbortSignal
  readonly #formerLife: FormerLife
  readonly #member: GroupMember
  readonly #session: SourceSession<KafkaDelivery>
  #topics: readonly string[] = []
  /** The topics and their partitions when the group was last joined. */
  #dealt = ''
  #owned = new Map<string, OwnedPartition>()
  #committing: Promise<void> = Promise.resolve()
  #committedAt = Date.now()
  #end = newEnding()
  #isJoined = false
  readonly #reads: ReadingParts

  constructor({ cluster, context, budget, settings, deliver, signal, formerLife }: Parts) {
    this.#formerLife = formerLife
    this.#cluster = cluster
    this.#context = context
    this.#settings = settings
    this.#signal = signal
    this.#member = new GroupMember(cluster, settings.group)
    this.#session = new SourceSession(partitions, { budget, gather: 'turn', redeliverMs })
    this.#session.start(deliver)
    this.#reads = { cluster, context, settings, session: this.#session, failingSince: new Map(), envelopeOf }
  }

  /** Reads until the signal, then until all in flight is settled and committed. */
  async run(): Promise<void> {
    const timers = [
      setInterval(() => this.#commitSoon(), commitMs),
      setInterval(() => void this.#discover(), discoveryMs),
    ]
    const stop = () => this.#end.resolve('stopped')
    this.#signal.addEventListener('abort', stop)
    void this.#cluster.lost().then((error) => this.#end.reject(error))
    try {
      await this.#readUntilAborted()
      await this.#drain()
    } finally {
      this.#signal.removeEventListener('abort', stop)
      for (const timer of timers) clearInterval(timer)
      for (const partition of this.#owned.values()) partition.isOurs = false
      this.#session.end(new RetryableError('PEER_LOST', 'reading has ended'))
      this.#formerLife.staleMemberId = this.#member.memberId
      await this.#member.leave()
    }
  }

  /** Ends the reading at once, as a lost connection would, except that the group is told. */
  abandon(): void {
    this.#isJoined = false
    this.#end.reject(new RetryableError('PEER_LOST', 'the source is closed'))
  }

  async #readUntilAborted(): Promise<void> {
    try {
      while (!this.#signal.aborted) await this.#unlessAborted(this.#readOnce())
    } catch (error) {
      if (!this.#signal.aborted) throw error
    }
  }

  /** A promise of its own each time: one that outlives many a race would keep them all. */
  async #unlessAborted(reading: Promise<void>): Promise<void> {
    const { promise: aborted, resolve } = Promise.withResolvers<void>()
    const stop = () => resolve()
    this.#signal.addEventListener('abort', stop)
    try {
      await Promise.race([reading, aborted])
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
    const stopping = new AbortController()
    const { promise: ending, reject } = this.#end
    const lookUp = () => this.#lookUp()
    new Reading(this.#reads, this.#owned, { lookUp, stopped: stopping.signal }).run().catch(reject)
    await this.#leave(await ending.finally(() => stopping.abort()))
  }

  /** Before the group deals anew: gives what is in flight a moment, then commits while the partitions are still ours. */
  async #leave(ending: Ending): Promise<void> {
    if (ending === 'stopped') return
    this.#context.log.debug('reading pauses', { group: this.#settings.group, ending })
    this.#context.count('kafka_rebalances')
    if (ending !== 'expelled') {
      await withDeadline(this.#session.whenIdle(), revokeMs, 'settling').catch(() => {})
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
    if (this.#formerLife.staleMemberId !== '') await this.#member.leaveAs(this.#formerLife.staleMemberId)
    this.#formerLife.staleMemberId = ''
    this.#dealt = this.#countsOf(this.#topics)
    const { partitions, isUnbroken } = await this.#member.join(this.#topics, this.#signal)
    this.#watch() // from now on: to look up where to begin may take longer than a session
    const before = this.#owned
    const kept = partitions.map((p) => before.get(keyOf(p))).filter((p) => p !== undefined)
    this.#owned = new Map(isUnbroken ? kept.map((partition) => [keyOf(partition), partition]) : [])
    for (const [key, partition] of before) if (!this.#owned.has(key)) partition.isOurs = false
    const fresh = partitions.filter((partition) => !this.#owned.has(keyOf(partition)))
    if (fresh.length > 0) await this.#begin(fresh)
    this.#formerLife.first ??= new Map(this.#topics.map((topic) => [topic, this.#partitionsOf(topic)]))
    this.#isJoined = true
    this.#commitSoon() // from `latest`, the position must outlive a restart before the first message
    const { group } = this.#settings
    this.#context.log.debug('reading from Kafka', { group, partitions: partitions.map(keyOf) })
  }

  #watch(): void {
    this.#member.watch((reason) => {
      if ('error' in reason) this.#end.reject(reason.error)
      else this.#end.resolve(reason.isExpelled ? 'expelled' : 'rebalancing')
    })
  }

  /** Where newly owned partitions are read from: the committed position, else `startFrom`. */
  async #begin(partitions: readonly TopicPartition[]): Promise<void> {
    const committed = new Map((await this.#member.committed(partitions)).map((p) => [keyOf(p), p]))
    for (const position of committed.values()) this.#own(position, { committed: position.offset, begin: 'earliest' })
    const without = partitions.filter((partition) => !committed.has(keyOf(partition)))
    const byEnd = Map.groupBy(without, (partition) => this.#startFrom(partition))
    for (const [begin, asked] of byEnd) {
      for (const partition of asked) this.#own({ ...partition, offset: -1 }, { committed: -1, begin })
      for (const position of await listOffsets(this.#cluster, asked, begin)) {
        this.#owned.get(keyOf(position))?.moveTo(position.offset)
      }
    }
  }

  #own(position: Position, from: { committed: number; begin: End }): void {
    this.#owned.set(keyOf(position), new OwnedPartition(position, from))
  }

  #startFrom({ topic, partition }: TopicPartition): End {
    const { first } = this.#formerLife
    const isNew = first !== undefined && partition >= (first.get(topic) ?? 0)
    return isNew ? 'earliest' : this.#settings.startFrom(topic)
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
      .map((partition) => ({ partition, offset: partition.committable, before: partition.committed }))
      .filter(({ partition, offset }) => partition.isOurs && offset > partition.committed)
    if (moved.length > 0) {
      const positions = moved.map(({ partition: { topic, partition }, offset }) => ({ topic, partition, offset }))
      await this.#member.commit(positions)
      for (const { partition, offset, before } of moved) {
        if (partition.committed === before) partition.committed = offset // else its log has begun anew meanwhile
      }
    }
    this.#committedAt = Date.now()
  }

  async #drain(): Promise<void> {
    this.#session.stop()
    await this.#session.whenIdle()
    await this.#commit().catch((error) => {
      this.#context.log.warn('the last positions could not be committed; their messages will be read again', {
        group: this.#settings.group,
        error: messageOf(error),
      })
    })
  }

  /** Not while the group is joined: that holds the connection, and looks for itself. */
  async #discover(): Promise<void> {
    if (this.#isJoined) await this.#lookUp().catch(() => {})
  }

  /** Who leads what. New topics of a pattern, new partitions of a topic, whoever looked them up first: the group deals anew. */
  async #lookUp(): Promise<void> {
    const topics = await findTopics(this.#cluster, this.#settings.patterns, this.#signal)
    if (this.#countsOf(topics) !== this.#dealt) this.#end.resolve('topics changed')
  }

  #countsOf(topics: readonly string[]): string {
    return topics.map((topic) => `${topic} ${this.#partitionsOf(topic)}`).join()
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
