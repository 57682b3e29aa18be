/** HTTP messages and envelopes, by the CloudEvents binding for HTTP: docs/formats.md. Requests and answers alike. Pure. */
import type { Outbound } from '../../src/adapter/contract.ts'
import { attributesByName, namesOf, rareAttributes, setAttribute, untyped } from '../../src/envelope/attributes.ts'
import { addExtension, addHeader, Draft } from '../../src/envelope/draft.ts'
import {
  type Envelope,
  type ExtensionValue,
  type Format,
  HeaderBag,
  type HeaderValue,
} from '../../src/envelope/envelope.ts'
import { remainingMs } from '../../src/envelope/expiry.ts'
import { bytesKey, Extras, finish, tombstone } from '../../src/envelope/extras.ts'
import {
  decodeStructured,
  encodeStructured,
  isStructured,
  mediaTypes,
  structuredFormat,
} from '../../src/envelope/formats.ts'
import { parseJson } from '../../src/envelope/json.ts'
import { elementsBytes } from '../../src/envelope/json-span.ts'
import { bytesOf, toText } from '../../src/envelope/typed.ts'
import { uuidv7 } from '../../src/envelope/uuid.ts'
import { messageOf, PermanentError } from '../../src/errors.ts'
import { decodeAttribute, encodeAttribute, isFieldText, isOwnName, receivedText } from './fields.ts'

/** A request or an answer without its first line. */
export interface HttpMessage {
  /** Name and value in turn, as they are on the wire. */
  readonly headers: readonly string[]
  readonly body: Uint8Array
}

/** Where a message was received; `format` is the user's, undefined: detect. */
export interface HttpPlace {
  readonly connection: string
  /** The path, or what else stands behind `http://connection`; begins with `/`. */
  readonly address: string
  /** Behind the `?`, as it came. */
  readonly query?: string | undefined
  readonly format?: Format | undefined
}

const prefix = 'ce-'
const contentTypeName = 'content-type'
const hopsName = 'trivium-hops'
const queryName = 'query'
const attributeOf = attributesByName(prefix)
const names = namesOf(prefix)
/** Core attributes without a field of their own travel as such. */
const coreNames: ReadonlyMap<string, string> = new Map([
  ['subject', 'ce-subject'],
  ['dataschema', 'ce-dataschema'],
])

/** Never throws: a body that breaks its claimed format, or an attribute that cannot be read, gives an envelope with `malformed`. */
export function decode({ headers, body }: HttpMessage, at: HttpPlace): Envelope {
  const draft = newDraft(at, body)
  readHeaders(draft, headers, at.format)
  if (at.format === 'raw') return finish(draft)
  const format = structuredFormat(at.format, draft)
  if (format !== undefined) decodeStructured(draft, format)
  if (at.query !== undefined && at.query !== '') addQuery(draft, at.query)
  return finish(draft)
}

const batchType = /^application\/cloudevents-batch(\+json)?\s*(;|$)/i

/** True for `application/cloudevents-batch+json`, unless the user says that it is something else. */
export function isBatch(contentType: string | undefined, format: Format | undefined): boolean {
  return (format === undefined || format === 'cloudevents') && contentType !== undefined && batchType.test(contentType)
}

/** The events of a batch, each as `decode` gives one. Throws MESSAGE_MALFORMED where it is no JSON array. */
export function decodeBatch({ body }: HttpMessage, at: HttpPlace): Envelope[] {
  if (!Array.isArray(parseJson(body))) throw new PermanentError('MESSAGE_MALFORMED', 'the batch is no JSON array')
  return elementsBytes(bytesOf(body)).map((event) => decode({ headers: eventHeaders, body: event }, at))
}

const eventHeaders = [contentTypeName, mediaTypes.cloudevents]

function newDraft({ connection, address }: HttpPlace, body: Uint8Array): Draft {
  return new Draft(uuidv7(), new Date().toISOString(), `http://${connection}${address}`, body)
}

function readHeaders(draft: Draft, headers: readonly string[], format: Format | undefined): void {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!.toLowerCase()
    const text = headers[i + 1]!
    if (name === contentTypeName) draft.contentType = text
    else if (name === 'idempotency-key' || name === 'webhook-id') draft.messageId = unquoted(text) || draft.messageId
    else if (format !== 'raw') readHeader(draft, name, text)
  }
}

function readHeader(draft: Draft, name: string, text: string): void {
  if (name.startsWith(prefix)) readAttribute(draft, name, text)
  else if (name === hopsName) draft.hops = text
  else if (name === 'x-correlation-id') draft.correlationId ??= receivedText(text)
  else if (!isOwnName(name)) addHeader(draft, name, receivedText(text))
}

function readAttribute(draft: Draft, name: string, encoded: string): void {
  try {
    const text = decodeAttribute(receivedText(encoded))
    const attribute = attributeOf.get(name)
    if (attribute !== undefined) setAttribute(draft, attribute, text)
    else addExtension(draft, name.slice(prefix.length), text)
  } catch (error) {
    const options = { cause: error }
    draft.malformed ??= new PermanentError('MESSAGE_MALFORMED', `the header ${name}: ${messageOf(error)}`, options)
  }
}

/** The key as a string of RFC 8941, or without its quotes, as most send it. */
function unquoted(text: string): string {
  return receivedText(/^"(.*)"$/.exec(text)?.[1] ?? text)
}

/** The header `query` is this one's, whatever a request has under the name. */
function addQuery(draft: Draft, query: string): void {
  draft.headers ??= new HeaderBag()
  draft.headers[queryName] = queryTable(query)
}

/** A parameter that is there several times is a list. */
function queryTable(query: string): Record<string, HeaderValue> {
  const table = new HeaderBag()
  for (const [name, value] of new URLSearchParams(query)) {
    const earlier = table[name]
    if (earlier === undefined) table[name] = value
    else if (Array.isArray(earlier)) earlier.push(value)
    else table[name] = [earlier, value]
  }
  return table
}

