/** What a device may ask for; each function says what is wrong with it, or nothing. */
import type { Limits } from './config.ts'
import type { Device } from './device.ts'
import { filterProblem, levelCount, topicProblem } from './filter.ts'
import type { Rights } from './users.ts'

export interface ConnectRequest {
  readonly clientId: string
  readonly clean?: boolean | undefined
  readonly will?: { readonly topic: string } | undefined
}

export function connectProblem({ clientId, clean, will }: ConnectRequest, limits: Limits): string | undefined {
  if (clientId === '' && clean === false) return 'a kept session needs a client id' // [MQTT-3.1.3-8]
  if (/[\0\uFFFD]/.test(clientId)) return 'the client id is not UTF-8'
  return will === undefined ? undefined : topicProblem(will.topic, limits.maxTopicLevels)
}

/** A device that publishes elsewhere is disconnected: 3.1.1 knows no other answer but a false one. [MQTT-3.3.5-2] */
export function publishProblem(rights: Rights | undefined, topic: string, limits: Limits): string | undefined {
  const problem = topicProblem(topic, limits.maxTopicLevels)
  if (problem !== undefined) return problem
  if (topic.startsWith('$')) return 'topics with $ are closed'
  return rights?.mayPublish(topic) ? undefined : 'the topic is not granted'
}

/** Answered with 0x80 in the SUBACK. */
export function subscribeProblem(device: Device, filter: string, limits: Limits): string | undefined {
  if (filter.startsWith('$share/')) return 'the embedded broker has no shared subscriptions'
  if (filter.startsWith('$')) return 'topics with $ are closed'
  if (levelCount(filter) > limits.maxTopicLevels) return 'the filter has too many levels'
  const problem = filterProblem(filter)
  if (problem !== undefined) return problem
  if (!device.rights.maySubscribe(filter)) return 'the filter is not granted'
  const isNew = !device.filters.has(filter)
  return isNew && device.filters.size >= limits.maxSubscriptions ? 'the device has too many subscriptions' : undefined
}
