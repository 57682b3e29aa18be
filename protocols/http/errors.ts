/** What HTTP says of errors of ours. */
import { type ErrorCode, type GatewayError, RetryableError } from '../../src/errors.ts'

/** What the rules say of the request itself. */
const ofRules: ReadonlySet<ErrorCode> = new Set([
  'TRANSFORM_FAILED',
  'EXPRESSION_BUDGET',
  'DESTINATION_INVALID',
  'MESSAGE_UNWANTED',
])

/** What stands in the place of a reply: 504 as none came, 503 where the gateway itself asks to come again, 422 or else 502. */
export function replyStatusOf(error: GatewayError): number {
  if (error.code === 'REPLY_TIMEOUT') return 504
  if (ofRules.has(error.code)) return 422
  return error.code === 'GATEWAY_STOPPING' || waitMsOf(error) !== undefined ? 503 : 502
}

/** `Retry-After` of such an answer: whole seconds. */
export function retryAfterOf(error: GatewayError): string {
  return String(Math.ceil((waitMsOf(error) ?? 1_000) / 1_000))
}

function waitMsOf(error: GatewayError): number | undefined {
  return error instanceof RetryableError ? error.retryAfterMs : undefined
}
