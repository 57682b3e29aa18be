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
    const { cpuSecs, peakMib } = usageOf(child)
    return { wallSecs: (performance.now() - startedAt) / 1000, cpuSecs, peakMib }
  } finally {
    await end(child)
  }
}

/** CPU seconds so far, memory at its peak and now. */
export function usageOf({ pid }: ChildProcess) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const mib = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024
  return {
    cpuSecs: (Number(fields[11]) + Number(fields[12])) / ticksPerSec,
    peakMib: mib('VmHWM'),
    rssMib: mib('VmRSS'),
  }
}

/** Each figure's median over the runs. */
export function median(costs: readonly Cost[]): Cost {
  const middle = (figure: keyof Cost) => costs.map((cost) => cost[figure]).sort((a, b) => a - b)[costs.length >> 1] ?? 0
  return { wallSecs: middle('wallSecs'), cpuSecs: middle('cpuSecs'), peakMib: middle('peakMib') }
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
