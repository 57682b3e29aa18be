/** Brokers without containers: Debian's packages and Kafka's own jars, fetched once and kept. */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import type { BrokerName } from './addresses.ts'

const run = promisify(execFile)
const kafkaVersion = '4.1.0'
const cache = join(import.meta.dirname, '../../../node_modules/.cache/trivium', `kafka-${kafkaVersion}`)
const systemFolders = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin', '/opt/homebrew/sbin']

/** The full path of a command; system folders count, which an ordinary user's PATH leaves out. */
export function commandPath(name: string): string {
  const path = findCommand(name)
  if (path === undefined) throw new Error(`the command ${name} is not installed`)
  return path
}

function findCommand(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...systemFolders]
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path))
}

/** Makes sure that the brokers can be started natively; installs what is missing, where that is possible. */
export async function ensureInstalled(brokers: readonly BrokerName[]): Promise<void> {
  const missing = brokers.flatMap(packagesFor)
  if (missing.length > 0) await installPackages(missing)
  if (brokers.includes('kafka')) await kafkaLibrary()
}

function packagesFor(broker: BrokerName): string[] {
  const needs = {
    kafka: { java: 'default-jre-headless', ...(existsSync(cache) ? {} : { mvn: 'maven' }) },
    amqp: { 'rabbitmq-server': 'rabbitmq-server' },
    mqtt: { mosquitto: 'mosquitto' },
  }[broker]
  return Object.entries(needs).flatMap(([command, name]) => (findCommand(command) === undefined ? [name] : []))
}

async function installPackages(names: readonly string[]): Promise<void> {
  const install = ['install', '-y', '--no-install-recommends', ...names]
  try {
    await aptGet(install)
  } catch {
    await aptGet(['update']) // the lists are missing or too old
    await aptGet(install)
  }
}

async function aptGet(args: readonly string[]): Promise<void> {
  const command = process.getuid?.() === 0 ? ['apt-get'] : ['sudo', '-n', 'apt-get']
  const [file, ...rest] = [...command, '-q', ...args] as [string, ...string[]]
  await run(file, rest, { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, maxBuffer: 64 * 1024 ** 2 })
}

/** The folder of Kafka's jars; Maven resolves them the first time. */
export async function kafkaLibrary(): Promise<string> {
  if (existsSync(cache)) return cache
  const partial = `${cache}.${process.pid}`
  mkdirSync(partial, { recursive: true })
  const pom = join(partial, 'pom.xml')
  writeFileSync(pom, kafkaPom)
  const maven = ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${partial}`]
  const resolveAll = () => run(commandPath('mvn'), maven)
  await resolveAll().catch(resolveAll) // once more: a download may break off
  if (existsSync(cache)) rmSync(partial, { recursive: true })
  else renameSync(partial, cache)
  return cache
}

const kafkaPom = `<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>trivium</groupId><artifactId>test-brokers</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${kafkaVersion}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>${kafkaVersion}</version></dependency>
  </dependencies>
</project>
`
