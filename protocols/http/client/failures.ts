/** What undici and the system throw, as errors of the gateway. */
import { hungUpHint, withTlsHint } from '../../../src/adapter/tls-hint.ts'
import { PermanentError, RetryableError } from '../../../src/errors.ts'

/** Nobody was there: no server has seen the message. */
const unreachable =
  /^E(CONNREFUSED|HOSTUNREACH|NETUNREACH|HOSTDOWN|NETDOWN|TIMEDOUT|ADDRNOTAVAIL|AI_|NOTFOUND)|^UND_ERR_CONNECT_TIMEOUT$|^ERR_(TLS|SSL)_|^(CERT|CRL|UNABLE_TO)_|SELF_SIGNED/

/** The connection ended under the request: perhaps the server had closed it just then, as it was idle. */
const lost = /^(UND_ERR_SOCKET|ECONNRESET|EPIPE)$/

export const isUnreachable = (error: unknown): boolean => unreachable.test(codeOf(error))
export const isLost = (error: unknown): boolean => lost.test(codeOf(error))

/**
 * A server that cannot be reached or gives no answer says nothing about the message: no attempt is counted, and what goes to
 * other servers of the connection goes on. `isChosen`: a message has chosen the host, and one that has no address is its fault.
 */
export function failureOf(error: unknown, origin: string, isChosen: boolean): RetryableError | PermanentError {
  if (error instanceof PermanentError && error.code === 'DESTINATION_INVALID') return error
  if (error instanceof RetryableError && error.code === 'PEER_LOST') return error // closed here
  const code = codeOf(error)
  if (code === 'UND_ERR_DESTROYED' || code === 'UND_ERR_CLOSED') {
    return new RetryableError('PEER_LOST', 'the connection was closed here', { cause: error })
  }
  const text = `${origin}: ${textOf(error, code, origin)}`
  const options = { cause: error }
  if (code === 'UND_ERR_INVALID_ARG') return new PermanentError('MESSAGE_REFUSED', text, options)
  if (isChosen && code === 'ENOTFOUND') return new RetryableError('PEER_FAILED', text, options)
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return new RetryableError('PEER_FAILED', text, options)
  return new RetryableError('DESTINATION_UNAVAILABLE', text, options)
}

function textOf(error: unknown, code: string, origin: string): string {
  const text = withTlsHint(firstOf(error))
  return lost.test(code) ? `${text}; ${hungUpHint('HTTP', origin.startsWith('https:'), 'https://')}` : text
}

function codeOf(error: unknown): string {
  const { code } = Object(firstOf(error)) as { code?: unknown }
  return typeof code === 'string' ? code : ''
}

/** Of several addresses that were tried, the first tells. */
function firstOf(error: unknown): unknown {
  return error instanceof AggregateError ? (error.errors[0] ?? error) : error
}
