import { PermanentError } from '../errors.ts'
import type { Envelope } from './envelope.ts'
import { epochMs } from './time.ts'

/** When an envelope's time to live is over, in milliseconds since the epoch; undefined: it has none. */
export function expiresAtMs({ timestamp, ttlMs }: Envelope, nowMs = Date.now()): number | undefined {
  return ttlMs === undefined ? undefined : (epochMs(timestamp) ?? nowMs) + ttlMs
}

/**
 * What is left of an envelope's time to live, in whole milliseconds rounded up; undefined: it has none.
 * Throws MESSAGE_EXPIRED when nothing is left. A timestamp that cannot be read counts as now.
 */
export function remainingMs(envelope: Envelope, nowMs: number): number | undefined {
  const { ttlMs } = envelope
  if (ttlMs === undefined) return undefined
  const remaining = Math.ceil((expiresAtMs(envelope, nowMs) ?? nowMs) - nowMs)
  if (remaining > 0) return remaining
  throw new PermanentError('MESSAGE_EXPIRED', `its ttl of ${ttlMs} ms from ${envelope.timestamp} has passed`)
}
