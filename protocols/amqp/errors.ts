import { hungUpHint, withTlsHint } from '../../src/adapter/tls-hint.ts'
import { GatewayError, messageOf, PermanentError, RetryableError } from '../../src/errors.ts'

/** Reply codes of AMQP 0-9-1, section 1.1 of its reference. */
const reply = { connectionForced: 320, accessRefused: 403, notFound: 404, notAllowed: 530 } as const

/**
 * Driver error -> ours. `doing` says what was under way and stands before the driver's words; it never holds a password.
 * A message's own faults do not come this way: the sink judges them.
 */
export function toGatewayError(error: unknown, doing: string): GatewayError {
  if (error instanceof GatewayError) return error
  const text = messageOf(error)
  const code = codeOf(error)
  const retryable = (ours: ConstructorParameters<typeof RetryableError>[0], hint = text) =>
    new RetryableError(ours, `${doing}: ${hint}`, { cause: error })

  if (/Handshake terminated.*\b403\b|SASL mechanism/.test(text)) return retryable('CREDENTIALS_REFUSED')
  if (/got <ConnectionClose/.test(text)) {
    return retryable('ACCESS_DENIED', 'the virtual host is not there or not open to this user')
  }
  if (/ended abruptly|closed abruptly|Invalid frame|Unknown frame|maxFrameSize/.test(text)) {
    return retryable('PEER_UNREACHABLE', `${text}; ${hungUpHint('AMQP 0-9-1', doing.includes('amqps://'), 'amqps://')}`)
  }
  if (code === reply.notFound) return retryable('NOT_FOUND')
  if (code === reply.accessRefused || code === reply.notAllowed) return retryable('ACCESS_DENIED')
  if (typeof code === 'number' && code !== reply.connectionForced) return retryable('PEER_FAILED')
  if (typeof code === 'string') return systemError(error, code, doing)
  if (/ETIMEDOUT/.test(text)) return retryable('PEER_UNREACHABLE', 'no answer in time')
  return retryable('PEER_LOST')
}

function systemError(error: unknown, code: string, doing: string): GatewayError {
  const isLoss = code === 'ECONNRESET' || code === 'EPIPE'
  const message = `${doing}: ${withTlsHint(error)}`
  return new RetryableError(isLoss ? 'PEER_LOST' : 'PEER_UNREACHABLE', message, { cause: error })
}

/** The AMQP reply code or the system's error code, where there is one. */
export function codeOf(error: unknown): number | string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'number' || typeof error.code === 'string' ? error.code : undefined
}

/**
 * What a channel's end by the broker says about the one message that was on it. A refused permission is no outage: only
 * this message's exchange is closed to us.
 */
export function refusalOf(error: unknown, doing: string): RetryableError | PermanentError {
  const text = `${doing}: ${messageOf(error)}`
  if (codeOf(error) === reply.accessRefused) return new RetryableError('ACCESS_DENIED', text, { cause: error })
  return new PermanentError('MESSAGE_REFUSED', text, { cause: error })
}

/** True when the broker closed a channel because the exchange of a message is not there. */
export function isMissing(error: unknown): boolean {
  return codeOf(error) === reply.notFound
}

/** The broker's `max_message_size` in bytes, where its refusal names it. */
export function sizeLimitOf(error: unknown): number | undefined {
  const match = /larger than (?:the )?(?:configured )?max size (\d+)/.exec(messageOf(error))
  return match?.[1] === undefined ? undefined : Number(match[1])
}

/** The argument of a consumer that a queue of this type does not take, where that is what the broker says. */
export function refusedArgument(error: unknown): string | undefined {
  return /invalid arg '([^']+)'/.exec(messageOf(error))?.[1]
}

export function noStream(queue: string, cause: unknown): RetryableError {
  const text = `consuming ${queue}: it is no stream, and startFrom is for streams; take it out, or name a stream`
  return new RetryableError('PEER_FAILED', text, { cause })
}

export function lost(doing: string, cause?: unknown): RetryableError {
  const text = cause === undefined ? doing : `${doing}: ${messageOf(cause)}`
  return new RetryableError('PEER_LOST', text, { cause })
}
