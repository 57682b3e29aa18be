import type { Envelope } from '../envelope/envelope.ts'
import type { GatewayError } from '../errors.ts'

export const deadLetterReasons = [
  'expired',
  'max-attempts',
  'rejected',
  'schema',
  'transform',
  'loop',
  'too-large',
] as const
export type DeadLetterReason = (typeof deadLetterReasons)[number]

/** A message that could not be delivered, with all that is needed to understand it and to send it again. */
export interface DeadLetter {
  /** As received: original bytes, headers and source. */
  readonly envelope: Envelope
  readonly reason: DeadLetterReason
  readonly error: GatewayError
  /** Attempts that a target answered. */
  readonly attempts: number
  readonly route: string
  /** `kafka://events/telemetry`; absent where the message did not get as far. */
  readonly target: string | undefined
  /** Milliseconds since the epoch: receipt, and the last attempt. */
  readonly firstAt: number
  readonly lastAt: number
}

/** Where dead letters are kept when a route names no target of its own. Resolves when the letter is safe on disk. */
export interface DeadLetters {
  add(letter: DeadLetter): Promise<void>
  close(): Promise<void>
}
