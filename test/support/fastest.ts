/**
 * Milliseconds of this thread's processor, of the quickest of three runs: what the work costs, for bounds that a busy machine
 * must not break.
 */
export function fastestCpuMs(work: () => void): number {
  const runs = [1, 2, 3].map(() => {
    const before = process.threadCpuUsage()
    work()
    const { user, system } = process.threadCpuUsage(before)
    return (user + system) / 1_000
  })
  return Math.min(...runs)
}
