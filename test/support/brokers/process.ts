/** A broker as a process group of its own: started, killed, started again, and never left behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { withDeadline } from '../../../src/adapter/deadline.ts'

const stopWithinMs = 10_000
/** Until then a broker that is to go on writes down what it has; cut short, it would lose it. */
const restWithinMs = 60_000

/** A broker that answers. */
export interface Running {
  /** As a client is given it: `127.0.0.1:9092`, `amqp://…`, `mqtt://…`. */
  readonly address: string
  readonly port: number
  /** Ends it in its own way and removes its data. Safe to call twice. */
  stop(): Promise<void>
  /** Ends it as a power cut does; its data stays for `restart`. */
  kill(): Promise<void>
  /** Ends it in its own way if it still runs, then starts it on the same port and data. */
  restart(): Promise<void>
}

export interface Launch {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly folder: string
  readonly address: string
  readonly port: number
  /** Resolves once the broker answers in its own protocol. */
  readonly ready: () => Promise<unknown>
}

/** A folder of its own for a broker's data, below the system's temporary folder. */
export function dataFolder(name: string): string {
  return mkdtempSync(join(tmpdir(), `trivium-${name}-`))
}

export async function launch(broker: Launch): Promise<Running> {
  let child = await start(broker)
  return {
    address: broker.address,
    port: broker.port,
    async stop() {
      await end(child, 'SIGTERM')
      rmSync(broker.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 })
    },
    kill: () => end(child, 'SIGKILL'),
    async restart() {
      await end(child, 'SIGTERM', restWithinMs)
      child = await start(broker)
    },
  }
}

/**
 * The broker in the place of the shell, beside it one that waits for the end of a pipe we hold: however this process
 * ends, the broker ends too and takes its data along.
 */
const underLifeline = '(cat; kill -9 $$; rm -rf "$0"; kill -9 -$$) <&3 & exec "$@" 3<&-'

async function start(broker: Launch): Promise<ChildProcess> {
  const logFile = join(broker.folder, 'output.log')
  const log = openSync(logFile, 'a')
  const child = spawn('/bin/sh', ['-c', underLifeline, broker.folder, broker.command, ...broker.args], {
    cwd: broker.folder,
    env: { ...process.env, ...broker.env },
    stdio: ['ignore', log, log, 'pipe'],
    detached: true, // a process group of its own, so that its children end with it
  })
  closeSync(log)
  try {
    await Promise.race([broker.ready(), endedEarly(child)])
  } catch (error) {
    await end(child, 'SIGKILL')
    throw new Error(`${broker.name} did not start: ${tailOf(logFile)}`, { cause: error })
  }
  return child
}

async function endedEarly(child: ChildProcess): Promise<never> {
  const [code] = await once(child, 'exit')
  throw new Error(`ended with ${code}`)
}

async function end(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL', withinMs = stopWithinMs): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  signalGroup(child, signal)
  await withDeadline(gone, withinMs, 'stopping').catch(() => {})
  signalGroup(child, 'SIGKILL')
  await gone
}

function signalGroup(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // the group has ended
  }
}

function tailOf(file: string): string {
  return readFileSync(file, 'utf8').trim().split('\n').slice(-8).join('\n')
}
