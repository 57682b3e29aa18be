/** Devices at the embedded broker, their messages on the way into Kafka: while it takes them, and after it was away. */
import { type ChildProcess, execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { startProxy } from '../test/support/brokers/proxy.ts'
import { eventually } from '../test/support/poll.ts'
import { freePort } from '../test/support/ports.ts'
import type { DeviceFigures, DeviceLoad } from './device-load.ts'
import { end, usageOf } from './measure.ts'
import { fillers } from './places.ts'
import { start, startReady } from './ready.ts'
import type { Acknowledge, Addresses } from './task.ts'

const deviceCount = 1000
const withinMs = 180_000
const pollMs = 25
const loadProcess = join(import.meta.dirname, 'device-load.ts')

export interface DeviceCost extends DeviceFigures {
  /** Of the gateway, until Kafka held all. */
  readonly gatewayCpuSecs: number
  readonly peakMib: number
  /** What Kafka held when the last PUBACK came. */
  readonly deliveredByThen: number
}

export interface BacklogCost {
  /** From the first message in Kafka to the last. */
  readonly perSec: number
  /** Of the gateway, from the moment Kafka could be reached, in seconds. */
  readonly cpuSecs: number
  /** Since its start. */
  readonly peakMib: number
}

interface Job {
  readonly addresses: Addresses
  readonly folder: string
  readonly count: number
}

/** All devices send, one message in flight each, into a Kafka that takes them. */
export async function measureDevices(job: Job, acknowledge: Acknowledge): Promise<DeviceCost> {
  return withTopic(job, async ({ name, held }) => {
    const port = await freePort()
    const gateway = await startReady(writeConfig(job.folder, { name, port, acknowledge, brokers: job.addresses.kafka }))
    return ending(gateway, async () => {
      const figures = await sendAll({ port, devices: deviceCount, messages: job.count, topic: name })
      const deliveredByThen = await held()
      await eventually(async () => (await held()) >= job.count, { withinMs, what: 'Kafka holds all' })
      const { cpuSecs, peakMib } = usageOf(gateway)
      return { ...figures, gatewayCpuSecs: cpuSecs, peakMib, deliveredByThen }
    })
  })
}

/** The store is filled while Kafka is away; then Kafka is there again. */
export async function measureBacklog(job: Job): Promise<BacklogCost> {
  const [broker = ''] = job.addresses.kafka
  const proxy = await startProxy(Number(broker.split(':').at(-1)))
  proxy.cut()
  return withTopic(job, async ({ name, held }) => {
    const port = await freePort()
    const brokers = [`127.0.0.1:${proxy.port}`]
    const gateway = start(writeConfig(job.folder, { name, port, acknowledge: 'stored', brokers }))
    return ending(gateway, async () => {
      await eventually(() => accepts(port), { withinMs: 20_000, what: 'the embedded broker listens' })
      await sendAll({ port, devices: deviceCount, messages: job.count, topic: name })
      const before = usageOf(gateway)
      proxy.restore()
      const perSec = await rateOf(held, job.count)
      const { cpuSecs, peakMib } = usageOf(gateway)
      return { perSec, cpuSecs: cpuSecs - before.cpuSecs, peakMib }
    })
  }).finally(() => proxy.close())
}

/** Messages a second, between the first and the last that arrive. How long the gateway took to see Kafka again is not counted. */
async function rateOf(held: () => Promise<number>, count: number): Promise<number> {
  const first = await eventually(async () => (await held()) || undefined, { withinMs, what: 'the backlog moves' })
  const startedAt = performance.now()
  let now = first
  while (now < count) {
    if (performance.now() - startedAt > withinMs) throw new Error(`${now} of ${count} after ${withinMs / 1000} s`)
    await sleep(pollMs)
    now = await held()
  }
  return ((count - first) / (performance.now() - startedAt)) * 1000
}

async function sendAll(load: DeviceLoad): Promise<DeviceFigures> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', loadProcess, JSON.stringify(load)])
  return JSON.parse(stdout) as DeviceFigures
}

/** A topic of its own, and how many messages it holds. */
async function withTopic<T>(
  { addresses }: Job,
  use: (topic: { name: string; held: () => Promise<number> }) => Promise<T>,
): Promise<T> {
  const name = `bench-${randomUUID().slice(0, 8)}`
  const { kafka } = fillers(addresses)
  await kafka.prepare(name)
  const counter = await kafka.counter(name)
  try {
    return await use({ name, held: counter.count })
  } finally {
    await counter.close()
    await kafka.remove(name)
  }
}

async function ending<T>(gateway: ChildProcess, use: () => Promise<T>): Promise<T> {
  try {
    return await use()
  } finally {
    await end(gateway)
  }
}

function accepts(port: number): Promise<true> {
  const { promise, resolve, reject } = Promise.withResolvers<true>()
  const socket = connect(port, '127.0.0.1', () => resolve(true))
  socket.once('error', reject)
  return promise.finally(() => socket.destroy())
}

interface Setting {
  readonly name: string
  readonly port: number
  readonly acknowledge: Acknowledge
  readonly brokers: readonly string[]
}

function writeConfig(folder: string, { name, port, acknowledge, brokers }: Setting): string {
  const dataDir = join(folder, name)
  const file = `${dataDir}.yaml`
  writeFileSync(
    file,
    `
gateway: { id: bench, dataDir: ${JSON.stringify(dataDir)} }
connections:
  devices: { protocol: mqtt, listen: "mqtt://127.0.0.1:${port}" }
  events: { protocol: kafka, brokers: ${JSON.stringify(brokers)} }
routes:
  - name: devices
    from: { connection: devices, topic: "${name}/{device}" }
    when: payload.temperature > -300
    to: [{ connection: events, topic: ${name}, key: "{payload.device}" }]
    acknowledge: ${acknowledge}
`,
  )
  return file
}
