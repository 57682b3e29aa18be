import { messageOf, RetryableError } from '../errors.ts'

/**
 * A sink that threw instead of answering with outcomes: a bug of its protocol. Its messages wait as in an outage, for
 * nothing may be lost until the protocol is mended.
 */
export class ProtocolFault extends RetryableError {
  constructor(cause: unknown) {
    super('INTERNAL', `bug in its protocol, send() threw: ${messageOf(cause)}`, { cause })
  }

  override get isOutage(): boolean {
    return true
  }

  override get countsAsAttempt(): boolean {
    return false
  }
}
