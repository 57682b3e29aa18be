import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { eventually } from '../test/support/poll.ts'
import { freePort } from '../test/support/ports.ts'

export const launcher = join(import.meta.dirname, '../bin/trivium.js')

/** Starts a gateway whose admin server is where `admin` says. */
export function start(file: string, admin = 'off'): ChildProcess {
  return spawn(process.execPath, [launcher, 'run', file, '--log-level', 'error'], {
    stdio: 'inherit',
    env: { ...process.env, TRIVIUM_ADMIN_LISTEN: admin },
  })
}

/** Starts a gateway with an admin server of its own; resolves when all its connections are up. */
export async function startReady(file: string): Promise<ChildProcess> {
  const port = await freePort()
  const child = start(file, `127.0.0.1:${port}`)
  const isReady = async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).status === 200
  await eventually(isReady, { withinMs: 20_000, what: 'the gateway is ready' })
  return child
}
