/** Full jitter: anything between 0 and the doubled delay, so that a thousand lanes that failed together return apart. */
export function fullJitterMs(attempt: number, limits: { delayMs: number; maxDelayMs: number }): number {
  const ceiling = Math.min(limits.maxDelayMs, limits.delayMs * 2 ** Math.min(attempt - 1, 30))
  return Math.ceil(Math.random() * ceiling)
}

/** A timer holds no longer delay. */
export const longestTimerMs = 2 ** 31 - 1

/** Until a disk that was full to its last byte is tried again. Milliseconds. */
export const fullDiskMs = 1_000

/** What the supervisor waits between two attempts to connect. */
export const reconnectLimits = { delayMs: 100, maxDelayMs: 30_000 } as const
