import type { Admin, ITopicConfig } from 'kafkajs'
import { eventually } from '../poll.ts'

/** Creates topics and waits until each partition has a leader: kafkajs's own wait fails at a broker that is slow to know. */
export async function createTopics(admin: Admin, topics: ITopicConfig[]): Promise<void> {
  await admin.createTopics({ topics, waitForLeaders: false, timeout: 30_000 })
  const names = topics.map(({ topic }) => topic)
  const haveLeaders = async () => {
    const found = await admin.fetchTopicMetadata({ topics: names })
    return found.topics.every(
      ({ partitions }) => partitions.length > 0 && partitions.every(({ leader }) => leader >= 0),
    )
  }
  await eventually(haveLeaders, { withinMs: 60_000, what: `leaders of ${names.join(', ')}` })
}
