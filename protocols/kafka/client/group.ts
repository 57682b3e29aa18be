/**
 * Membership of one consumer group: join, heartbeat, commit, leave. Heartbeats run on a timer of their own, whatever the
 * sinks do. https://github.com/tulios/kafkajs/issues/1600
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { withDeadline } from '../../../src/adapter/deadline.ts'
import { RetryableError } from '../../../src/errors.ts'
import { toGatewayError, typeOf } from '../errors.ts'
import { assign } from './assignment.ts'
import type { Cluster } from './connection.ts'
import { type DriverBroker, MemberAssignment, MemberMetadata } from './guard.ts'
import type { TopicPartition } from './topic-partition.ts'

export interface Position extends TopicPartition {
  readonly offset: number
}
export interface Membership {
  readonly partitions: readonly TopicPartition[]
  /** True when nobody else can have owned our partitions since the last membership. */
  readonly isUnbroken: boolean
}

const sessionMs = 15_000
const rebalanceMs = 60_000
const heartbeatMs = 3_000
const retryMs = 200
const joinAttempts = 50
const leaveMs = 2_000
/** The protocol's name for Java's round robin; metadata and assignments have the same form. */
const assignor = 'roundrobin'

const rebalancing: ReadonlySet<string> = new Set(['REBALANCE_IN_PROGRESS'])
const expelled: ReadonlySet<string> = new Set(['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'FENCED_INSTANCE_ID'])
const coordinatorGone: ReadonlySet<string> = new Set([
  'NOT_COORDINATOR_FOR_GROUP',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'GROUP_LOAD_IN_PROGRESS',
])

export class GroupMember {
  readonly #cluster: Cluster
  readonly #groupId: string
  /** The node that keeps the group's state. */
  #coordinator: number | undefined
  #memberId = ''
  #generation = -1
  #heartbeat: NodeJS.Timeout | undefined

  constructor(cluster: Cluster, groupId: string) {
    this.#cluster = cluster
    this.#groupId = groupId
  }

  /** Our name in the group; empty outside it. */
  get memberId(): string {
    return this.#memberId
  }

  /** Takes a member of ours out of the group, which otherwise waits for it until its session ends. Never throws. */
  async leaveAs(memberId: string): Promise<void> {
    const leaving = this.#withCoordinator('LeaveGroup', (broker) =>
      broker.leaveGroup({ groupId: this.#groupId, memberId }),
    )
    await withDeadline(leaving, leaveMs, 'leaving the group').catch(() => {})
  }

  /** Joins, or joins again; resolves with the partitions that are ours. */
  async join(topics: readonly string[], signal: AbortSignal): Promise<Membership> {
    this.#stopBeating()
    const before = this.#generation
    for (let attempt = 0; attempt < joinAttempts; attempt++) {
      signal.throwIfAborted()
      try {
        const partitions = await this.#joinOnce(topics)
        const isUnbroken = this.#generation === before || this.#generation === before + 1
        return { partitions, isUnbroken }
      } catch (error) {
        if (!this.#mayJoinAgain(error)) throw toGatewayError(error, `joining group ${this.#groupId}`)
        await sleep(retryMs)
      }
    }
    throw new RetryableError('PEER_FAILED', `group ${this.#groupId} does not come to rest`)
  }

  /**
   * Beats until the group is joined again or left. Calls `left` when the group rebalances (`false`) or has dropped us
   * (`true`), or with the error of a lost coordinator.
   */
  watch(left: (reason: { isExpelled: boolean } | { error: unknown }) => void): void {
    let lastAnswer = Date.now()
    let isBeating = false
    const beat = async () => {
      if (isBeating) return
      isBeating = true
      try {
        await this.#withCoordinator('Heartbeat', (broker) =>
          broker.heartbeat({ ...this.#identity, groupGenerationId: this.#generation }),
        )
        lastAnswer = Date.now()
      } catch (error) {
        if (this.#heartbeat !== timer) return // of a membership that is over
        const type = typeOf(error)
        if (rebalancing.has(type) || expelled.has(type)) left({ isExpelled: expelled.has(type) })
        else if (Date.now() - lastAnswer > sessionMs) left({ error: toGatewayError(error, `group ${this.#groupId}`) })
      } finally {
        isBeating = false
      }
    }
    this.#stopBeating()
    const timer = setInterval(() => void beat(), heartbeatMs)
    this.#heartbeat = timer
  }

  #stopBeating(): void {
    clearInterval(this.#heartbeat)
    this.#heartbeat = undefined
  }

  /** True when the error says that the group must be joined again before anything else is accepted. */
  static isOutOfGroup(error: unknown): boolean {
    return rebalancing.has(typeOf(error)) || expelled.has(typeOf(error))
  }

  async commit(positions: readonly Position[]): Promise<void> {
    const topics = perTopic(positions, ({ partition, offset }) => ({ partition, offset: String(offset) }))
    const generation = { groupGenerationId: this.#generation }
    await this.#withCoordinator('OffsetCommit', (broker) =>
      broker.offsetCommit({ ...this.#identity, ...generation, topics }),
    )
  }

  /** Committed positions; a partition without one is left out. */
  async committed(partitions: readonly TopicPartition[]): Promise<Position[]> {
    const topics = perTopic(partitions, ({ partition }) => ({ partition }))
    const { responses } = await this.#withCoordinator('OffsetFetch', (broker) =>
      broker.offsetFetch({ groupId: this.#groupId, topics }),
    )
    return responses
      .flatMap(({ topic, partitions: found }) =>
        found.map((p) => ({ topic, partition: p.partition, offset: Number(p.offset) })),
      )
      .filter(({ offset }) => offset >= 0)
  }

  /** Stops the heartbeats and tells the group, within two seconds. Never throws. */
  async leave(): Promise<void> {
    this.#stopBeating()
    if (this.#memberId === '' || this.#coordinator === undefined) return
    const memberId = this.#memberId
    this.#memberId = ''
    await this.leaveAs(memberId)
  }

  get #identity(): { groupId: string; memberId: string } {
    return { groupId: this.#groupId, memberId: this.#memberId }
  }

  async #joinOnce(topics: readonly string[]): Promise<readonly TopicPartition[]> {
    const metadata = MemberMetadata.encode({ version: 0, topics })
    const timing = { sessionTimeout: sessionMs, rebalanceTimeout: rebalanceMs }
    const joined = await this.#withCoordinator(
      'JoinGroup',
      (broker) => broker.joinGroup({ ...this.#identity, ...timing, groupProtocols: [{ name: assignor, metadata }] }),
      rebalanceMs + this.#cluster.requestTimeoutMs,
    )
    this.#memberId = joined.memberId
    this.#generation = joined.generationId
    const isLeader = joined.memberId === joined.leaderId
    const groupAssignment = isLeader ? await assign(joined.members, this.#cluster) : []
    const { memberAssignment } = await this.#withCoordinator('SyncGroup', (broker) =>
      broker.syncGroup({ ...this.#identity, generationId: joined.generationId, groupAssignment }),
    )
    const { assignment } = MemberAssignment.decode(memberAssignment) ?? { assignment: {} }
    return Object.entries(assignment).flatMap(([topic, ids]) => ids.map((partition) => ({ topic, partition })))
  }

  #mayJoinAgain(error: unknown): boolean {
    const type = typeOf(error)
    if (expelled.has(type)) {
      this.#memberId = ''
      this.#generation = -1
    }
    return expelled.has(type) || rebalancing.has(type) || coordinatorGone.has(type)
  }

  async #withCoordinator<T>(
    what: string,
    request: (broker: DriverBroker) => Promise<T>,
    timeoutMs = this.#cluster.requestTimeoutMs,
  ): Promise<T> {
    this.#coordinator ??= await this.#findCoordinator()
    try {
      const broker = await this.#cluster.broker(this.#coordinator)
      return await this.#cluster.ask(broker, `${what} of group ${this.#groupId}`, request(broker), timeoutMs)
    } catch (error) {
      const isAnswer = typeof (error as { type?: unknown }).type === 'string' && !coordinatorGone.has(typeOf(error))
      if (!isAnswer) this.#coordinator = undefined
      throw error
    }
  }

  async #findCoordinator(): Promise<number> {
    const any = await this.#cluster.anyBroker()
    const finding = any.findGroupCoordinator({ groupId: this.#groupId, coordinatorType: 0 })
    const { coordinator } = await this.#cluster.ask(any, 'FindCoordinator', finding, this.#cluster.requestTimeoutMs)
    return coordinator.nodeId
  }
}

function perTopic<P extends TopicPartition, T>(
  items: readonly P[],
  map: (item: P) => T,
): { topic: string; partitions: T[] }[] {
  return [...Map.groupBy(items, ({ topic }) => topic)].map(([topic, of]) => ({ topic, partitions: of.map(map) }))
}
