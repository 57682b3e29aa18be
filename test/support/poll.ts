import { setTimeout as sleep } from 'node:timers/promises'

const betweenChecksMs = 20

/**
 * The first value of `check` that is neither undefined nor false. A check that throws counts as not yet; after
 * `withinMs` the wait fails with `what` and the last thing thrown.
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { withinMs = 30_000, what }: { withinMs?: number; what: string },
): Promise<Exclude<T, undefined | false>> {
  const giveUpAt = performance.now() + withinMs
  let cause: unknown
  for (let isLast = false; ; await sleep(betweenChecksMs)) {
    isLast = performance.now() >= giveUpAt // looked at once more: this process may have stood still
    try {
      const value = await check()
      if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>
    } catch (error) {
      cause = error
    }
    if (isLast) throw new Error(`not within ${withinMs} ms: ${what}`, { cause })
  }
}
