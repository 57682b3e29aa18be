/**
 * The brokers that tests and benchmarks talk to. Each is looked for in this order: its address in the environment,
 * Docker Compose, a native process.
 */
import { messageOf } from '../../../src/errors.ts'
import { addressVariables, type BrokerName } from './addresses.ts'
import { startCompose } from './compose.ts'
import { ensureInstalled } from './install.ts'
import { startKafka } from './kafka.ts'
import { startMosquitto } from './mosquitto.ts'
import { startRabbitmq } from './rabbitmq.ts'

type Addresses = Readonly<Record<string, string>>

export interface Brokers {
  /** TRIVIUM_TEST_KAFKA and so on, for the environment of tests. */
  readonly env: Readonly<Record<string, string>>
  /** How they were found, for the log. */
  readonly how: string
  stop(): Promise<void>
}

const brokerNames = Object.keys(addressVariables) as BrokerName[]
const natively = { kafka: startKafka, amqp: startRabbitmq, mqtt: startMosquitto }

export async function startBrokers(): Promise<Brokers> {
  const given = givenAddresses()
  const missing = brokerNames.filter((name) => !(name in given))
  if (missing.length === 0) return { env: asEnv(given), how: 'addresses of the environment', stop: async () => {} }
  const { addresses, how, stop } = await startMissing(missing)
  return { env: asEnv({ ...given, ...addresses }), how, stop }
}

function givenAddresses(): Addresses {
  const pairs = brokerNames.map((name) => [name, process.env[addressVariables[name]] ?? ''] as const)
  return Object.fromEntries(pairs.filter(([, address]) => address !== ''))
}

async function startMissing(missing: readonly BrokerName[]) {
  const reasons: string[] = []
  const ways = [
    { how: 'Docker Compose', begin: startCompose },
    { how: 'native processes', begin: startNatively },
  ]
  for (const { how, begin } of ways) {
    try {
      return { how, ...(await begin(missing)) }
    } catch (error) {
      reasons.push(`${how}: ${messageOf(error)}`)
    }
  }
  throw new Error(cannotStart(missing, reasons))
}

async function startNatively(brokers: readonly BrokerName[]) {
  await ensureInstalled(brokers)
  const attempts = await Promise.allSettled(brokers.map((name) => natively[name]()))
  const running = attempts.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value] : []))
  const stop = async () => {
    await Promise.all(running.map((broker) => broker.stop()))
  }
  const failure = attempts.find((attempt) => attempt.status === 'rejected')
  if (failure !== undefined) {
    await stop()
    throw failure.reason
  }
  return { addresses: Object.fromEntries(brokers.map((name, at) => [name, running[at]?.address ?? ''])), stop }
}

function asEnv(addresses: Addresses): Record<string, string> {
  return Object.fromEntries(brokerNames.map((name) => [addressVariables[name], addresses[name] ?? '']))
}

function cannotStart(missing: readonly BrokerName[], reasons: readonly string[]): string {
  const variables = missing.map((name) => addressVariables[name]).join(', ')
  return [
    `No brokers to test against (${missing.join(', ')}). Any one of three ways will do:`,
    `  1. set ${variables} to the addresses of running brokers`,
    '  2. start a container engine that "docker info" reaches',
    '  3. install java, maven, rabbitmq-server and mosquitto, or let apt-get install them (root, or sudo without password)',
    ...reasons.map((reason) => `  tried ${reason}`),
  ].join('\n')
}
