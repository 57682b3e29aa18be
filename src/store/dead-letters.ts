import type { Envelope } from '../envelope/envelope.ts'
import type { GatewayError } from '../errors.ts'

export const deadLetterReasons = [
  'expired',
  'max-attempts',
  'rejected',
  'schema',
  'transform',
  'expression-budget',
  'loop',
  'too-large',
  'unwanted',
  'poison',
  'damaged',
  'store-full',
  'destination-limit',
  'unanswered',
  'late-reply',
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
  /** That target's bit, see `Outbox.route`; undefined like `target`. */
  readonly bit: number | undefined
  /** What the route captured from the message's address. */
  readonly params: Readonly<Record<string, string>>
  /** How often it came back from the dead letters before. */
  readonly requeues: number
  /** Milliseconds since the epoch: receipt, and the last attempt. */
  readonly firstAt: number
  readonly lastAt: number
  /** True where the route names a target of its own for its dead letters, which is to get it too. */
  readonly toForward: boolean
}

/** What the dead letters may take up, and what happens when more come. */
export interface DeadLetterLimit {
  readonly maxBytes: number
  /** `wait`: a letter waits in memory, and its message stays where it came from. `dropOldest`: the oldest letters go. */
  readonly onFull: 'wait' | 'dropOldest'
}
