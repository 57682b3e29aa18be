import { PermanentError, RetryableError } from '../../src/errors.ts'

/** Why a bus takes no message in. */
export type BusFault = 'full' | 'too-large'

/** The bus's word as an error of the gateway. */
export function toGatewayError(fault: BusFault, bus: string): RetryableError | PermanentError {
  if (fault === 'full') return new RetryableError('TARGET_BUSY', `the bus ${bus} is full: nobody reads it`)
  return new PermanentError('MESSAGE_TOO_LARGE', `the message is larger than all that the bus ${bus} holds`)
}

/** Of an adapter that is closed, or was never open. */
export const closedError = (bus: string) =>
  new RetryableError('PEER_LOST', `the connection to the bus ${bus} is closed`)
