/** What HTTP says of errors of ours. */
import type { GatewayError } from '../../src/errors.ts'

/** The status of an error in the place of a reply: 504 as none came, 503 where asking again may help, else 502. */
export function replyStatusOf({ code, retryable }: GatewayError): number {
  if (code === 'REPLY_TIMEOUT') return 504
  return retryable || code === 'GATEWAY_STOPPING' ? 503 : 502
}