/** Beyond this many bytes servers refuse the headers of a request: 8 KiB with those of HTTP itself. */
const mostHeaderBytes = 7 * 1024

/**
 * Throws a PermanentError and nothing else. What `binary` cannot hold goes as `envelope`. The caller adds what is HTTP's own, such as
 * the length, and the id as `idempotency-key`.
 */
export function encode(
  { envelope, format, hops = envelope.hops }: Omit<Outbound, 'target'>,
  nowMs = Date.now(),
): HttpMessage {
  remainingMs(envelope, nowMs) // throws where nothing is left
  const body = envelope.payload ?? noBytes
  if (format === 'raw') return { headers: contentTypeOf(envelope), body }
  const headers = isStructured(format) ? undefined : binaryHeaders(envelope, hops)
  if (headers !== undefined && bytesIn(headers) <= mostHeaderBytes) return { headers, body }
  const structured = isStructured(format) ? format : 'envelope'
  return { headers: [contentTypeName, mediaTypes[structured]], body: encodeStructured(envelope, structured, hops) }
}

/** An answer to a request: `headers.status` is its status, where it is one of 200 to 599. Throws as `encode`. */
export function answerOf(envelope: Envelope, format: Format | undefined): HttpMessage & { readonly status: number } {
  const { status: named, ...others } = envelope.headers
  const headers = Object.assign(new HeaderBag(), others)
  const { headers: fields, body } = encode({ envelope: envelope.with({ headers }), format })
  const status = isStatus(named) ? Number(named) : 200
  return { status, headers: fields, body: status === 204 || status === 304 ? noBytes : body }
}

function isStatus(value: unknown): boolean {
  return (typeof value === 'number' || typeof value === 'string') && /^[2-5]\d\d$/.test(String(value))
}

const noBytes = new Uint8Array()

/** A content type that no header can hold is an attribute. */
function contentTypeOf({ contentType }: Envelope): string[] {
  if (contentType === undefined) return []
  if (contentType !== '' && isFieldText(contentType)) return [contentTypeName, contentType]
  return [names.datacontenttype, encodeAttribute(contentType)]
}

function binaryHeaders(envelope: Envelope, hops: string | undefined): string[] {
  const { messageId, timestamp, source, eventType = untyped, replyTo, key } = envelope
  const headers = contentTypeOf(envelope)
  const push = (name: string, text: string) => headers.push(name, encodeAttribute(text))
  headers.push(names.specversion, '1.0', names.time, timestamp)
  push(names.id, messageId)
  push(names.source, source)
  push(names.type, eventType)
  if (hops !== undefined) headers.push(hopsName, hops)
  if (replyTo !== undefined) push(names.trvreply, replyTo)
  if (key !== undefined) push(names.partitionkey, typeof key === 'string' ? key : bytesOf(key).toString('base64'))
  const rare = rareAttributes(envelope)
  for (let i = 0; i < rare.length; i += 2) push(prefix + rare[i], rare[i + 1] as string)
  writeExtras(headers, envelope)
  return headers
}

function writeExtras(headers: string[], envelope: Envelope): void {
  const { payload, key, headerTypes, extensions } = envelope
  const extras = new Extras()
  if (payload === null) extras.tagField(tombstone)
  if (key !== undefined && typeof key !== 'string') extras.tagField(bytesKey)
  if (headerTypes !== undefined) extras.tagField(headerTypes)
  for (const name in extensions) {
    const text = extras.extensionText(name, extensions[name] as ExtensionValue)
    headers.push(prefix + name, encodeAttribute(text))
  }
  for (const name in envelope.headers)
    writeHeader(headers, extras, { name, value: envelope.headers[name] as HeaderValue })
  if (extras.types !== '') headers.push(names.trvtypes, encodeAttribute(extras.types))
  if (extras.spilled !== undefined) headers.push(names.trvheaders, encodeAttribute(extras.spilled))
}

interface Custom {
  readonly name: string
  readonly value: HeaderValue
}

/** What no field of HTTP can hold as it is goes into `trvheaders`. */
function writeHeader(headers: string[], extras: Extras, { name, value }: Custom): void {
  if (value === undefined) return
  const core = coreNames.get(name)
  if (core !== undefined && typeof value === 'string') headers.push(core, encodeAttribute(value))
  else if (core !== undefined || isReserved(name)) extras.spill(name, value)
  else if (isRepeated(value)) for (const each of value) headers.push(name, each)
  else if (typeof value === 'string') writeText(headers, extras, { name, value })
  else writeTagged(headers, extras, { name, value })
}

function writeText(headers: string[], extras: Extras, { name, value }: { name: string; value: string }): void {
  if (isFieldText(value)) headers.push(name, value)
  else extras.spill(name, value)
}

function writeTagged(headers: string[], extras: Extras, { name, value }: Custom): void {
  const { text, tag } = toText(value)
  if (!isFieldText(text)) return extras.spill(name, value)
  extras.tag(name, tag)
  headers.push(name, text)
}

/** True for a name that no message may choose, that means something here, or that HTTP would not give back as it is. */
function isReserved(name: string): boolean {
  return isOwnName(name) || name.startsWith(prefix) || !token.test(name)
}

const token = /^[!#$%&'*+.^_`|~0-9a-z-]+$/

function isRepeated(value: HeaderValue): value is readonly string[] {
  if (!Array.isArray(value) || value.length < 2) return false
  return value.every((each) => typeof each === 'string' && isFieldText(each))
}

function bytesIn(headers: readonly string[]): number {
  return headers.reduce((sum, text) => sum + text.length + 2, 0)
}
