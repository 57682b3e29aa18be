import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from './connection.ts'
import { brokerError, movedLeaders, toGatewayError, typeOf } from './errors.ts'
import type { Position } from './group.ts'
import type { TopicPartition } from './topic-partition.ts'

const timestamps = { earliest: -2, latest: -1 } as const
const readCommitted = 1

/** Until a partition whose leader moves is asked for again. Milliseconds. */
export const leaderPauseMs = 250
/** How long a partition may have no leader that knows of it. Milliseconds. */
const leaderPatienceMs = 5_000

/** Where partitions begin or end now. A topic that was just made may have no leader that knows of it for a moment. */
export async function listOffsets(
  cluster: Cluster,
  partitions: readonly TopicPartition[],
  end: 'earliest' | 'latest',
): Promise<Position[]> {
  const giveUpAt = performance.now() + leaderPatienceMs
  for (;;) {
    const byLeader = Map.groupBy(partitions, ({ topic, partition }) => cluster.leaderOf(topic, partition))
    let failure: unknown = brokerError('LEADER_NOT_AVAILABLE', `topic ${byLeader.get(undefined)?.[0]?.topic}`)
    try {
      if (!byLeader.has(undefined)) return await listOnce(cluster, byLeader as ByLeader, end)
    } catch (error) {
      if (!movedLeaders.has(typeOf(error))) throw toGatewayError(error, 'looking up offsets')
      failure = error
    }
    if (performance.now() > giveUpAt) throw toGatewayError(failure, 'looking up offsets')
    await sleep(leaderPauseMs)
    await cluster.refresh([...new Set(partitions.map(({ topic }) => topic))])
  }
}

type ByLeader = ReadonlyMap<number, readonly TopicPartition[]>

async function listOnce(cluster: Cluster, byLeader: ByLeader, end: 'earliest' | 'latest'): Promise<Position[]> {
  const answers = await Promise.all([...byLeader].map(([node, asked]) => listAt(cluster, node, asked, end)))
  return answers.flat()
}

async function listAt(
  cluster: Cluster,
  node: number,
  partitions: readonly TopicPartition[],
  end: 'earliest' | 'latest',
): Promise<Position[]> {
  const topics = [...Map.groupBy(partitions, ({ topic }) => topic)].map(([topic, of]) => ({
    topic,
    partitions: of.map(({ partition }) => ({ partition, timestamp: timestamps[end] })),
  }))
  const broker = await cluster.broker(node)
  const asking = broker.listOffsets({ replicaId: -1, isolationLevel: readCommitted, topics })
  const { responses } = await cluster.ask(broker, 'ListOffsets', asking, cluster.requestTimeoutMs)
  return responses.flatMap(({ topic, partitions: found }) =>
    found.map(({ partition, offset }) => ({ topic, partition, offset: Number(offset) })),
  )
}
