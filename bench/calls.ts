/** Callers at the HTTP source: published into Kafka, beside a bare express handler; and requests that a device answers. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { eventually } from '../test/support/poll.ts'
import { freePort } from '../test/support/ports.ts'
import type { BareHttp } from './bare-http.ts'
import type { CallFigures, CallLoad } from './call-load.ts'
import { end, usageOf } from './measure.ts'
import { fillers } from './places.ts'
import { startReady } from './ready.ts'
import type { Addresses } from './task.ts'

const connections = 64
const withinMs = 120_000
const here = (name: string) => join(import.meta.dirname, name)

export interface CallCost extends CallFigures {
  /** Of the server, from the first call until Kafka held all, in seconds. */
  readonly serverCpuSecs: number
  readonly peakMib: number
}

interface Job {
  readonly addresses: Addresses
  readonly folder: string
  readonly count: number
  readonly perSec?: number | undefined
}

/** `POST /calls/{device}`, `stored`, into Kafka. */
export function measurePublish(job: Job): Promise<CallCost> {
  return intoTopic(job, async (topic, port) => startReady(writePublish(job, topic, port)))
}

export function measureBarePublish(job: Job): Promise<CallCost> {
  return intoTopic(job, async (topic, port) => {
    const task: BareHttp = { port, topic, brokers: job.addresses.kafka }
    const child = spawn(process.execPath, ['--no-warnings', here('bare-http.ts'), JSON.stringify(task)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    return child
  })
}

/** Calls that somebody answers: the answer is the response. */
export async function measureRequests(
  { count, perSec }: Pick<Job, 'count' | 'perSec'>,
  { gateway, port }: { gateway: ChildProcess; port: number },
): Promise<CallCost> {
  await call({ port, connections, calls: 1_000, path: '/calls' }) // warm
  const before = usageOf(gateway).cpuSecs
  const figures = await call({ port, connections, calls: count, path: '/calls', perSec })
  const { cpuSecs, peakMib } = usageOf(gateway)
  return { ...figures, serverCpuSecs: cpuSecs - before, peakMib }
}

async function intoTopic(
  { addresses, count, perSec }: Job,
  serve: (topic: string, port: number) => Promise<ChildProcess>,
): Promise<CallCost> {
  const topic = `bench-${randomUUID().slice(0, 8)}`
  const { kafka } = fillers(addresses)
  await kafka.prepare(topic)
  const counter = await kafka.counter(topic)
  const port = await freePort()
  const server = await serve(topic, port)
  try {
    const warm = 2_000
    await call({ port, connections, calls: warm, path: '/calls' })
    const before = usageOf(server).cpuSecs
    const figures = await call({ port, connections, calls: count, path: '/calls', perSec })
    const holdsAll = async () => (await counter.count()) >= warm + count
    await eventually(holdsAll, { withinMs, what: 'Kafka holds all' })
    const { cpuSecs, peakMib } = usageOf(server)
    return { ...figures, serverCpuSecs: cpuSecs - before, peakMib }
  } finally {
    await end(server)
    await counter.close()
    await kafka.remove(topic)
  }
}

async function call(load: CallLoad): Promise<CallFigures> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--no-warnings',
    here('call-load.ts'),
    JSON.stringify(load),
  ])
  return JSON.parse(stdout) as CallFigures
}

function writePublish({ addresses, folder }: Job, topic: string, port: number): string {
  const file = join(folder, `${topic}.yaml`)
  writeFileSync(
    file,
    `
gateway: { id: bench, dataDir: ${JSON.stringify(join(folder, topic))} }
connections:
  api: { protocol: http, listen: "http://127.0.0.1:${port}" }
  events: { protocol: kafka, brokers: ${JSON.stringify(addresses.kafka)} }
routes:
  - name: publish
    from: { connection: api, method: POST, path: "/calls/{device}" }
    when: payload.temperature > -300
    to: [{ connection: events, topic: ${topic}, key: "{payload.device}" }]
    acknowledge: stored
`,
  )
  return file
}
