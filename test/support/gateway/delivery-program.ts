/** The real program, `bin/trivium.js run`, as a child of a test. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { withDeadline } from '../../../src/adapter/deadline.ts'
import { eventually } from '../poll.ts'
import type { Scope } from './scenario.ts'

const launcher = join(import.meta.dirname, '../../../bin/trivium.js')

export interface Program {
  readonly pid: number
  readonly admin: string
  /** All that it has logged. */
  readonly log: string[]
  /** Sends the signal; resolves with the exit code and how long that took. */
  end(signal: NodeJS.Signals): Promise<{ code: number | null; ms: number }>
}

/** What stands in one folder: the configuration, and the data of run after run. */
export class Installation {
  readonly #file: string
  readonly #folder: string
  readonly #adminPort: number
  readonly #scope: Scope

  constructor(scope: Scope, adminPort: number, yaml: string) {
    this.#scope = scope
    this.#adminPort = adminPort
    this.#folder = mkdtempSync(join(tmpdir(), 'trivium-drain-'))
    this.#file = join(this.#folder, 'trivium.yaml')
    writeFileSync(this.#file, yaml)
    scope.after(() => rmSync(this.#folder, { recursive: true, force: true }))
  }

  /** `openFiles`: the most files the system lets it open. */
  async run({ openFiles }: { openFiles?: number } = {}): Promise<Program> {
    const { child, log } = this.#start(openFiles)
    const admin = `http://127.0.0.1:${this.#adminPort}`
    await eventually(async () => (await fetch(`${admin}/livez`)).ok, {
      withinMs: 60_000,
      what: `the program runs: ${log}`,
    })
    return { pid: child.pid!, admin, log, end: (signal) => ended(child, signal) }
  }

  /** A run that ends by itself: its exit code. */
  async runOut(): Promise<{ code: number | null; log: string[] }> {
    const { child, log } = this.#start()
    const [code] = await withDeadline(once(child, 'close'), 25_000, 'ending by itself')
    return { code, log }
  }

  #start(openFiles?: number) {
    const limit = openFiles === undefined ? '' : `ulimit -n ${openFiles}; `
    const child = spawn('sh', ['-c', `${limit}exec "$0" "$@"`, process.execPath, launcher, 'run', this.#file], {
      env: { ...process.env, TRIVIUM_DATA_DIR: join(this.#folder, 'data') },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const log: string[] = []
    child.stderr.setEncoding('utf8').on('data', (text: string) => log.push(...text.trim().split('\n')))
    this.#scope.after(() => killed(child))
    return { child, log }
  }
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<{ code: number | null; ms: number }> {
  const startedAt = performance.now()
  const exit = once(child, 'exit')
  child.kill(signal)
  const [code] = await withDeadline(exit, 25_000, 'ending')
  return { code, ms: performance.now() - startedAt }
}

const isReady = async ({ admin }: Program) => (await fetch(`${admin}/readyz`)).ok
export const ready = (program: Program) =>
  eventually(() => isReady(program), { withinMs: 90_000, what: `ready: ${program.log}` })

interface Counts {
  readonly delivered: number
  readonly inFlight: number
}
export async function counts({ admin }: Program): Promise<Counts> {
  const { routes } = (await (await fetch(`${admin}/api/v1/routes`)).json()) as { routes: [Counts] }
  return routes[0]
}
