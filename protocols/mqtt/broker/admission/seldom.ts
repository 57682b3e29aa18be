import type { Log } from '../../../../src/adapter/contract.ts'

const everyMs = 10_000

/** What anybody on the network can provoke: said at once, then at most every ten seconds, with what was left out. */
export function seldom(
  log: Log,
  message: string,
  level: 'info' | 'warn' | 'error' = 'warn',
): (fields: Readonly<Record<string, unknown>>) => void {
  let lastMs = Number.NEGATIVE_INFINITY
  let leftOut = 0
  return (fields) => {
    const nowMs = performance.now()
    if (nowMs - lastMs < everyMs) {
      leftOut += 1
      return
    }
    log[level](message, leftOut > 0 ? { ...fields, leftOut } : fields)
    lastMs = nowMs
    leftOut = 0
  }
}

/** Text a device chose, cut to what a log line bears. */
export function brief(text: string | null | undefined): string {
  if (text === undefined || text === null) return '' // aedes: null before CONNECT
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
