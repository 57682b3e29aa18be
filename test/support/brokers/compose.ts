/** Brokers from ./docker-compose.yml, where a container engine answers. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { BrokerName } from './addresses.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../../..')

const services = {
  kafka: { service: 'kafka', address: '127.0.0.1:9092' },
  amqp: { service: 'rabbitmq', address: 'amqp://guest:guest@127.0.0.1:5672' },
  mqtt: { service: 'mosquitto', address: 'mqtt://127.0.0.1:1883' },
} as const

/** Rejects where no engine answers within 5 seconds. */
export async function findEngine(): Promise<void> {
  await run('docker', ['info'], { timeout: 5_000 })
}

/** Starts the services of these brokers; `stop` ends those that did not run before. */
export async function startCompose(brokers: readonly BrokerName[]) {
  await findEngine()
  const already = (await compose('ps', '--services', '--status', 'running')).split('\n')
  const names = brokers.map((broker) => services[broker].service)
  await compose('up', '-d', '--wait', ...names)
  const started = names.filter((name) => !already.includes(name))
  return {
    addresses: Object.fromEntries(brokers.map((broker) => [broker, services[broker].address])),
    async stop() {
      if (started.length > 0) await compose('rm', '--stop', '--force', '--volumes', ...started)
    },
  }
}

async function compose(...args: string[]): Promise<string> {
  const { stdout } = await run('docker', ['compose', ...args], { cwd: root, maxBuffer: 16 * 1024 ** 2 })
  return stdout
}
