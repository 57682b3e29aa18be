import type { Envelope } from '../envelope/envelope.ts'

/** What was captured from the address, by name. */
export type Params = Readonly<Record<string, string>>

/** What rules look at: the message, and what its address captured. */
export interface Subject {
  readonly envelope: Envelope
  readonly params: Params
  /** Milliseconds since the epoch; the same however often the message is decided upon. */
  readonly receivedAt: number
}
