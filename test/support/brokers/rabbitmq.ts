import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePorts } from '../ports.ts'
import { answers } from './answers.ts'
import { commandPath } from './install.ts'
import { dataFolder, launch, type Running } from './process.ts'

export interface RunningRabbitmq extends Running {
  /**
   * True when a kill does not make the node forget that durable queue. A declaration is answered before it is written,
   * now and then by a second; a node that is killed in between loses the queue with all it has confirmed. One queue is to be
   * declared after the other.
   */
  remembers(queue: string): boolean
  /** `rabbitmqctl` with these arguments, at this node. */
  control(...args: string[]): Promise<unknown>
}

/** A RabbitMQ node of its own, user guest; `conf` adds lines to its rabbitmq.conf, `args` is for what has no line there. */
export async function startRabbitmq(
  options: { conf?: readonly string[]; args?: string } = {},
): Promise<RunningRabbitmq> {
  const [port, distributionPort, epmdPort] = (await freePorts(3)) as [number, number, number]
  const folder = dataFolder('rabbitmq')
  writeFileSync(join(folder, 'rabbitmq.conf'), [...(options.conf ?? []), ''].join('\n'))
  writeFileSync(join(folder, 'plugins'), '[].\n')
  const home = join(folder, 'home') // holds the cookie that Erlang makes
  mkdirSync(home)
  const data = join(folder, 'data')
  const env = {
    HOME: home,
    ERL_EPMD_PORT: String(epmdPort),
    RABBITMQ_NODENAME: `trivium-${randomUUID().slice(0, 8)}@localhost`,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distributionPort),
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
    RABBITMQ_MNESIA_BASE: data,
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_LOGS: '-',
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: options.args ?? '',
  }
  const node = await launch({
    name: 'RabbitMQ',
    command: '/bin/sh',
    // The port mapper would otherwise be started as a daemon that outlives the node.
    args: ['-c', `"$0" -port ${epmdPort} & exec "$1"`, commandPath('epmd'), scriptOf('rabbitmq-server')],
    env,
    folder,
    port,
    address: `amqp://guest:guest@127.0.0.1:${port}`,
    ready: () => answers({ port, request: protocolHeader, isAnswer: isConnectionStart, withinMs: 60_000 }),
  })
  return {
    ...node,
    remembers: (queue) => metadataFiles(data).some((file) => isDeclaredIn(file, queue)),
    control: (...args) => promisify(execFile)(scriptOf('rabbitmqctl'), args, { env: { ...process.env, ...env } }),
  }
}

/** The log of what is declared, and the tables it is written to later. */
function metadataFiles(data: string): string[] {
  const entries = readdirSync(data, { withFileTypes: true, recursive: true })
  const files = entries.filter((entry) => /^LATEST\.LOG$|^rabbit_durable_queue\./.test(entry.name))
  return files.map((entry) => join(entry.parentPath, entry.name))
}

/** What the log holds of a declaration counts with the decision behind it only: without it, a restart takes it back. */
function isDeclaredIn(file: string, queue: string): boolean {
  const text = readFileSync(file, 'latin1')
  const at = text.lastIndexOf(queue)
  return at >= 0 && (!file.endsWith('.LOG') || text.includes('committed', at))
}

/** Debian's commands on the PATH switch to another user; the scripts behind them run as anyone. */
function scriptOf(command: string): string {
  const debian = `/usr/lib/rabbitmq/bin/${command}`
  return existsSync(debian) ? debian : commandPath(command)
}

const protocolHeader = Uint8Array.of(...Buffer.from('AMQP'), 0, 0, 9, 1)
/** A method frame of class 10, method 10. */
const isConnectionStart = (bytes: Buffer): boolean => bytes[0] === 1 && bytes.readUInt32BE(7) === 0x000a_000a
