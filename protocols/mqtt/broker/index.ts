/** The embedded MQTT broker: what the protocol's index needs of it. */
export { createBrokerSink } from './sink.ts'
export { createBrokerSource } from './source.ts'
