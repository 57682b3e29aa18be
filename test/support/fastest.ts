/** Milliseconds of the quickest of three runs: what the work costs, whatever else the machine did meanwhile in one of them. */
export function fastestMs(work: () => void): number {
  const runs = [1, 2, 3].map(() => {
    const startedAt = performance.now()
    work()
    return performance.now() - startedAt
  })
  return Math.min(...runs)
}

/** The same in milliseconds of this thread's processor: for bounds that a busy machine must not break. */
export function fastestCpuMs(work: () => void): number {
  const runs = [1, 2, 3].map(() => {
    const before = process.threadCpuUsage()
    work()
    const { user, system } = process.threadCpuUsage(before)
    return (user + system) / 1_000
  })
  return Math.min(...runs)
}
