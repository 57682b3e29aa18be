/** MQTT topics and filters: legality and matching. Pure. */

/** What is wrong with a topic filter, or undefined. [MQTT-4.7.1-2] [MQTT-4.7.1-3] */
export function filterProblem(filter: string): string | undefined {
  if (filter === '') return 'a topic filter must not be empty'
  if (hasIllegalCharacter(filter)) return 'a topic filter has no NUL and only whole characters'
  const levels = filter.split('/')
  const last = levels.length - 1
  for (const [i, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || i !== last)) return '# must be alone in the last level'
    if (level.includes('+') && level !== '+') return '+ must be alone in its level'
  }
  return undefined
}

export interface TopicLimits {
  readonly maxTopicLevels: number
  readonly maxTopicBytes: number
}

/** What is wrong with the topic of a PUBLISH, or undefined. [MQTT-3.3.2-2] [MQTT-4.7.3-2] */
export function topicProblem(topic: string, { maxTopicLevels, maxTopicBytes }: TopicLimits): string | undefined {
  if (topic === '') return 'the topic is empty'
  let levels = 1
  for (let i = 0; i < topic.length; i += 1) {
    const code = topic.charCodeAt(i)
    if (code === 47) levels += 1
    else if (code === 35 || code === 43) return 'the topic holds a wildcard'
    else if (code === 0) return 'the topic holds a NUL'
  }
  if (levels > maxTopicLevels) return `the topic has more than ${maxTopicLevels} levels`
  if (isLonger(topic, maxTopicBytes)) return `the topic has more than ${maxTopicBytes} bytes`
  // a decoder puts U+FFFD where the bytes were no UTF-8 [MQTT-1.5.3-1]; nobody names a topic so
  if (topic.includes('\uFFFD')) return 'the topic is not UTF-8'
  return undefined
}

/** Memory that a subscription holds, roughly: its text twice, and a node of a tree for each level. */
export function filterCost(filter: string): number {
  return 256 + 2 * filter.length + 64 * levelCount(filter)
}

/** True where the text has more bytes; they are counted only where it may. */
export function isLonger(text: string, maxBytes: number): boolean {
  return text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes
}

export function levelCount(text: string): number {
  let levels = 1
  for (let i = 0; i < text.length; i += 1) if (text.charCodeAt(i) === 47) levels += 1
  return levels
}

/** A matcher of topics for one filter. Wildcards at the first level do not match `$` topics. [MQTT-4.7.2-1] */
export function compileFilter(filter: string): (topic: string) => boolean {
  if (!filter.includes('+') && !filter.includes('#')) return (topic) => topic === filter
  const levels = filter.split('/')
  return (topic) => matchesLevels(levels, topic.split('/'))
}

function matchesLevels(filter: readonly string[], topic: readonly string[]): boolean {
  if (isWildcard(filter[0]) && topic[0]?.startsWith('$')) return false
  for (const [i, level] of filter.entries()) {
    if (level === '#') return topic.length >= i // `a/#` matches its parent `a` too [MQTT-4.7.1-2]
    if (topic[i] === undefined || (level !== '+' && level !== topic[i])) return false
  }
  return topic.length === filter.length
}

function isWildcard(level: string | undefined): boolean {
  return level === '+' || level === '#'
}

function hasIllegalCharacter(text: string): boolean {
  return text.includes('\0') || text.includes('\uFFFD') || !text.isWellFormed()
}
