import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { freePort } from '../test/support/ports.ts'

export const launcher = join(import.meta.dirname, '../bin/trivium.js')

/** Starts a gateway whose admin server is where `admin` says. */
export function start(file: string, admin = 'off', by = launcher): ChildProcess {
  return spawn(process.execPath, [by, 'run', file, '--log-level', 'error'], {
    stdio: 'inherit',
    env: { ...process.env, TRIVIUM_ADMIN_LISTEN: admin },
  })
}

/** Starts a gateway with an admin server of its own; resolves when all its connections are up, looking every `lookMs` milliseconds. */
export async function startReady(file: string, { launcher: by = launcher, lookMs = 25 } = {}): Promise<ChildProcess> {
  const port = await freePort()
  const child = start(file, `127.0.0.1:${port}`, by)
  const untilMs = performance.now() + 20_000
  while (!(await answers(`http://127.0.0.1:${port}/readyz`))) {
    if (performance.now() > untilMs) throw new Error('the gateway is not ready within 20 s')
    await setTimeout(lookMs)
  }
  return child
}

const answers = (url: string): Promise<boolean> =>
  fetch(url).then(
    ({ status }) => status === 200,
    () => false,
  )
