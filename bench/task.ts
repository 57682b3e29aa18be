export const brokerNames = ['mqtt', 'amqp', 'kafka'] as const
export type BrokerName = (typeof brokerNames)[number]
/** A web service is a target only. */
export type ProtocolName = BrokerName | 'http'

/** When the source is told, see `acknowledge` of a route. */
export type Acknowledge = 'stored' | 'delivered'

export interface Addresses {
  readonly mqtt: string
  readonly amqp: string
  readonly kafka: string[]
  /** Of the web service, where a road leads to it. */
  readonly http?: string
}

/** A place at a broker: a Kafka topic (and group), an AMQP queue, an MQTT topic prefix (and client id), a part of the web service's path. */
export interface Place<Name extends ProtocolName = ProtocolName> {
  readonly protocol: Name
  readonly name: string
}

/** What one bridge has to do. */
export interface Task {
  readonly from: Place<BrokerName>
  readonly to: Place
  readonly addresses: Addresses
  /** The bare loop writes the fields into AMQP that the gateway writes: the same work for the broker. */
  readonly withFields?: boolean
}

export interface Road {
  readonly from: BrokerName
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
  { from: 'kafka', to: 'http' },
]
