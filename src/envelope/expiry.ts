import { PermanentError } from '../errors.ts'
import type { Envelope } from './envelope.ts'
import { epochMs } from './time.ts'

/**
 * What is left of an envelope's time to live, in whole milliseconds rounded up; undefined: it has none.
 * Throws MESSAGE_EXPIRED when nothing is left. A timestamp that cannot be read counts as now.
 */
export function remainingMs(envelope: Envelope, nowMs: number): number | undefined {
  const { ttlMs } = envelope
  if (ttlMs === undefined) return undefined
  const remaining = Math.ceil((epochMs(envelope.timestamp) ?? nowMs) + ttlMs - nowMs)
  if (remaining > 0) return remaining
  throw new PermanentError('MESSAGE_EXPIRED', `its ${ttlMs} ms from ${envelope.timestamp} are over`)
}
