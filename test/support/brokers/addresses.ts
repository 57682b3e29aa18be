/** Where tests find their brokers: `npm test` and `npm run brokers` put the addresses into these variables. */
export interface BrokerAddresses {
  readonly kafka: string[]
  readonly amqp: string
  readonly mqtt: string
}

export const addressVariables = {
  kafka: 'TRIVIUM_TEST_KAFKA',
  amqp: 'TRIVIUM_TEST_AMQP',
  mqtt: 'TRIVIUM_TEST_MQTT',
} as const
export type BrokerName = keyof typeof addressVariables

/** Addresses from the environment; throws where one is absent. */
export function brokerAddresses(): BrokerAddresses {
  return {
    kafka: addressOf('kafka').split(','),
    amqp: addressOf('amqp'),
    mqtt: addressOf('mqtt'),
  }
}

function addressOf(broker: BrokerName): string {
  const name = addressVariables[broker]
  const address = process.env[name]
  if (address) return address
  throw new Error(`${name} is not set: this test needs real brokers, run it through npm test, or npm run brokers`)
}
