import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { end, usageOf } from './measure.ts'
import { fillers } from './places.ts'
import { startReady } from './ready.ts'
import type { Addresses } from './task.ts'

const settleMs = 3_000
const watchMs = 15_000

/** A gateway with all three protocols connected as source and sink, its admin server on, and nothing to do. */
export async function measureIdle(addresses: Addresses, folder: string, launcher: string) {
  const { mqtt, amqp, kafka } = addresses
  const name = `idle-${randomUUID().slice(0, 8)}`
  await fillers(addresses).kafka.prepare(name)
  const file = join(folder, `${name}.yaml`)
  writeFileSync(
    file,
    `
gateway: { id: ${name}, dataDir: ${folder} }
connections:
  m: { protocol: mqtt, url: "${mqtt}" }
  a: { protocol: amqp, url: "${amqp}" }
  k: { protocol: kafka, brokers: ${JSON.stringify(kafka)} }
routes:
  - { name: one, from: { connection: m, topic: "${name}/{x}" }, to: [{ connection: a, queue: ${name} }] }
  - { name: two, from: { connection: a, queue: ${name}-in, declare: { durable: false } }, to: [{ connection: k, topic: ${name} }] }
  - { name: three, from: { connection: k, topic: ${name} }, to: [{ connection: m, topic: "${name}/out" }] }
`,
  )
  const child = await startReady(file, { launcher })
  try {
    await sleep(settleMs)
    const before = usageOf(child)
    await sleep(watchMs)
    const after = usageOf(child)
    return { cpuSecs: after.cpuSecs - before.cpuSecs, wallSecs: watchMs / 1000, rssMib: after.rssMib }
  } finally {
    await end(child)
    await fillers(addresses).kafka.remove(name)
  }
}
