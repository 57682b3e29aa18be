/** The YAML of a gateway's connection to a broker, and where the broker is. */

export type BrokerName = 'mqtt' | 'amqp' | 'kafka'
export const brokerNames: readonly BrokerName[] = ['mqtt', 'amqp', 'kafka']

export interface ConnectionOptions {
  /** Where the gateway finds it, e.g. behind a proxy; default: where the test does. */
  readonly port?: number | undefined
  /** Further settings, such as `keepalive: 2s`. */
  readonly settings?: string | undefined
}

export function connectionYaml(protocol: BrokerName | 'embedded', address: string, options: ConnectionOptions): string {
  const { port, settings } = options
  const more = settings === undefined ? '' : `, ${settings}`
  return `{ ${yamlOf[protocol](atPort(address, port))}${more} }`
}

const yamlOf: Record<BrokerName | 'embedded', (address: string) => string> = {
  mqtt: (address) => `protocol: mqtt, url: "${address}"`,
  embedded: (address) => `protocol: mqtt, listen: "${address}"`,
  amqp: (address) => `protocol: amqp, url: "${address}"`,
  kafka: (address) => `protocol: kafka, brokers: ["${address}"]`,
}

export const portOf = (address: string): number => Number(/:(\d+)\/?$/.exec(address)![1])

const atPort = (address: string, port: number | undefined): string =>
  port === undefined ? address : address.replace(/:\d+(\/?)$/, `:${port}$1`)
