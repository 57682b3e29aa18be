/** Names that no other test has: the brokers are shared, and keep what has a name. */
import { randomUUID } from 'node:crypto'

/** Legal as a queue, a topic, a group, a client id, and as a level of an MQTT topic. */
export const unique = (prefix: string): string => `${prefix}-${randomUUID().slice(0, 13)}`
