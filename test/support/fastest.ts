/** Milliseconds of the quickest of three runs: what the work costs, whatever else the machine did meanwhile in one of them. */
export function fastestMs(work: () => void): number {
  const runs = [1, 2, 3].map(() => {
    const startedAt = performance.now()
    work()
    return performance.now() - startedAt
  })
  return Math.min(...runs)
}
