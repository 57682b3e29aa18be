import type { Envelope, HeaderValue } from '../../envelope/envelope.ts'
import type { ErrorCode, GatewayError } from '../../errors.ts'
import type { DeadLetterReason, StoredDeadLetter } from '../../store/contract.ts'

const reasonOfCode: Partial<Record<ErrorCode, DeadLetterReason>> = {
  MESSAGE_EXPIRED: 'expired',
  MESSAGE_TOO_LARGE: 'too-large',
  MESSAGE_MALFORMED: 'schema',
  MESSAGE_LOOPING: 'loop',
  MESSAGE_UNWANTED: 'unwanted',
  MESSAGE_POISONOUS: 'poison',
  STORE_FULL: 'store-full',
  STORE_DAMAGED: 'damaged',
  TRANSFORM_FAILED: 'transform',
  EXPRESSION_BUDGET: 'expression-budget',
  DESTINATION_INVALID: 'transform',
  DESTINATION_LIMIT: 'destination-limit',
  REPLY_UNEXPECTED: 'late-reply',
  REPLY_ADDRESS_MISSING: 'unanswered',
}

/** A permanent failure's reason; a retryable one only gets here when its attempts are used up. */
export function reasonOf(error: GatewayError): DeadLetterReason {
  if (error.code === 'REPLY_TIMEOUT') return 'unanswered'
  return error.retryable ? 'max-attempts' : (reasonOfCode[error.code] ?? 'rejected')
}

/** The original message with the `trivium-dlq-*` headers beside its own. */
export function deadLetterEnvelope(letter: StoredDeadLetter): Envelope {
  const headers: Record<string, HeaderValue> = Object.assign(Object.create(null), letter.envelope.headers)
  headers['trivium-dlq-reason'] = letter.reason
  headers['trivium-dlq-error'] = `${letter.error.code}: ${letter.error.message}`
  headers['trivium-dlq-attempts'] = String(letter.attempts)
  headers['trivium-dlq-route'] = letter.route
  headers['trivium-dlq-source'] = letter.envelope.source
  if (letter.target !== undefined) headers['trivium-dlq-target'] = letter.target
  headers['trivium-dlq-first-at'] = new Date(letter.firstAt).toISOString()
  headers['trivium-dlq-last-at'] = new Date(letter.lastAt).toISOString()
  // What expired or looped must not be refused again for the same reason on its way to where people look at it.
  return letter.envelope.with({ headers, ttlMs: undefined, malformed: undefined })
}
