import { type ErrorCode, type GatewayError, PermanentError, RetryableError } from '../../errors.ts'

/**
 * What an asker is told of what a target, a driver or the store said: not their words, which name our addresses and may hold what
 * was meant for us alone. The dead letter has the error as it is. Codes that are not here speak of the request, in words of ours.
 */
const sentences: Partial<Record<ErrorCode, string>> = {
  MESSAGE_REFUSED: 'the target refused the request',
  MESSAGE_UNROUTABLE: 'the request leads to nobody',
  MESSAGE_TOO_LARGE: 'the message is too large',
  TARGET_BUSY: 'too much is under way: ask again later',
  DESTINATION_LIMIT: 'the target has too many destinations',
  PEER_UNREACHABLE: 'the target cannot be reached',
  PEER_TIMEOUT: 'the target did not answer in time',
  PEER_LOST: 'the connection to the target was lost',
  CREDENTIALS_REFUSED: 'the target does not take our credentials',
  ACCESS_DENIED: 'the target denies us access',
  NOT_FOUND: 'the destination is not there',
  DESTINATION_UNAVAILABLE: 'the destination takes nothing for now',
  PEER_FAILED: 'the target failed, or its reply cannot be used',
  STORE_FAILED: 'the request could not be kept',
  STORE_FULL: 'there is no room to keep the request',
  INTERNAL: 'the gateway failed',
}

export function toldError(error: GatewayError): GatewayError {
  const { code } = error
  const sentence = sentences[code]
  if (sentence === undefined) return error
  const options = { cause: error }
  return error instanceof RetryableError
    ? new RetryableError(code, sentence, { ...options, retryAfterMs: error.retryAfterMs })
    : new PermanentError(code, sentence, options)
}
