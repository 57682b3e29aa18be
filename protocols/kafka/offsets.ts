import type { Cluster } from './connection.ts'
import { brokerError, toGatewayError } from './errors.ts'
import type { Position, TopicPartition } from './group.ts'

const timestamps = { earliest: -2, latest: -1 } as const
const readCommitted = 1

/** Where partitions begin or end now. Throws when one has no leader. */
export async function listOffsets(
  cluster: Cluster,
  partitions: readonly TopicPartition[],
  end: 'earliest' | 'latest',
): Promise<Position[]> {
  const byLeader = Map.groupBy(partitions, ({ topic, partition }) => cluster.leaderOf(topic, partition))
  const answers = await Promise.all([...byLeader].map(([node, asked]) => listAt(cluster, node, asked, end)))
  return answers.flat()
}

async function listAt(
  cluster: Cluster,
  node: number | undefined,
  partitions: readonly TopicPartition[],
  end: 'earliest' | 'latest',
): Promise<Position[]> {
  if (node === undefined) throw brokerError('LEADER_NOT_AVAILABLE', `topic ${partitions[0]?.topic}`)
  const topics = [...Map.groupBy(partitions, ({ topic }) => topic)].map(([topic, of]) => ({
    topic,
    partitions: of.map(({ partition }) => ({ partition, timestamp: timestamps[end] })),
  }))
  try {
    const broker = await cluster.broker(node)
    const asking = broker.listOffsets({ replicaId: -1, isolationLevel: readCommitted, topics })
    const { responses } = await cluster.ask(broker, 'ListOffsets', asking, cluster.requestTimeoutMs)
    return responses.flatMap(({ topic, partitions: found }) =>
      found.map(({ partition, offset }) => ({ topic, partition, offset: Number(offset) })),
    )
  } catch (error) {
    throw toGatewayError(error, 'looking up offsets')
  }
}
