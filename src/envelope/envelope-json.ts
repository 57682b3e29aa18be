/** The canonical envelope as JSON, `application/vnd.trivium.envelope+json; v=1`: field names as in configuration and rules. */
import { priorityOf } from './attributes.ts'
import { addExtension, addHeader, type Draft } from './draft.ts'
import type { Envelope } from './envelope.ts'
import { memberBytes } from './json-span.ts'
import { jsonBytes, mayBeJson, spaceAround, utf8Text, withMember, withSpace } from './payload-json.ts'
import { timeText } from './time.ts'
import { bytesOf, fromJson, toJson } from './typed.ts'

const wellKnown: ReadonlySet<string> = new Set(['contentType', 'priority', 'ttl', 'retryCount'])
const textFields = [
  'messageId',
  'timestamp',
  'source',
  'destination',
  'eventType',
  'version',
  'correlationId',
  'replyTo',
  'hops',
  'headerTypes',
] as const
const required: ReadonlySet<string> = new Set(['messageId', 'timestamp', 'source'])

/** Throws a PermanentError for headers nested too deep. */
export function writeEnvelope(envelope: Envelope, hops: string | undefined): Buffer {
  const { messageId, timestamp, source, destination, eventType, version, correlationId, replyTo, key, payload } =
    envelope
  const { headerTypes } = envelope
  const body: Record<string, unknown> = { messageId, timestamp, source, destination, eventType, version, correlationId }
  if (typeof key === 'string') body.key = key
  else if (key !== undefined) body.keyBase64 = bytesOf(key).toString('base64')
  Object.assign(body, { replyTo, hops, headerTypes })
  writeHeaders(body, envelope)
  if (payload === null) body.payload = null
  else {
    const json = mayBeJson(envelope.contentType) && envelope.json !== null ? jsonBytes(envelope) : undefined
    if (json !== undefined) {
      body.payloadSpace = spaceAround(json)
      return withMember(body, 'payload', json)
    }
    const text = utf8Text(payload)
    if (text !== undefined) body.payloadText = text
    else body.payloadBase64 = bytesOf(payload).toString('base64')
  }
  return Buffer.from(JSON.stringify(body))
}

/** A custom header named as a well-known one stands apart, in `customHeaders`. */
function writeHeaders(body: Record<string, unknown>, envelope: Envelope): void {
  const { contentType, priority, ttlMs: ttl, retryCount, headers: custom } = envelope
  const headers: Record<string, unknown> = Object.assign(Object.create(null), {
    contentType,
    priority,
    ttl,
    retryCount,
  })
  const clashing: Record<string, unknown> = Object.create(null)
  for (const name in custom) {
    const value = custom[name]
    if (value !== undefined) (wellKnown.has(name) ? clashing : headers)[name] = toJson(value)
  }
  body.headers = headers
  for (const _ in envelope.extensions) {
    body.extensions = envelope.extensions
    break
  }
  if (Object.keys(clashing).length > 0) body.customHeaders = clashing
}

/** Throws what is wrong with the body. Fields it leaves out stay as the protocol gave them; an absent payload is a tombstone. */
export function readEnvelope(draft: Draft, body: Record<string, unknown>, bytes: Buffer): void {
  for (const name of textFields) {
    const text = textOf(body, name)
    if (text !== undefined && (text !== '' || !required.has(name))) draft[name] = text
  }
  draft.timestamp = timeText(draft.timestamp) ?? draft.timestamp
  readKey(draft, body)
  readHeaders(draft, body)
  draft.payload = readPayload(body, bytes)
}

/** A number is taken for its text, as in `version: 2`. */
function textOf(body: Record<string, unknown>, name: string): string | undefined {
  const value = body[name]
  if (value === undefined || value === null) return undefined
  if (typeof value === 'string') return value.toWellFormed()
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  throw new TypeError(`${name} is no text`)
}

function readKey(draft: Draft, body: Record<string, unknown>): void {
  const base64 = textOf(body, 'keyBase64')
  draft.key ??= base64 === undefined ? textOf(body, 'key') : Buffer.from(base64, 'base64')
}

function readHeaders(draft: Draft, body: Record<string, unknown>): void {
  const headers = tableOf(body, 'headers')
  draft.contentType = textOf(headers, 'contentType')
  draft.priority = numberOf(headers, 'priority', (value) => priorityOf(value) !== undefined) ?? draft.priority
  draft.ttlMs = numberOf(headers, 'ttl', isAmount) ?? draft.ttlMs
  draft.retryCount = numberOf(headers, 'retryCount', isAmount) ?? draft.retryCount
  for (const name of Object.keys(headers)) {
    if (!wellKnown.has(name)) addHeader(draft, name.toWellFormed(), fromJson(headers[name]))
  }
  const extensions = tableOf(body, 'extensions')
  for (const name of Object.keys(extensions)) addExtension(draft, name.toWellFormed(), fromJson(extensions[name]))
  const clashing = tableOf(body, 'customHeaders')
  for (const name of Object.keys(clashing)) addHeader(draft, name.toWellFormed(), fromJson(clashing[name]))
}

function tableOf(body: Record<string, unknown>, name: string): Record<string, unknown> {
  const table = body[name] ?? {}
  if (typeof table !== 'object' || Array.isArray(table)) throw new TypeError(`${name} is not an object`)
  return table as Record<string, unknown>
}

function isAmount(value: number): boolean {
  return value >= 0 && Number.isFinite(value)
}

function numberOf(
  headers: Record<string, unknown>,
  name: string,
  isValid: (value: number) => boolean,
): number | undefined {
  const value = headers[name]
  if (value === undefined || value === null) return undefined
  if (typeof value === 'number' && isValid(value)) return value
  throw new TypeError(`headers.${name} is out of its range`)
}

function readPayload(body: Record<string, unknown>, bytes: Buffer): Buffer | null {
  const base64 = textOf(body, 'payloadBase64')
  if (base64 !== undefined) return Buffer.from(base64, 'base64')
  if (typeof body.payloadText === 'string') return Buffer.from(body.payloadText)
  const json = body.payload === undefined || body.payload === null ? undefined : memberBytes(bytes, 'payload')
  return json === undefined ? null : withSpace(json, body.payloadSpace)
}
