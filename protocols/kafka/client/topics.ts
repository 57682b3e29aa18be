/** Which topics a source reads: the exact names, and those of the cluster that a pattern matches. */
import { RetryableError } from '../../../src/errors.ts'
import { brokerError, errorType } from '../errors.ts'
import type { Cluster } from './connection.ts'

/** True for a name in which nothing is captured. */
export function isExact(pattern: string): boolean {
  return !pattern.includes('{')
}

/** A pattern as a regular expression over topic names: `{name}` is one level between dots, `{name#}` all that remain. */
export function topicRegExp(pattern: string): RegExp {
  const source = pattern
    .replaceAll(/\{\w+#\}/g, '\u0001')
    .replaceAll(/\{\w+\}/g, '\u0000')
    .replaceAll(/[.*+?^${}()|[\]\\-]/g, String.raw`\$&`)
    .replaceAll('\u0000', '[^.]+')
    .replaceAll('\u0001', '.+')
  return new RegExp(`^${source}$`)
}

/** The topics that exist now, sorted. Throws NOT_FOUND when an exact name does not exist or no topic matches at all. */
export async function findTopics(
  cluster: Cluster,
  patterns: readonly string[],
  signal: AbortSignal,
): Promise<string[]> {
  const exact = patterns.filter(isExact)
  const expressions = patterns.filter((pattern) => !isExact(pattern)).map(topicRegExp)
  const metadata = await cluster.refresh(expressions.length > 0 ? undefined : exact, { signal })
  const present = new Map(metadata.topics.map((topic) => [topic.name, topic]))
  for (const topic of exact) {
    const { errorCode } = present.get(topic) ?? { errorCode: unknownTopic }
    if (errorCode === unknownTopic) throw new RetryableError('NOT_FOUND', `topic ${topic} does not exist`)
    if (errorCode === accessDenied) throw brokerError(errorType(errorCode), `topic ${topic}`)
  }
  const matching = metadata.topics.filter(
    ({ name, isInternal }) => !isInternal && expressions.some((e) => e.test(name)),
  )
  return [...new Set([...exact, ...matching.map(({ name }) => name)])].sort()
}

const unknownTopic = 3
const accessDenied = 29
