import { PermanentError, RetryableError } from '../../src/errors.ts'

/** Why a bus turns something away. */
export type BusFault = 'down' | 'lost' | 'busy' | 'refused'

/** The bus's word as an error of the gateway. */
export function toGatewayError(fault: 'refused', bus: string): PermanentError
export function toGatewayError(fault: Exclude<BusFault, 'refused'>, bus: string): RetryableError
export function toGatewayError(fault: BusFault, bus: string): RetryableError | PermanentError
export function toGatewayError(fault: BusFault, bus: string): RetryableError | PermanentError {
  switch (fault) {
    case 'down':
      return new RetryableError('PEER_UNREACHABLE', `the bus ${bus} is down`)
    case 'lost':
      return new RetryableError('PEER_LOST', `the bus ${bus} went down`)
    case 'busy':
      return new RetryableError('TARGET_BUSY', `the bus ${bus} asks to come again later`)
    case 'refused':
      return new PermanentError('MESSAGE_REFUSED', `the bus ${bus} refused the message`)
  }
}
