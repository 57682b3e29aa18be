import { afterEach, describe, expect, it, jest } from '@jest/globals'
import type { Cluster } from '../../../../protocols/kafka/client/connection.ts'
import { MemberAssignment } from '../../../../protocols/kafka/client/guard.ts'
import { Consumer } from '../../../../protocols/kafka/consumer.ts'
import { Budget } from '../../../../src/adapter/budget.ts'
import { testContext } from '../../../support/contexts/context.ts'
import { eventually } from '../../../support/poll.ts'

const heartbeatMs = 3_000
const discoveryMs = 30_000

/** A cluster of one node with topic `t`, whose group deals us partition 0. No fetch is ever answered. */
class FakeCluster {
  readonly requestTimeoutMs = 20_000
  readonly asked: string[] = []
  partitions = 3
  offsetFetch: () => Promise<unknown> = async () => ({
    responses: [{ topic: 't', partitions: [{ partition: 0, offset: '5' }] }],
  })
  heartbeat: () => Promise<void> = async () => {}
  readonly #node = {
    findGroupCoordinator: async () => ({ coordinator: { nodeId: 1 } }),
    joinGroup: async () => ({ generationId: this.count('JoinGroup'), leaderId: 'other', memberId: 'us', members: [] }),
    syncGroup: async () => ({ memberAssignment: MemberAssignment.encode({ version: 0, assignment: { t: [0] } }) }),
    heartbeat: () => this.heartbeat(),
    offsetFetch: () => this.offsetFetch(),
    offsetCommit: async () => {},
    leaveGroup: async () => {},
  }

  count(request: string): number {
    return this.asked.filter((what) => what.startsWith(request)).length
  }
  topic(name: string) {
    const partitions = Array.from({ length: this.partitions }, (_, id) => ({ errorCode: 0, id, leader: 1 }))
    return { errorCode: 0, name, isInternal: false, partitions }
  }
  leaderOf(): number {
    return 1
  }
  async refresh() {
    return { brokers: [], topics: [this.topic('t')] }
  }
  async broker() {
    return this.#node
  }
  async anyBroker() {
    return this.#node
  }
  ask<T>(_broker: unknown, what: string, request: Promise<T>): Promise<T> {
    this.asked.push(what)
    return request
  }
  lost(): Promise<never> {
    return new Promise(() => {})
  }
  send(): Promise<never> {
    return new Promise(() => {})
  }
}

const stops: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
  jest.restoreAllMocks()
})

function consume(cluster: FakeCluster): void {
  const stopping = new AbortController()
  const consumer = new Consumer({
    cluster: cluster as unknown as Cluster,
    context: testContext('events'),
    budget: new Budget({ maxCount: 10, maxBytes: 1024 }),
    settings: { group: 'g', patterns: ['t'], startFrom: () => 'earliest', maxFetchBytes: 1024 },
    deliver: () => {},
    signal: stopping.signal,
    formerLife: { staleMemberId: '' },
  })
  const ended = consumer.run()
  stops.push(() => {
    stopping.abort()
    return ended
  })
}

/** Has what comes every `everyMs` come every 10 ms. */
function hasten(...everyMs: readonly number[]): void {
  const real = setInterval
  const hastened = (run: () => void, ms = 0) => real(run, everyMs.includes(ms) ? 10 : ms)
  jest.spyOn(globalThis, 'setInterval').mockImplementation(hastened as typeof setInterval)
}

describe('kafka consumer', () => {
  it('beats while it still looks up where to begin', async () => {
    hasten(heartbeatMs)
    const cluster = new FakeCluster()
    const found = await cluster.offsetFetch()
    const looking = Promise.withResolvers<unknown>()
    cluster.offsetFetch = () => looking.promise
    consume(cluster)
    await eventually(() => cluster.count('OffsetFetch') > 0, { what: 'a look-up' })
    await eventually(() => cluster.count('Heartbeat') > 1, { what: 'heartbeats meanwhile' })
    looking.resolve(found)
  })

  it('joins again when a topic has more partitions than were dealt, whoever looked them up first', async () => {
    hasten(discoveryMs)
    const cluster = new FakeCluster()
    consume(cluster)
    await eventually(() => cluster.count('JoinGroup') === 1, { what: 'a member' })
    cluster.partitions = 4 // known from now on, before the next look for news
    await eventually(() => cluster.count('JoinGroup') === 2, { what: 'joined again' })
  })

  it('does not take the answer to a heartbeat of an earlier membership for one of this', async () => {
    hasten(heartbeatMs, discoveryMs)
    const cluster = new FakeCluster()
    const late = Promise.withResolvers<void>()
    cluster.heartbeat = () => late.promise
    consume(cluster)
    await eventually(() => cluster.count('Heartbeat') === 1, { what: 'a heartbeat' })
    cluster.heartbeat = async () => {}
    cluster.partitions = 4
    await eventually(() => cluster.count('Heartbeat') > 1, { what: 'a heartbeat of the next membership' })
    late.reject(Object.assign(new Error('late'), { type: 'ILLEGAL_GENERATION' }))
    const beats = cluster.count('Heartbeat')
    await eventually(() => cluster.count('Heartbeat') > beats + 5, { what: 'more heartbeats' })
    expect(cluster.count('JoinGroup')).toBe(2)
  })
})
