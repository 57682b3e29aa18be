import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePorts } from '../ports.ts'
import { answers } from './answers.ts'
import { commandPath, kafkaLibrary } from './install.ts'
import { dataFolder, launch, type Running } from './process.ts'

export interface KafkaOptions {
  /** Further lines of server.properties, which win over the usual ones. */
  readonly properties?: Readonly<Record<string, string>>
  /** The port that clients are told to use, where a proxy stands in front; by default its own. */
  readonly advertisedPort?: number
  /** A second listener, for one user with SASL PLAIN. */
  readonly sasl?: { readonly port: number; readonly username: string; readonly password: string }
}

/** A Kafka of one node, its own controller, without authentication. */
export async function startKafka(options: KafkaOptions = {}): Promise<Running> {
  const [port, controllerPort] = (await freePorts(2)) as [number, number]
  const folder = dataFolder('kafka')
  const file = join(folder, 'server.properties')
  const properties = { ...usual({ port, controllerPort, folder, advertised: options.advertisedPort ?? port }) }
  if (options.sasl !== undefined) addListener(properties, options.sasl)
  writeFileSync(file, asLines({ ...properties, ...options.properties }))
  const java = commandPath('java')
  const onClasspath = ['-cp', join(await kafkaLibrary(), '*')]
  const format = ['kafka.tools.StorageTool', 'format', '-t', newClusterId(), '-c', file]
  await promisify(execFile)(java, [...onClasspath, ...format])
  return await launch({
    name: 'Kafka',
    command: java,
    args: ['-Xmx768m', ...onClasspath, 'kafka.Kafka', file],
    folder,
    port,
    address: `127.0.0.1:${port}`,
    ready: () => answers({ port, request: metadataRequest, isAnswer: namesABroker, withinMs: 60_000 }),
  })
}

interface Place {
  readonly port: number
  readonly controllerPort: number
  readonly advertised: number
  readonly folder: string
}

function usual({ port, controllerPort, advertised, folder }: Place): Record<string, string> {
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${advertised}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': join(folder, 'data'),
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '5',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '5',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'broker.heartbeat.interval.ms': '500',
    'broker.session.timeout.ms': '3000', // how long a killed broker, started again, waits for its own ghost
    'group.initial.rebalance.delay.ms': '0',
    'auto.create.topics.enable': 'false',
    'num.partitions': '3',
  }
}

function addListener(properties: Record<string, string>, sasl: NonNullable<KafkaOptions['sasl']>): void {
  const { port, username, password } = sasl
  for (const name of ['listeners', 'advertised.listeners']) properties[name] += `,SASL://127.0.0.1:${port}`
  properties['listener.security.protocol.map'] += ',SASL:SASL_PLAINTEXT'
  properties['sasl.enabled.mechanisms'] = 'PLAIN'
  const module = 'org.apache.kafka.common.security.plain.PlainLoginModule'
  properties['listener.name.sasl.plain.sasl.jaas.config'] = `${module} required user_${username}="${password}";`
}

function asLines(properties: Readonly<Record<string, string>>): string {
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}

/** Metadata v1 for no topics: size, api key 3, version 1, correlation id, null client id, empty array. */
const metadataRequest = Uint8Array.of(0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 255, 255, 0, 0, 0, 0)
/** Its answer lists brokers only once they are admitted to the cluster: size, correlation id, then their number. */
const namesABroker = (bytes: Buffer): boolean => bytes.length >= 12 && bytes.readInt32BE(8) > 0

/** A cluster's id. Never with a dash in front: the command that takes it would take it for an option. */
export function newClusterId(): string {
  return `t${Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url').slice(1)}`
}
