/** What a broker or the network says, in the gateway's words. */

import { delivered, type Outcome, rejected, retryable } from '../../src/adapter/contract.ts'
import { hungUpHint, withTlsHint } from '../../src/adapter/tls-hint.ts'
import { type ErrorCode, type GatewayError, messageOf, PermanentError, RetryableError } from '../../src/errors.ts'

/** MQTT 3.1.1 return codes of CONNACK (1 to 5) and MQTT 5 reason codes (128 and up). */
const connectCodes: Readonly<Record<number, ErrorCode>> = {
  4: 'CREDENTIALS_REFUSED',
  5: 'CREDENTIALS_REFUSED',
  134: 'CREDENTIALS_REFUSED',
  135: 'CREDENTIALS_REFUSED',
  138: 'CREDENTIALS_REFUSED',
  140: 'CREDENTIALS_REFUSED',
}

const connectTexts: Readonly<Record<number, string>> = {
  2: 'it refuses the client id',
  3: 'it is not available',
  4: 'wrong user name or password',
  5: 'wrong user name or password, or not authorized',
  133: 'it refuses the client id',
  134: 'wrong user name or password',
  135: 'not authorized',
  136: 'it is not available',
  137: 'it is busy',
  138: 'this client is banned',
  140: 'it wants another way of authentication',
}

/** True where the broker does not speak the version asked for. */
export function isVersionRefused(error: unknown): boolean {
  const code = codeOf(error)
  return code === 1 || code === 132
}

/**
 * Why a connection could not be opened. Retryable, as passwords and certificates are mended while the gateway runs; but
 * for files that cannot be used at all.
 */
export function connectError(error: unknown, url: string): GatewayError {
  if (error instanceof PermanentError) return error
  const code = codeOf(error)
  if (isVersionRefused(error)) {
    return new RetryableError('PEER_FAILED', `${url} does not speak this MQTT version; set protocolVersion`, {
      cause: error,
    })
  }
  if (typeof code === 'number') {
    const text = connectTexts[code] ?? messageOf(error)
    return new RetryableError(connectCodes[code] ?? 'PEER_UNREACHABLE', `${url} refuses the connection: ${text}`, {
      cause: error,
    })
  }
  if (messageOf(error) === 'connack timeout') {
    return new RetryableError('PEER_TIMEOUT', `${url} did not answer CONNECT in time`, { cause: error })
  }
  const text = `${url} cannot be reached: ${withTlsHint(error)}`
  const isHungUp = /before it answered CONNECT|socket hang up|ECONNRESET/.test(text)
  const isSecure = /^(mqtts|wss):/.test(url)
  const hint = isHungUp ? `; ${hungUpHint('MQTT', isSecure, url.startsWith('ws') ? 'wss://' : 'mqtts://')}` : ''
  return new RetryableError('PEER_UNREACHABLE', `${text}${hint}`, { cause: error })
}

/** Why an open connection ended. */
export function lossError(reason: unknown, url: string): RetryableError {
  const code = codeOf(reason)
  if (code === 142) {
    const text = `${url} closed the connection: another client has taken the session; two gateways with one gateway.id?`
    return new RetryableError('PEER_LOST', text, { cause: reason })
  }
  return new RetryableError('PEER_LOST', `connection to ${url} lost: ${withTlsHint(reason)}`, { cause: reason })
}

/** What a reason code of PUBACK, PUBREC or PUBCOMP means for the message. MQTT 5, 3.4.2.1 */
export function outcomeOfReason(reasonCode: number, topic: string): Outcome {
  if (reasonCode < 128) return delivered // 0x10, no matching subscribers, is a success: nobody listens
  const text = `the broker answered ${hex(reasonCode)} (${reasons[reasonCode] ?? 'unknown'}) to a message for ${topic}`
  const permanent = refusals[reasonCode]
  if (permanent !== undefined) return rejected(new PermanentError(permanent, text))
  return retryable(new RetryableError(reasonCode === 0x97 ? 'TARGET_BUSY' : 'PEER_FAILED', text))
}

/** What a failed SUBACK says, naming the filter. */
export function subscribeError(filter: string, reasonCode: number): GatewayError {
  const text = reasons[reasonCode] ?? 'refused'
  return new RetryableError('ACCESS_DENIED', `the broker refuses the subscription to ${filter}: ${text}`)
}

/** Why a filter stays subscribed; undefined: it does not. */
export function unsubscribeRefusal(reasonCode: number): string | undefined {
  return reasonCode < 128 ? undefined : (reasons[reasonCode] ?? hex(reasonCode))
}

const reasons: Readonly<Record<number, string>> = {
  128: 'unspecified error',
  131: 'implementation specific error',
  135: 'not authorized',
  143: 'topic filter invalid',
  144: 'topic name invalid',
  145: 'packet identifier in use',
  151: 'quota exceeded',
  153: 'payload format invalid',
  158: 'shared subscriptions not supported',
  162: 'wildcard subscriptions not supported',
}

const refusals: Readonly<Record<number, ErrorCode>> = {
  135: 'MESSAGE_REFUSED',
  144: 'MESSAGE_REFUSED',
  153: 'MESSAGE_REFUSED',
}

function hex(code: number): string {
  return `0x${code.toString(16).padStart(2, '0')}`
}

function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
}
