/** Runs one process and reads what it cost from the operating system, so that the brokers' work is not counted. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Cost {
  /** From the start of the process until the goal, in seconds. */
  readonly wallSecs: number
  /** User and system time of the process, in seconds. */
  readonly cpuSecs: number
  /** The most memory it ever held, in MiB. */
  readonly peakMib: number
}

const ticksPerSec = 100 // USER_HZ, the same on every Linux
const pollMs = 25

/** Runs `node args` until `isDone`; fails after `withinMs` or when the process ends by itself. */
export async function measure(
  args: readonly string[],
  isDone: () => Promise<boolean>,
  withinMs: number,
): Promise<Cost> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] })
  const startedAt = performance.now()
  try {
    while (!(await isDone())) {
      if (child.exitCode !== null) throw new Error(`the process ended with ${child.exitCode}`)
      if (performance.now() - startedAt > withinMs) throw new Error(`not done within ${withinMs / 1000} s`)
      await sleep(pollMs)
    }
    return { wallSecs: (performance.now() - startedAt) / 1000, ...usageOf(child) }
  } finally {
    await end(child)
  }
}

/** CPU seconds of a process over `ms`, and its memory. */
export async function idleCost(child: ChildProcess, ms: number): Promise<Cost> {
  const before = usageOf(child)
  await sleep(ms)
  const after = usageOf(child)
  return { wallSecs: ms / 1000, cpuSecs: after.cpuSecs - before.cpuSecs, peakMib: after.peakMib }
}

export function usageOf({ pid }: ChildProcess): Omit<Cost, 'wallSecs'> {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const peakKib = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  return { cpuSecs: (Number(fields[11]) + Number(fields[12])) / ticksPerSec, peakMib: peakKib / 1024 }
}

/** Ends it: gracefully where it can, so that a profile is written; how long that takes is not measured. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await ended
  clearTimeout(timer)
}
