import { setTimeout as sleep } from 'node:timers/promises'
import { isOutage, movedLeaders, toGatewayError, typeOf } from '../errors.ts'
import type { Cluster } from './connection.ts'
import type { Position } from './group.ts'
import { keyOf, type TopicPartition } from './topic-partition.ts'

const timestamps = { earliest: -2, latest: -1 } as const
const readCommitted = 1

/** Until a partition whose leader moves is asked for again. Milliseconds. */
export const leaderPauseMs = 250
/** How long a partition may have no leader that knows of it. Milliseconds. */
const leaderPatienceMs = 5_000

export type End = 'earliest' | 'latest'

/**
 * Where partitions begin or end now. A topic that was just made may have no leader that knows of it for a moment: those of
 * which none can say it within five seconds are left out.
 */
export async function listOffsets(
  cluster: Cluster,
  partitions: readonly TopicPartition[],
  end: End,
): Promise<Position[]> {
  const giveUpAt = performance.now() + leaderPatienceMs
  const found = new Map<string, Position>()
  for (;;) {
    const left = partitions.filter((partition) => !found.has(keyOf(partition)))
    for (const position of await listLed(cluster, left, end)) found.set(keyOf(position), position)
    if (found.size === partitions.length || performance.now() > giveUpAt) return [...found.values()]
    await sleep(leaderPauseMs)
    await cluster.refresh([...new Set(left.map(({ topic }) => topic))])
  }
}

/** As `listOffsets`, of those only that have a leader which knows of it and can be reached now. */
export async function listLed(cluster: Cluster, partitions: readonly TopicPartition[], end: End): Promise<Position[]> {
  const byLeader = Map.groupBy(partitions, ({ topic, partition }) => cluster.leaderOf(topic, partition))
  const answers = [...byLeader].map(async ([node, asked]) =>
    node === undefined ? [] : listAll(cluster, node, asked, end),
  )
  return (await Promise.all(answers)).flat()
}

/** One that has moved spoils the answer about all: then each is asked for alone. */
async function listAll(
  cluster: Cluster,
  node: number,
  asked: readonly TopicPartition[],
  end: End,
): Promise<Position[]> {
  try {
    return await listAt(cluster, node, asked, end)
  } catch (error) {
    const failure = toGatewayError(error, 'looking up offsets')
    const hasMoved = movedLeaders.has(typeOf(error))
    if (!hasMoved && !isOutage(failure)) throw failure
    if (!hasMoved || asked.length === 1) return []
    return (await Promise.all(asked.map((partition) => listAll(cluster, node, [partition], end)))).flat()
  }
}

async function listAt(
  cluster: Cluster,
  node: number,
  partitions: readonly TopicPartition[],
  end: End,
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
