/** Runs a probe beside what a test does. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { GatewayProcess } from './gateway-process.ts'
import type { Probed } from './probe.ts'

/** How long the gateway's answers took while `work` was done. */
export async function probed(
  at: { port: number; topic: string; gateway: GatewayProcess },
  work: () => Promise<void>,
): Promise<Probed> {
  const program = join(import.meta.dirname, 'probe.ts')
  const { port, topic, gateway } = at
  const args = ['--no-warnings', program, String(port), gateway.admin, topic, String(gateway.pid)]
  const child = spawn(process.execPath, args, {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  const output = text(child.stdout)
  await once(child.stdout, 'data')
  try {
    await work()
  } finally {
    child.stdin.end()
  }
  await once(child, 'exit')
  return JSON.parse(await output) as Probed
}
