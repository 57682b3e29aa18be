/** The command line as a user runs it: a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

export const root = join(import.meta.dirname, '../../..')
export const launcher = join(root, 'bin/trivium.js')

export interface ProcessOptions {
  readonly cwd?: string
  /** Beside the environment of this process, from which everything TRIVIUM_… is taken out. */
  readonly env?: Readonly<Record<string, string>>
  /** Standard input; by default empty. */
  readonly input?: string
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A process with what it has written so far. */
export class RunningProcess {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  stdout = ''
  stderr = ''
  #written = Promise.withResolvers<undefined>()

  constructor(command: string, args: readonly string[], options: ProcessOptions = {}) {
    const { cwd = root, env = {}, input = '' } = options
    // a group of its own, so that what a launcher or npm starts can be ended with it
    this.child = spawn(command, args, { cwd, env: { ...plainEnv(), ...env }, detached: true })
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#add('stdout', text))
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#add('stderr', text))
    this.child.stdin?.on('error', () => {}).end(input)
    this.ended = this.#end()
  }

  get output(): string {
    return this.stdout + this.stderr
  }

  /** Resolves when `pattern` has been written; rejects when the process ends without it, or after `withinMs`. */
  async wrote(pattern: RegExp, withinMs = 30_000): Promise<RegExpExecArray> {
    const over = Promise.withResolvers<string>()
    const timer = setTimeout(() => over.resolve(`within ${withinMs} ms`), withinMs)
    void this.ended.then(({ code }) => over.resolve(`before it ended with ${code}`))
    try {
      let isOver: string | undefined
      while (true) {
        const found = pattern.exec(this.output)
        if (found !== null) return found
        if (isOver !== undefined) throw new Error(`${pattern} was not written ${isOver}:\n${this.output}`)
        isOver = await Promise.race([this.#written.promise, over.promise])
      }
    } finally {
      clearTimeout(timer)
    }
  }

  /** Sends the signal to it and all it has started, and resolves when it has ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    try {
      if (this.child.pid !== undefined) process.kill(-this.child.pid, signal)
    } catch {
      // it has ended already
    }
    return this.ended
  }

  async #end(): Promise<Ended> {
    const [code, signal] = (await once(this.child, 'close')) as [number | null, NodeJS.Signals | null]
    return { code, signal, stdout: this.stdout, stderr: this.stderr }
  }

  #add(stream: 'stdout' | 'stderr', text: string): void {
    this[stream] += text
    this.#written.resolve(undefined)
    this.#written = Promise.withResolvers()
  }
}

/** `trivium …` under this very Node. */
export function startTrivium(args: readonly string[], options?: ProcessOptions): RunningProcess {
  return new RunningProcess(process.execPath, [launcher, ...args], options)
}

/** The same, for a command that ends by itself. */
export function trivium(args: readonly string[], options?: ProcessOptions): Promise<Ended> {
  return startTrivium(args, options).ended
}

function plainEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(TRIVIUM_|NODE_OPTIONS$)/.test(name)))
}
