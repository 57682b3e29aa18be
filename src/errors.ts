/**
 * Every error of the gateway. The class answers one question (again, or never?); the code names the cause and
 * stands in docs/errors.md.
 */
export const errorCodes = [
  // what a peer answered about one message
  'MESSAGE_REFUSED', // the target refused it for good
  'MESSAGE_UNROUTABLE', // no queue is bound, the topic does not exist
  'MESSAGE_TOO_LARGE',
  'MESSAGE_MALFORMED', // the body is not what its content type claims
  'MESSAGE_EXPIRED', // its time to live has passed
  'MESSAGE_LOOPING', // it came through this gateway too often
  'MESSAGE_UNWANTED', // the rules that it was accepted by have changed, and let it go nowhere now
  'MESSAGE_POISONOUS', // the process died of it again and again
  'TARGET_BUSY', // the target asks to come again later
  // what a rule could not do
  'TRANSFORM_FAILED',
  'EXPRESSION_BUDGET', // a rule would cost too much for this message
  'DESTINATION_INVALID', // a rendered destination is not legal or not allowed
  'DESTINATION_LIMIT', // one destination more than its target may have
  // what became of a request
  'REPLY_TIMEOUT', // no reply came in time
  'REPLY_UNEXPECTED', // nobody waits for this reply: it is late, or names no request of this gateway
  'REPLY_ADDRESS_MISSING', // the request does not say where its answer should go
  'TOO_FEW_REPLIES', // fewer good answers than a scatter asks for
  'GATEWAY_STOPPING',
  // what the connection met
  'PEER_UNREACHABLE',
  'PEER_TIMEOUT',
  'PEER_LOST',
  'CREDENTIALS_REFUSED',
  'ACCESS_DENIED',
  'NOT_FOUND', // the queue or topic is not there
  'DESTINATION_UNAVAILABLE', // a part of the peer, such as a partition, takes nothing for now
  'PEER_FAILED', // the peer answered with an error of its own
  // what the user must mend
  'CONFIG_INVALID',
  'PORT_IN_USE',
  'USAGE',
  'FILE_MISSING',
  'DRAIN_INCOMPLETE',
  // what the store met
  'STORE_IN_USE', // another process has it
  'STORE_FAILED', // the disk did not do what it was told
  'STORE_DAMAGED',
  'STORE_FULL',
  'INTERNAL',
] as const
export type ErrorCode = (typeof errorCodes)[number]

export abstract class GatewayError extends Error {
  abstract readonly retryable: boolean
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name // derived, so it cannot drift
    this.code = code
  }
}

/** Codes that speak of the whole peer: it is opened anew, and all that goes to it waits. */
const outageCodes: ReadonlySet<ErrorCode> = new Set([
  'PEER_UNREACHABLE',
  'PEER_TIMEOUT',
  'PEER_LOST',
  'CREDENTIALS_REFUSED',
  'PORT_IN_USE',
])

/** Codes that speak of one destination, neither of the message nor of the whole peer: no attempt is counted, and others go on. */
const destinationCodes: ReadonlySet<ErrorCode> = new Set([
  'NOT_FOUND',
  'ACCESS_DENIED',
  'DESTINATION_UNAVAILABLE',
  'DESTINATION_LIMIT',
])

/** The same message may succeed later. */
export class RetryableError extends GatewayError {
  override readonly retryable = true
  /** The peer's own wish, in milliseconds. */
  readonly retryAfterMs: number | undefined
  constructor(code: ErrorCode, message: string, options: ErrorOptions & { retryAfterMs?: number | undefined } = {}) {
    super(code, message, options)
    this.retryAfterMs = options.retryAfterMs
  }
  /** True when the target could not be reached or did not answer. */
  get isOutage(): boolean {
    return outageCodes.has(this.code)
  }
  /** True when the target answered about this very message; only that uses up `retry.attempts`. */
  get countsAsAttempt(): boolean {
    return !outageCodes.has(this.code) && !destinationCodes.has(this.code)
  }
}

/** The same message will never succeed. */
export class PermanentError extends GatewayError {
  override readonly retryable = false
}

/** The text of anything thrown, on one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error)
  return text.replaceAll(/\s+/g, ' ').trim()
}
