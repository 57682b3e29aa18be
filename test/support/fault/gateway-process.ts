/** The real program, `bin/trivium.js run`, in a folder of its own: started, killed, started again on what it left. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { withDeadline } from '../../../src/adapter/deadline.ts'
import { eventually } from '../poll.ts'
import { freePort } from '../ports.ts'

/** TRIVIUM_TEST_LAUNCHER: another build than this tree's, such as an installed package. */
const launcher = process.env.TRIVIUM_TEST_LAUNCHER || join(import.meta.dirname, '../../../bin/trivium.js')
const readyWithinMs = 60_000

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Life {
  /** For this start only, e.g. a failpoint. */
  readonly env?: Readonly<Record<string, string>>
  /** In front of `node bin/trivium.js`, e.g. strace and its options; the program must replace itself by what it runs. */
  readonly under?: readonly string[]
}

export interface GatewayOptions {
  /** Where the data lies, e.g. on a small disk; by default in a folder that goes with the gateway. */
  readonly dataDir?: string
  /** Of every start. */
  readonly env?: Readonly<Record<string, string>>
  readonly under?: readonly string[]
}

/** As much of `GET /api/v1/routes` as tests look at. */
export interface RouteView {
  readonly name: string
  readonly matched: number
  readonly delivered: number
  readonly deadLettered: number
  readonly inFlight: number
}

export class GatewayProcess {
  readonly dataDir: string
  readonly configFile: string
  readonly #options: GatewayOptions
  readonly #folder: string
  readonly #adminPort: number
  #child: ChildProcess | undefined
  #log: string[] = []
  #exit: Promise<Exit> = Promise.resolve({ code: 0, signal: null })
  /** Whatever becomes of the test. */
  readonly #killAtExit = () => void this.#child?.kill('SIGKILL')
  /** How often it was killed. */
  kills = 0
  /** Highest resident memory of any life, in bytes, as far as a `peak` was asked for while it lived. */
  #peakBytes = 0

  /** Its data directory and the address of its admin server are given by the environment, not by `yaml`. */
  static async create(yaml: string, options: GatewayOptions = {}): Promise<GatewayProcess> {
    return new GatewayProcess(yaml, await freePort(), options)
  }

  private constructor(yaml: string, adminPort: number, options: GatewayOptions) {
    this.#options = options
    this.#adminPort = adminPort
    this.#folder = mkdtempSync(join(tmpdir(), 'trivium-fault-'))
    this.dataDir = options.dataDir ?? join(this.#folder, 'data')
    mkdirSync(this.dataDir, { recursive: true, mode: 0o700 })
    this.configFile = join(this.#folder, 'trivium.yaml')
    writeFileSync(this.configFile, yaml)
    process.once('exit', this.#killAtExit)
  }

  get admin(): string {
    return `http://127.0.0.1:${this.#adminPort}`
  }

  get pid(): number {
    return this.#child!.pid!
  }

  /** The last lines of all its lives. */
  get log(): readonly string[] {
    return this.#log
  }

  /** Starts it; resolves at once. */
  launch(life: Life = {}): void {
    const under = life.under ?? this.#options.under ?? []
    const [command, ...args] = [...under, process.execPath, launcher, 'run', this.configFile]
    const child = spawn(command!, args, {
      env: {
        ...withoutJest(process.env),
        TRIVIUM_DATA_DIR: this.dataDir,
        TRIVIUM_ADMIN_LISTEN: `127.0.0.1:${this.#adminPort}`,
        ...this.#options.env,
        ...life.env,
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#log = [...this.#log, ...text.trimEnd().split('\n')].slice(-200)
    })
    this.#child = child
    this.#exit = once(child, 'exit').then(([code, signal]) => ({ code, signal }))
  }

  /** Starts it; resolves when every connection is up. */
  async start(life: Life = {}): Promise<void> {
    this.launch(life)
    await this.ready()
  }

  /** Resolves when `/readyz` says so. Rejects at once when the process has ended. */
  async ready(withinMs = readyWithinMs): Promise<void> {
    const isReady = async () => {
      if (!this.isAlive) return true
      return (await fetch(`${this.admin}/readyz`)).ok
    }
    await eventually(isReady, { withinMs, what: 'ready' }).catch((cause: unknown) => {
      throw new Error(`the gateway is not ready: ${this.#log.slice(-10).join('\n')}`, { cause })
    })
    if (!this.isAlive) throw await this.#surprise()
  }

  /** Does this while the gateway lives; rejects as soon as it ends by itself. */
  async whileAlive<T>(work: Promise<T>): Promise<T> {
    const over = this.#exit.then(async () => {
      throw await this.#surprise()
    })
    return await Promise.race([work, over])
  }

  async #surprise(): Promise<Error> {
    return new Error(`the gateway has ended, ${JSON.stringify(await this.#exit)}: ${this.#log.slice(-10).join('\n')}`)
  }

  get isAlive(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** How it ends, whenever it does. */
  get ended(): Promise<Exit> {
    return this.#exit
  }

  /** Ends it without a word. Rejects when it has ended by itself. */
  async kill(): Promise<void> {
    if (!this.isAlive) throw await this.#surprise()
    this.peakBytes()
    this.#child!.kill('SIGKILL')
    await this.#exit
    this.kills += 1
  }

  /** Asks it to end. */
  async stop(withinMs = 40_000): Promise<Exit> {
    if (!this.isAlive) return await this.#exit
    this.peakBytes()
    this.#child!.kill('SIGTERM')
    return await withDeadline(this.#exit, withinMs, `the end of the gateway: ${this.#log.slice(-10).join('\n')}`)
  }

  /** Highest resident memory so far, in bytes, of this life and those before. */
  peakBytes(): number {
    if (this.isAlive) this.#peakBytes = Math.max(this.#peakBytes, memoryOf(this.pid, 'VmHWM'))
    return this.#peakBytes
  }

  /** From now on `peakBytes` is of what follows. */
  forgetPeak(): void {
    this.#peakBytes = 0
    writeFileSync(`/proc/${this.pid}/clear_refs`, '5')
  }

  /** Resident memory now, in bytes. */
  residentBytes(): number {
    return memoryOf(this.pid, 'VmRSS')
  }

  async routes(): Promise<readonly RouteView[]> {
    return ((await this.get('/api/v1/routes')) as { routes: RouteView[] }).routes
  }

  async get(path: string): Promise<unknown> {
    const response = await fetch(`${this.admin}${path}`)
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return await response.json()
  }

  async post(path: string, body: unknown): Promise<unknown> {
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(`${this.admin}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return await response.json()
  }

  /** Ends it and removes what it has left. */
  async remove(): Promise<void> {
    if (this.isAlive) {
      this.#child!.kill('SIGKILL')
      await this.#exit
    }
    process.off('exit', this.#killAtExit)
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function memoryOf(pid: number, field: 'VmHWM' | 'VmRSS'): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024
  } catch {
    return 0 // gone, or no Linux
  }
}

/** Jest's own settings are not for the program. */
function withoutJest(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(JEST_|NODE_OPTIONS$)/.test(name)))
}
