export const protocolNames = ['mqtt', 'amqp', 'kafka'] as const
export type ProtocolName = (typeof protocolNames)[number]

/** When the source is told, see `acknowledge` of a route. */
export type Acknowledge = 'stored' | 'delivered'

export interface Addresses {
  readonly mqtt: string
  readonly amqp: string
  readonly kafka: string[]
}

/** A place at a broker: a Kafka topic (and group), an AMQP queue, an MQTT topic prefix (and client id). */
export interface Place {
  readonly protocol: ProtocolName
  readonly name: string
}

/** What one bridge has to do. */
export interface Task {
  readonly from: Place
  readonly to: Place
  readonly addresses: Addresses
  /** The bare loop writes the fields into AMQP that the gateway writes: the same work for the broker. */
  readonly withFields?: boolean
}

export interface Road {
  readonly from: ProtocolName
  readonly to: ProtocolName
}

/** The roads whose figures docs/benchmarks.md quotes. */
export const roads: readonly Road[] = [
  { from: 'mqtt', to: 'kafka' },
  { from: 'amqp', to: 'kafka' },
  { from: 'kafka', to: 'kafka' },
  { from: 'kafka', to: 'amqp' },
  { from: 'kafka', to: 'mqtt' },
  { from: 'mqtt', to: 'amqp' },
  { from: 'amqp', to: 'mqtt' },
]
