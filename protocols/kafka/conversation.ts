/**
 * Requests and replies as Spring's clients mark them, in headers of `KafkaHeaders`: any bytes as correlation, the topic that
 * replies go to, and its partition in four bytes, big endian. https://docs.spring.io/spring-kafka/reference/kafka/sending-messages.html
 */
import type { Ask } from '../../src/adapter/contract.ts'
import { isMarked, markedBytes, textOfBytes } from '../../src/envelope/binary-text.ts'
import { addHeader, type Draft } from '../../src/envelope/draft.ts'
import type { Envelope } from '../../src/envelope/envelope.ts'
import type { HeaderBytes } from './client/record-batch.ts'
import type { InHeaders, TextOrBytes } from './client/record-set.ts'
import type { KafkaTarget } from './config.ts'
import { topicDestination } from './destination.ts'

const correlationName = 'kafka_correlationId'
const topicName = 'kafka_replyTopic'
const partitionName = 'kafka_replyPartition'
const names: ReadonlySet<HeaderBytes> = new Set([correlationName, topicName, partitionName])

/** `kafka:topic`, or `kafka:topic/3` where the asker reads one partition alone. */
const address = /^kafka:([^/]+)(?:\/(0|[1-9]\d{0,9}))?$/
const maxPartition = 2 ** 31 - 1

export function isOfConversation(name: string): boolean {
  return name.startsWith('kafka_') && names.has(name)
}

/** Sets the fields that the headers stand for; what cannot be understood stays a custom header. */
export function readConversation(draft: Draft, headers: InHeaders): void {
  draft.correlationId = correlationOf(headers) ?? draft.correlationId
  const replyTo = replyToOf(headers)
  draft.replyTo = replyTo ?? draft.replyTo
  for (const name of [topicName, partitionName]) {
    const value = headers[name]
    if (value !== undefined && replyTo === undefined) addHeader(draft, name, value)
  }
}

/** What a record has as correlation; of a repeated one the last counts, as with Spring. */
export function correlationOf(headers: InHeaders | undefined): string | undefined {
  const value = lastOf(headers?.[correlationName])
  if (typeof value === 'string') return isMarked(value) ? textOfBytes(Buffer.from(value)) : value
  return value === undefined ? undefined : textOfBytes(value)
}

function replyToOf(headers: InHeaders): string | undefined {
  const topic = lastOf(headers[topicName])
  const bytes = lastOf(headers[partitionName])
  if (typeof topic !== 'string') return undefined
  if (bytes === undefined) return known(`kafka:${topic}`)
  const partition = Buffer.from(bytes as string)
  return partition.length === 4 ? known(`kafka:${topic}/${partition.readInt32BE()}`) : undefined
}

const known = (replyTo: string): string | undefined => (placeOf(replyTo) === undefined ? undefined : replyTo)

function lastOf(value: InHeaders[string] | undefined): TextOrBytes | undefined {
  const last = Array.isArray(value) ? value.at(-1) : value
  return last ?? undefined
}

function placeOf(replyTo: string): { topic: string; partition: number | undefined } | undefined {
  const [, topic, digits] = address.exec(replyTo) ?? []
  if (topic === undefined || topicDestination.check(topic) !== undefined) return undefined
  const partition = digits === undefined ? undefined : Number(digits)
  return partition === undefined || partition <= maxPartition ? { topic, partition } : undefined
}

/** Where the answer to a request goes; the topic is its asker's, and nobody else's to make. */
export function replyTarget({ replyTo }: Envelope): KafkaTarget | undefined {
  const place = replyTo === undefined ? undefined : placeOf(replyTo)
  return place && { ...place, mustExist: true }
}

/** Name and value in turn: a correlation, and a reply address where it is one of Kafka's. */
export function conversationHeaders({ correlationId, replyTo }: Envelope): HeaderBytes[] {
  const headers: HeaderBytes[] = []
  if (correlationId !== undefined) headers.push(correlationName, markedBytes(correlationId) ?? correlationId)
  const place = replyTo === undefined ? undefined : placeOf(replyTo)
  if (place === undefined) return headers
  headers.push(topicName, place.topic)
  if (place.partition !== undefined) headers.push(partitionName, bytesOfPartition(place.partition))
  return headers
}

/** True for an address that headers of Kafka's own stand for. */
export const isKafkaAddress = (replyTo: string): boolean => placeOf(replyTo) !== undefined

/** Of a request of this gateway: its own address and token, and nothing besides that a replier could take for them. */
export function asking(headers: readonly HeaderBytes[], { replyTo, token }: Ask): readonly HeaderBytes[] {
  if (replyTo === undefined) return headers
  const others = headers.filter((_, index) => !names.has(headers[index - (index % 2)] ?? null))
  return [...others, topicName, replyTo, correlationName, token]
}

function bytesOfPartition(partition: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(partition)
  return bytes
}
