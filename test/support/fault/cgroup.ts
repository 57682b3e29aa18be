/** A memory limit of the kernel's (control groups, version 1) where this machine lets us set one. */

import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { unique } from '../names.ts'

const root = '/sys/fs/cgroup/memory'

export interface MemoryLimit {
  /** Takes the process in, with all it has and will have. */
  admit(pid: number): void
  /** How often the kernel has killed for it. */
  kills(): number
  /** Once its processes have ended. */
  remove(): void
}

/** Undefined where that is not permitted. */
export function memoryLimit(bytes: number): MemoryLimit | undefined {
  const folder = join(root, unique('t'))
  try {
    if (!existsSync(join(root, 'memory.limit_in_bytes'))) return undefined
    mkdirSync(folder)
    writeFileSync(join(folder, 'memory.limit_in_bytes'), String(bytes))
  } catch {
    return undefined
  }
  return {
    admit: (pid) => writeFileSync(join(folder, 'cgroup.procs'), String(pid)),
    kills: () => Number(/oom_kill (\d+)/.exec(readFileSync(join(folder, 'memory.oom_control'), 'utf8'))?.[1] ?? 0),
    remove() {
      try {
        rmdirSync(folder)
      } catch {} // for a moment after the end of its processes; it costs nothing
    },
  }
}
