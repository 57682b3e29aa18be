/** The leader's part in a group: dealing the partitions out, one by one, among the members that read their topic. */
import type { Cluster } from './connection.ts'
import { MemberAssignment, MemberMetadata } from './guard.ts'

interface Member {
  readonly memberId: string
  readonly memberMetadata: Buffer
}

export async function assign(
  members: readonly Member[],
  cluster: Cluster,
): Promise<{ memberId: string; memberAssignment: Buffer }[]> {
  const subscriptions = members.map(({ memberId, memberMetadata }) => ({
    memberId,
    topics: new Set(MemberMetadata.decode(memberMetadata).topics),
  }))
  const topics = [...new Set(subscriptions.flatMap(({ topics: read }) => [...read]))].sort()
  if (topics.length > 0) await cluster.refresh(topics)
  const counts = topics.map((topic) => ({ topic, partitions: cluster.topic(topic)?.partitions.length ?? 0 }))
  return [...deal(subscriptions, counts)].map(([memberId, assignment]) => ({
    memberId,
    memberAssignment: MemberAssignment.encode({ version: 0, assignment }),
  }))
}

/** Pure: every partition goes to exactly one member that reads its topic; members differ by at most one per topic set. */
export function deal(
  members: readonly { readonly memberId: string; readonly topics: ReadonlySet<string> }[],
  topics: readonly { readonly topic: string; readonly partitions: number }[],
): ReadonlyMap<string, Readonly<Record<string, readonly number[]>>> {
  const sorted = members.toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1))
  const dealt = new Map<string, Record<string, number[]>>(sorted.map(({ memberId }) => [memberId, Object.create(null)]))
  let turn = 0
  for (const { topic, partitions } of topics) {
    const readers = sorted.filter(({ topics: read }) => read.has(topic))
    if (readers.length === 0) continue
    for (let partition = 0; partition < partitions; partition++) {
      const reader = readers[turn++ % readers.length] as { memberId: string }
      const assignment = dealt.get(reader.memberId) as Record<string, number[]>
      assignment[topic] ??= []
      assignment[topic].push(partition)
    }
  }
  return dealt
}
