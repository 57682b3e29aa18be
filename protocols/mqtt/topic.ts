/** MQTT topics: the text a template may give, and what a pattern asks the broker for. Pure. */
import type { AddressPattern, DestinationKind } from '../../src/adapter/protocol.ts'

/** Most levels of a topic; the embedded broker and several others allow no more. */
const maxLevels = 100
const maxBytes = 65_535

/** A topic's templates: a value stays within its level, and different values give different levels. */
export const topicDestination: DestinationKind = { encode: encodeLevel, separator: '/', check: topicProblem }

/**
 * Injective: `%` itself is encoded, so that no two values meet. An empty value is `%`, which nothing else gives; a lone
 * surrogate, which UTF-8 cannot carry, is `%u` and its number.
 */
function encodeLevel(value: string): string {
  if (value === '') return '%'
  return value.replaceAll(/^\$|[%/+#\p{Cc}]|\p{Cs}/gu, (character) => {
    const code = character.charCodeAt(0)
    return code >= 0xd800 ? `%u${code.toString(16).toUpperCase()}` : `%${hexPair(code)}`
  })
}

function hexPair(code: number): string {
  return code.toString(16).toUpperCase().padStart(2, '0')
}

/** What is wrong with a topic to publish to, or undefined. */
export function topicProblem(topic: string): string | undefined {
  if (topic === '') return 'the topic is empty'
  if (/[+#]/.test(topic)) return 'a topic must not contain a wildcard (+ or #)'
  if (/\p{Cc}|\p{Cs}/u.test(topic)) return 'the topic contains a control character or a lone surrogate'
  if (topic.startsWith('$')) return 'a topic that starts with $ belongs to the broker'
  if (Buffer.byteLength(topic) > maxBytes) return `the topic has more than ${maxBytes} bytes`
  if (topic.split('/').length > maxLevels) return `the topic has more than ${maxLevels} levels`
  return undefined
}

const one = '+'
const rest = '#'

/** The address pattern of a `from`. */
export function topicPattern(topic: string): AddressPattern {
  return { text: topic, separator: '/', one, rest }
}

/** The filter to subscribe to: captures become MQTT's wildcards, `sensors/{site}/{rest#}` -> `sensors/+/#`. */
export function filterOf(pattern: string): string {
  return pattern.split('/').map(nativeLevel).join('/')
}

function nativeLevel(level: string): string {
  if (/^\{[^{}]*#\}$/.test(level)) return rest
  return /^\{[^{}#]*\}$/.test(level) ? one : level
}

/** What is wrong with a pattern, or undefined. [MQTT-4.7.1-2] [MQTT-4.7.1-3] */
export function patternProblem(pattern: string): string | undefined {
  if (pattern === '') return 'a topic filter must not be empty'
  if (pattern.startsWith('$share/')) return 'use `share:` instead of $share/…'
  if (pattern.includes('\0') || !pattern.isWellFormed()) return 'the filter contains a character MQTT cannot carry'
  if (Buffer.byteLength(pattern) > maxBytes) return `the filter has more than ${maxBytes} bytes`
  const levels = pattern.split('/').map(nativeLevel)
  for (const [i, level] of levels.entries()) {
    if (level.includes(rest) && (level !== rest || i !== levels.length - 1)) return '# must be alone in the last level'
    if (level.includes(one) && level !== one) return '+ must be alone in its level'
    if (/[{}]/.test(level)) return `a capture must be a whole level: {name}, not ${level}`
  }
  return undefined
}
