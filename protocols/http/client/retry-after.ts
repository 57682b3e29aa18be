/** Nobody has to wait for longer than that, whatever a server says. Milliseconds. */
const longestMs = 3_600_000

/** `Retry-After`, seconds or a date, in milliseconds from now; undefined: there is none that can be read. */
export function retryAfterMs(text: string | undefined, nowEpochMs = Date.now()): number | undefined {
  if (text === undefined) return undefined
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - nowEpochMs
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), longestMs)
}
