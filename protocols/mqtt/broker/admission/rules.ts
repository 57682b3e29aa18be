/** What a device may ask for; each function says what is wrong with it, or nothing. */
import type { Limits } from '../config.ts'
import type { Device } from '../device.ts'
import type { IncomingPacket } from '../driver.ts'
import { filterProblem, isLonger, levelCount, topicProblem } from '../filter.ts'
import type { Rights } from './users.ts'

export interface ConnectRequest {
  readonly clientId: string
  readonly clean?: boolean | undefined
  readonly will?: { readonly topic: string } | undefined
}

export function connectProblem({ clientId, clean, will }: ConnectRequest, limits: Limits): string | undefined {
  if (clientId === '' && clean === false) return 'a kept session needs a client id' // [MQTT-3.1.3-8]
  if (/[\0\uFFFD]/.test(clientId)) return 'the client id is not UTF-8'
  if (isLonger(clientId, limits.maxClientIdBytes)) return `the client id has more than ${limits.maxClientIdBytes} bytes`
  return will === undefined ? undefined : topicProblem(will.topic, limits)
}

/** As many bytes as the most and the longest filters that are allowed. */
export function maxSubscribeBytes({ maxSubscriptions, maxTopicBytes }: Limits): number {
  const aroundBytes = 3 // length, QoS
  return 2 + maxSubscriptions * (maxTopicBytes + aroundBytes)
}

/** What neither the parser nor the broker minds although MQTT forbids it, or we do; the connection ends. [MQTT-4.8.0-1] */
export function packetProblem(packet: IncomingPacket, { maxSubscriptions }: Limits): string | undefined {
  const { cmd, qos = 0 } = packet
  if (cmd === 'connect') return connectViolation(packet)
  if (cmd === 'publish' && qos === 0) return packet.dup ? 'a QoS 0 message is marked as a duplicate' : undefined // [MQTT-3.3.1-2]
  if (packet.messageId === 0) return `a ${cmd.toUpperCase()} has the packet id 0` // [MQTT-2.3.1-1]
  const filters = packet.subscriptions ?? packet.unsubscriptions
  if (filters?.length === 0) return `a ${cmd.toUpperCase()} names no filter` // [MQTT-3.8.3-3] [MQTT-3.10.3-2]
  if (filters === undefined || filters.length <= maxSubscriptions) return undefined
  return `a ${cmd.toUpperCase()} names ${filters.length} filters, ${maxSubscriptions} are allowed (maxSubscriptions)`
}

function connectViolation({ will, username, password }: IncomingPacket): string | undefined {
  if (will?.qos === 3) return 'the will has QoS 3' // [MQTT-3.1.2-14]
  if (password !== undefined && username === undefined) return 'a password without a user name' // [MQTT-3.1.2-22]
  if (username !== undefined && /[\0\uFFFD]/.test(username)) return 'the user name is not UTF-8' // [MQTT-1.5.3-1]
  return undefined
}

/** A device that publishes elsewhere is disconnected: 3.1.1 knows no other answer but a false one. [MQTT-3.3.5-2] */
export function publishProblem(rights: Rights | undefined, topic: string, limits: Limits): string | undefined {
  const problem = topicProblem(topic, limits)
  if (problem !== undefined) return problem
  if (topic.startsWith('$')) return 'topics with $ are closed'
  return rights?.mayPublish(topic) ? undefined : 'the topic is not granted'
}

/** Answered with 0x80 in the SUBACK. */
export function subscribeProblem(device: Device, filter: string, limits: Limits): string | undefined {
  if (filter.startsWith('$share/')) return 'the embedded broker has no shared subscriptions'
  if (filter.startsWith('$')) return 'topics with $ are closed'
  if (isLonger(filter, limits.maxTopicBytes)) return `the filter has more than ${limits.maxTopicBytes} bytes`
  if (levelCount(filter) > limits.maxTopicLevels) return 'the filter has too many levels'
  const problem = filterProblem(filter)
  if (problem !== undefined) return problem
  if (!device.rights.maySubscribe(filter)) return 'the filter is not granted'
  const isNew = !device.filters.has(filter)
  return isNew && device.filters.size >= limits.maxSubscriptions ? 'the device has too many subscriptions' : undefined
}
