/** How an envelope stands in the store: the payload's bytes by themselves, every other field in one line of JSON. Pure. */
import { type CustomHeaders, Envelope, type Extensions, HeaderBag, type HeaderValue } from '../envelope/envelope.ts'
import { fromJson, toJson } from '../envelope/typed.ts'
import { type ErrorCode, errorCodes, PermanentError } from '../errors.ts'

/** What a row holds; `payload` is null for a tombstone. */
export interface EnvelopeRecord {
  readonly fields: string
  readonly payload: Uint8Array | null
}

/** True where `encodeFields` may fail. */
export function hasNestedHeaders({ headers }: Envelope): boolean {
  for (const name in headers) if (typeof headers[name] === 'object') return true
  return false
}

/** Every field but the payload. Throws a PermanentError for headers nested too deep. */
export function encodeFields(envelope: Envelope): string {
  const { key, malformed } = envelope
  const fields = [
    envelope.messageId,
    envelope.timestamp,
    envelope.source,
    envelope.destination,
    envelope.eventType,
    envelope.version,
    envelope.correlationId,
    envelope.contentType,
    numberJson(envelope.priority),
    numberJson(envelope.ttlMs),
    numberJson(envelope.retryCount),
    typeof key === 'object' ? toJson(key) : key,
    envelope.replyTo,
    envelope.hops,
    malformed && [malformed.code, malformed.message],
    headersJson(envelope.headers),
    headersJson(envelope.extensions),
    envelope.retain || undefined,
    envelope.headerTypes,
  ]
  while (fields.at(-1) === undefined) fields.pop()
  return JSON.stringify(fields)
}

/** The envelope of a row. Throws a PermanentError, STORE_DAMAGED, where the text is not what `encodeFields` wrote. */
export function decodeEnvelope({ fields, payload }: EnvelopeRecord): Envelope {
  const [messageId, timestamp, source, ...more] = parsed(fields)
  const [destination, eventType, version, correlationId, contentType, ...rest] = more
  const [priority, ttlMs, retryCount, key, replyTo, hops, malformed, ...last] = rest
  const [headers, extensions, retain, headerTypes] = last
  return new Envelope({
    messageId: String(messageId),
    timestamp: String(timestamp),
    source: String(source),
    destination: textOf(destination),
    eventType: textOf(eventType),
    version: textOf(version),
    correlationId: textOf(correlationId),
    contentType: textOf(contentType),
    priority: numberOf(priority),
    ttlMs: numberOf(ttlMs),
    retryCount: numberOf(retryCount),
    key: keyOf(key),
    replyTo: textOf(replyTo),
    hops: textOf(hops),
    malformed: malformedOf(malformed),
    headers: headersOf(headers),
    headerTypes: textOf(headerTypes),
    extensions: headersOf(extensions) as Extensions | undefined,
    retain: retain === true || undefined,
    payload: payload === null ? null : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength), // as codecs give it
  })
}

/** Of a message that is not what was written: what is there of it, as its payload. */
export function damagedEnvelope(id: number, bytes: Uint8Array): Envelope {
  const timestamp = new Date().toISOString()
  return new Envelope({ messageId: `damaged-${id}`, timestamp, source: 'store://damaged', payload: bytes })
}

function parsed(fields: string): unknown[] {
  try {
    const json: unknown = JSON.parse(fields)
    if (Array.isArray(json)) return json
  } catch {}
  throw new PermanentError('STORE_DAMAGED', 'a stored message cannot be read: its fields are not what was written')
}

/** JSON has no NaN, infinity or -0. */
function numberJson(value: number | undefined): unknown {
  return value === undefined ? undefined : toJson(value)
}

function numberOf(json: unknown): number | undefined {
  if (typeof json === 'number') return json
  return json === null || json === undefined ? undefined : Number(fromJson(json))
}

function textOf(json: unknown): string | undefined {
  return typeof json === 'string' ? json : undefined
}

function keyOf(json: unknown): string | Uint8Array | undefined {
  if (typeof json === 'string') return json
  const value = json === null || json === undefined ? undefined : fromJson(json)
  return value instanceof Uint8Array ? value : undefined
}

function malformedOf(json: unknown): PermanentError | undefined {
  if (!Array.isArray(json)) return undefined
  const code = errorCodes.find((known) => known === json[0]) satisfies ErrorCode | undefined
  return new PermanentError(code ?? 'MESSAGE_MALFORMED', String(json[1]))
}

/** Names and values in turn: as names of a JSON object some would be lost (V8 confuses `\\` and `"` there). */
function headersJson(headers: CustomHeaders): unknown[] | undefined {
  const json: unknown[] = []
  for (const name of Object.keys(headers)) {
    const value = headers[name]
    if (typeof value === 'string') json.push(name, value)
    else if (value !== undefined) json.push(name, toJson(value))
  }
  return json.length > 0 ? json : undefined
}

function headersOf(json: unknown): CustomHeaders | undefined {
  if (!Array.isArray(json)) return undefined
  const headers: Record<string, HeaderValue> = new HeaderBag()
  for (let at = 0; at + 1 < json.length; at += 2) {
    headers[String(json[at])] = typeof json[at + 1] === 'string' ? (json[at + 1] as string) : fromJson(json[at + 1])
  }
  return headers
}

/** What a route captured, as a row holds it; null for nothing. */
export function encodeParams(params: Readonly<Record<string, string>>): string | null {
  for (const _ in params) return JSON.stringify(params)
  return null
}

export function decodeParams(text: string | null): Readonly<Record<string, string>> {
  return text === null ? {} : (JSON.parse(text) as Record<string, string>)
}
