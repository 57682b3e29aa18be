import { withTlsHint } from '../../src/adapter/tls-hint.ts'
import { type ErrorCode, type GatewayError, PermanentError, RetryableError } from '../../src/errors.ts'
import { errorCodes } from './client/guard.ts'

/** Where a broker's or kafkajs's word means more than "the peer failed". */
const codes: Readonly<Record<string, ErrorCode>> = {
  KafkaJSSASLAuthenticationError: 'CREDENTIALS_REFUSED',
  SASL_AUTHENTICATION_FAILED: 'CREDENTIALS_REFUSED',
  UNSUPPORTED_SASL_MECHANISM: 'CREDENTIALS_REFUSED',
  ILLEGAL_SASL_STATE: 'CREDENTIALS_REFUSED',
  TOPIC_AUTHORIZATION_FAILED: 'ACCESS_DENIED',
  GROUP_AUTHORIZATION_FAILED: 'ACCESS_DENIED',
  CLUSTER_AUTHORIZATION_FAILED: 'ACCESS_DENIED',
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: 'ACCESS_DENIED',
  UNKNOWN_TOPIC_OR_PARTITION: 'NOT_FOUND',
  KafkaJSConnectionClosedError: 'PEER_LOST',
  KafkaJSConnectionError: 'PEER_UNREACHABLE',
  KafkaJSRequestTimeoutError: 'PEER_TIMEOUT',
  KafkaJSLockTimeout: 'PEER_TIMEOUT',
  KafkaJSTimeout: 'PEER_TIMEOUT',
  REQUEST_TIMED_OUT: 'PEER_TIMEOUT',
  NETWORK_EXCEPTION: 'PEER_LOST',
  NOT_ENOUGH_REPLICAS: 'PEER_UNREACHABLE',
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: 'PEER_UNREACHABLE',
  LEADER_NOT_AVAILABLE: 'PEER_UNREACHABLE',
  NOT_LEADER_FOR_PARTITION: 'PEER_UNREACHABLE',
  GROUP_COORDINATOR_NOT_AVAILABLE: 'PEER_UNREACHABLE',
  NOT_COORDINATOR_FOR_GROUP: 'PEER_UNREACHABLE',
  GROUP_LOAD_IN_PROGRESS: 'PEER_UNREACHABLE',
  THROTTLING_QUOTA_EXCEEDED: 'TARGET_BUSY',
}

/** What a broker answers about the very message: sending it again gives the same answer. */
const refusals: Readonly<Record<string, ErrorCode>> = {
  MESSAGE_TOO_LARGE: 'MESSAGE_TOO_LARGE',
  RECORD_LIST_TOO_LARGE: 'MESSAGE_TOO_LARGE',
  INVALID_RECORD: 'MESSAGE_REFUSED',
  INVALID_TIMESTAMP: 'MESSAGE_REFUSED',
  INVALID_TOPIC_EXCEPTION: 'DESTINATION_INVALID',
}

/** The answers of a node that does not lead a partition, any more or yet. */
export const movedLeaders: ReadonlySet<string> = new Set([
  'NOT_LEADER_FOR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'REPLICA_NOT_AVAILABLE',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
  'KAFKA_STORAGE_ERROR',
])

const types: ReadonlyMap<number, string> = new Map([
  ...errorCodes.map(({ code, type }) => [code, type] as const),
  [87, 'INVALID_RECORD'],
  [89, 'THROTTLING_QUOTA_EXCEEDED'],
  [90, 'PRODUCER_FENCED'],
])
const explanations: ReadonlyMap<string, string> = new Map(errorCodes.map(({ type, message }) => [type, message]))

/** The protocol's name of an error code: `MESSAGE_TOO_LARGE`. */
export function errorType(code: number): string {
  return types.get(code) ?? `ERROR_${code}`
}

/** A broker's error by name; `about` names the topic, group or address concerned, `detail` is the broker's own text. */
export function brokerError(type: string, about: string, detail?: string): RetryableError | PermanentError {
  const text = `${about}: ${detail ?? explanations.get(type) ?? 'the broker refused'} (${type})`
  const refusal = refusals[type]
  if (refusal !== undefined) return new PermanentError(refusal, text)
  return new RetryableError(codes[type] ?? 'PEER_FAILED', text)
}

/**
 * As `brokerError`, for what a broker says about one topic or partition to be written to. The broker is there, so it is
 * no outage: others go on, also where this one takes nothing for now.
 */
export function destinationError(type: string, about: string, detail?: string): RetryableError | PermanentError {
  const error = brokerError(type, about, detail)
  const isUnavailable = isOutage(error) || (movedLeaders.has(type) && error.code !== 'NOT_FOUND')
  return isUnavailable ? new RetryableError('DESTINATION_UNAVAILABLE', error.message) : error
}

/** True where the peer is away, whatever was asked of it. */
export function isOutage(error: GatewayError): boolean {
  return error instanceof RetryableError && error.isOutage
}

/** Anything kafkajs or a socket throws as an error of the gateway; `about` names what was attempted. */
export function toGatewayError(error: unknown, about: string): GatewayError {
  if (error instanceof RetryableError || error instanceof PermanentError) return error
  const { name, type, code } = error as { name?: unknown; type?: unknown; code?: unknown }
  if (typeof type === 'string') return brokerError(type, about)
  const known = codes[String(name)] ?? (isOfTheWay(code) ? 'PEER_UNREACHABLE' : 'PEER_FAILED')
  return new RetryableError(known, `${about}: ${withTlsHint(error)}`, { cause: error })
}

const ofTheWay =
  /^E(CONN|PIPE$|TIMEDOUT$|HOST|NET|ADDRNOTAVAIL$|AI_|NOTFOUND$|PROTO$)|^ERR_(TLS|SSL)_|^(CERT|CRL|UNABLE_TO)_|SELF_SIGNED/

/** True for a code of the system, of name look-up or of TLS. Node's other codes (`ERR_…`, `Z_…`) tell of a fault in here. */
function isOfTheWay(code: unknown): boolean {
  return typeof code === 'string' && ofTheWay.test(code)
}

/** The protocol's name of an error thrown by kafkajs, or its class's name. */
export function typeOf(error: unknown): string {
  const { name, type } = error as { name?: unknown; type?: unknown }
  return typeof type === 'string' ? type : String(name)
}
