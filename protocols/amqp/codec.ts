/** AMQP 0-9-1 messages and envelopes, by the names of the CloudEvents binding for AMQP 1.0: docs/formats.md. */
import type { ConsumeMessage } from 'amqplib'
import type { Outbound } from '../../src/adapter/contract.ts'
import {
  attributesByName,
  namesOf,
  priorityOf,
  rareAttributes,
  setAttribute,
  untyped,
} from '../../src/envelope/attributes.ts'
import { markedBytes, readableText } from '../../src/envelope/binary-text.ts'
import { contentEncoding } from '../../src/envelope/content-encoding.ts'
import { addExtension, addHeader, Draft } from '../../src/envelope/draft.ts'
import { type Envelope, type Format, HeaderBag, type HeaderValue } from '../../src/envelope/envelope.ts'
import { remainingMs } from '../../src/envelope/expiry.ts'
import { bytesKey, Extras, finish, tombstone } from '../../src/envelope/extras.ts'
import {
  decodeStructured,
  encodeStructured,
  isStructured,
  mediaTypes,
  type StructuredFormat,
  structuredFormat,
} from '../../src/envelope/formats.ts'
import { epochMs, isoText, millisecondsOf } from '../../src/envelope/time.ts'
import { bytesOf, isShallow } from '../../src/envelope/typed.ts'
import { uuidv7 } from '../../src/envelope/uuid.ts'
import { PermanentError } from '../../src/errors.ts'
import type { PublishOptions } from './client/publish-writer.ts'
import type { AmqpProperties } from './client/reader.ts'
import { isReserved, maxTableBytes, tableBytes, writeHeader } from './client/table.ts'
import { notedTypes } from './client/types.ts'

/** Where a message was read; `format` is the user's, undefined: detect. */
export interface AmqpPlace {
  readonly connection: string
  readonly queue: string
  readonly format?: Format | undefined
}

type Table = Record<string, unknown>

/** `ce-` is what SDKs for RabbitMQ write; the others are CloudEvents' own. */
const prefixes = ['cloudEvents_', 'cloudEvents:', 'ce-'] as const
const attributeOf = attributesByName(...prefixes)
const names = namesOf('cloudEvents_')
const hopsName = 'trivium-hops'
/** Properties that are custom headers in an envelope, and on every other protocol. `user_id` is one on the way in alone: RabbitMQ takes no other than the connection's. */
const propertyHeaders = { contentEncoding, appId: 'app-id', clusterId: 'cluster-id' } as const
const nativeHeaders: ReadonlySet<string> = new Set(Object.values(propertyHeaders))
const maxShortBytes = 255

/** Never throws: a body that breaks its claimed format gives an envelope with `malformed`. */
export function decode(message: Pick<ConsumeMessage, 'content' | 'properties'>, at: AmqpPlace): Envelope {
  const properties = message.properties as AmqpProperties // as `reader.ts` has put them in the driver's place
  const source = `amqp://${at.connection}/${at.queue}`
  const time = timeOf(properties.timestamp)
  if (at.format === 'raw') return finish(new Draft(uuidv7(), time, source, message.content))
  const draft = new Draft(properties.messageId || '', time, source, message.content)
  readProperties(draft, properties)
  if (properties.headers !== undefined) readHeaders(draft, properties.headers)
  if (draft.messageId === '') draft.messageId = uuidv7()
  const format = structuredFormat(at.format, draft)
  if (format !== undefined) decodeStructured(draft, format)
  return finish(draft)
}

/** AMQP counts seconds; some senders give other units all the same. */
function timeOf(timestamp: unknown): string {
  const isTime = typeof timestamp === 'number' || typeof timestamp === 'bigint'
  return isoText(isTime ? millisecondsOf(Number(timestamp)) : Date.now())
}

function readProperties(draft: Draft, properties: AmqpProperties): void {
  const { contentType, correlationId, expiration, priority, replyTo, type } = properties
  draft.headerTypes = properties.headerTypes
  draft.malformed = properties.headersProblem
  if (contentType !== undefined) draft.contentType = contentType
  if (correlationId !== undefined) draft.correlationId = correlationId
  if (type !== undefined && type !== untyped && type !== '') draft.eventType = type
  if (priority !== undefined) draft.priority = priorityOf(priority)
  if (replyTo !== undefined) draft.replyTo = `amqp:${replyTo}`
  if (expiration !== undefined && /^\d+$/.test(expiration)) draft.ttlMs = Number(expiration)
  const { contentEncoding: encoding, appId, clusterId, userId } = properties
  if (encoding !== undefined) addHeader(draft, propertyHeaders.contentEncoding, encoding)
  if (appId !== undefined) addHeader(draft, propertyHeaders.appId, appId)
  if (clusterId !== undefined) addHeader(draft, propertyHeaders.clusterId, clusterId)
  if (userId !== undefined) addHeader(draft, 'user-id', userId)
}

function readHeaders(draft: Draft, headers: Table): void {
  for (const name in headers) {
    const value = headers[name]
    const attribute = attributeOf.get(name)
    if (attribute !== undefined) setAttribute(draft, attribute, attributeText(value))
    else if (typeof value === 'string' && readText(draft, name, value)) continue
    else readCustom(draft, name, value as HeaderValue)
  }
  const deliveries = deliveriesOf(headers)
  if (deliveries > 0) draft.retryCount = (draft.retryCount ?? 0) + deliveries
}

/** The headers that stand for fields: ours, and those RabbitMQ writes when it converts from other protocols. */
function readText(draft: Draft, name: string, value: string): boolean {
  if (name === hopsName) draft.hops = value
  else if (name === 'x-message-id') draft.messageId ||= value
  else if (name === 'x-correlation-id') draft.correlationId ??= value
  else if (name === 'x-reply-to-topic') draft.replyTo = `mqtt:${value}`
  else return false
  return true
}

function readCustom(draft: Draft, name: string, value: HeaderValue): void {
  if (value === undefined) return
  const prefix = name.startsWith('c') ? prefixes.find((each) => name.startsWith(each)) : undefined
  if (!isShallow(value))
    draft.malformed = new PermanentError('MESSAGE_MALFORMED', `its header ${name} is nested too deep`)
  else if (prefix !== undefined) addExtension(draft, name.slice(prefix.length), attributeValue(value))
  else addHeader(draft, name, value)
}

/** CloudEvents' timestamps as RFC 3339; its own other types as they are. */
function attributeValue(value: HeaderValue): HeaderValue {
  return typeof value === 'object' && value !== null && '!' in value ? attributeText(value) || value : value
}

/** Attributes may come in AMQP's own types; a timestamp is RFC 3339 in its canonical form. */
function attributeText(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (value instanceof Uint8Array) return readableText(value)
  const { '!': type, value: seconds } = (value ?? {}) as { '!'?: unknown; value?: unknown }
  return type === 'timestamp' ? timeOf(seconds) : ''
}

/**
 * What RabbitMQ counted since a gateway sent the message, which writes none of these headers: quorum queues by delivery,
 * dead-letter exchanges by their own list.
 */
function deliveriesOf(headers: Table): number {
  const count = headers['x-delivery-count']
  if (Number.isSafeInteger(count) && (count as number) > 0) return count as number
  const deaths = headers['x-death']
  if (!Array.isArray(deaths)) return 0
  const sum = deaths.reduce((total: number, death) => total + (Number(death?.count) || 0), 0)
  return Number.isSafeInteger(sum) && sum > 0 ? sum : 0
}

/**
 * Throws a PermanentError and nothing else. The message is persistent; `mandatory` is the sink's to add.
 * Headers too large for amqplib's table send the message in the `envelope` format.
 */
export function encode(outbound: Outbound, nowMs = Date.now()): Encoded {
  const encoded = encodeMessage(outbound, nowMs)
  const { ask } = outbound
  if (ask?.replyTo === undefined) return encoded
  encoded.options.replyTo = ask.replyTo
  encoded.options.correlationId = ask.token
  return encoded
}

interface Encoded {
  readonly content: Buffer
  readonly options: PublishOptions
}

function encodeMessage(outbound: Outbound, nowMs: number): Encoded {
  const { envelope, format } = outbound
  const hops = outbound.hops ?? envelope.hops
  const remaining = remainingMs(envelope, nowMs)
  if (format === 'raw') return { content: contentOf(envelope), options: { persistent: true } }
  if (isStructured(format)) return encodeBody(envelope, format, hops, remaining)
  const headers = binaryHeaders(envelope, hops)
  if (headers === undefined) return encodeBody(envelope, 'envelope', hops, remaining)
  const options = optionsOf(envelope, short(envelope.contentType), headers, remaining)
  writePropertyHeaders(options, envelope)
  return { content: contentOf(envelope), options }
}

const nothing = Buffer.alloc(0)

function contentOf({ payload }: Envelope): Buffer {
  return payload === null ? nothing : bytesOf(payload)
}

function encodeBody(
  envelope: Envelope,
  format: StructuredFormat,
  hops: string | undefined,
  remaining: number | undefined,
) {
  const content = encodeStructured(envelope, format, hops)
  return { content, options: optionsOf(envelope, mediaTypes[format], undefined, remaining) }
}

/** The native properties, each where its field fits; the headers have the exact fields. */
function optionsOf(
  envelope: Envelope,
  contentType: string | undefined,
  headers: Table | undefined,
  remaining: number | undefined,
): PublishOptions {
  const ms = epochMs(envelope.timestamp)
  return {
    persistent: true,
    contentType,
    headers,
    messageId: short(envelope.messageId),
    correlationId: short(envelope.correlationId),
    type: short(envelope.eventType),
    timestamp: ms === undefined || ms < 0 ? undefined : Math.floor(ms / 1000),
    priority: envelope.priority,
    replyTo: envelope.replyTo === undefined ? undefined : queueOf(envelope.replyTo),
    // RabbitMQ closes the channel for more than 32 bits
    expiration: remaining === undefined ? undefined : String(Math.min(remaining, 0xffff_ffff)),
  } as PublishOptions
}

/** A text that fits AMQP's short string, else undefined. */
function short(text: string | undefined): string | undefined {
  if (text === undefined || text.length <= maxShortBytes / 3) return text
  return (markedBytes(text)?.length ?? Buffer.byteLength(text)) <= maxShortBytes ? text : undefined
}

/** With a body of its own form they stand in the body, with all other headers. */
function writePropertyHeaders(options: PublishOptions, { headers }: Envelope): void {
  const encoding = fitting(headers[propertyHeaders.contentEncoding])
  if (encoding !== undefined) options.contentEncoding = encoding
  const appId = fitting(headers[propertyHeaders.appId])
  if (appId !== undefined) options.appId = appId
  const clusterId = fitting(headers[propertyHeaders.clusterId])
  if (clusterId !== undefined) options.clusterId = clusterId
}

/** A custom header that is a property in AMQP, where it fits; else it stays a header. */
function fitting(value: HeaderValue | undefined): string | undefined {
  return typeof value === 'string' ? short(value) : undefined
}

/** The name in `amqp:name`. RabbitMQ closes the channel for its pseudo-queue of direct replies. */
function queueOf(replyTo: string): string | undefined {
  if (!replyTo.startsWith('amqp:') || replyTo === 'amqp:amq.rabbitmq.reply-to') return undefined
  return short(replyTo.slice('amqp:'.length))
}

/** undefined: too large for a table. */
function binaryHeaders(envelope: Envelope, hops: string | undefined): Table | undefined {
  const headers = new HeaderBag() as Table
  headers[names.specversion] = '1.0'
  headers[names.id] = envelope.messageId
  headers[names.time] = envelope.timestamp
  headers[names.source] = envelope.source
  headers[names.type] = envelope.eventType ?? untyped
  if (hops !== undefined) headers[hopsName] = hops
  writeLong(headers, envelope)
  const rare = rareAttributes(envelope)
  for (let i = 0; i < rare.length; i += 2) headers[`cloudEvents_${rare[i]}`] = rare[i + 1]
  for (const name in envelope.extensions) headers[`cloudEvents_${name}`] = envelope.extensions[name]
  writeCustom(headers, envelope)
  return tableBytes(headers) > maxTableBytes ? undefined : headers
}

/** What the native properties cannot hold. */
function writeLong(headers: Table, { messageId, correlationId, contentType, replyTo }: Envelope): void {
  if (short(messageId) === undefined) headers['x-message-id'] = messageId
  if (correlationId !== undefined && short(correlationId) === undefined) headers['x-correlation-id'] = correlationId
  if (contentType !== undefined && short(contentType) === undefined) headers[names.datacontenttype] = contentType
  if (replyTo === undefined || queueOf(replyTo) !== undefined) return
  if (replyTo.startsWith('mqtt:')) headers['x-reply-to-topic'] = replyTo.slice('mqtt:'.length)
  else headers[names.trvreply] = replyTo
}

function writeCustom(headers: Table, envelope: Envelope): void {
  const { key, payload } = envelope
  const extras = new Extras()
  if (payload === null) extras.tagField(tombstone)
  if (typeof key === 'string') headers[names.partitionkey] = key
  else if (key !== undefined) {
    headers[names.partitionkey] = bytesOf(key).toString('base64')
    extras.tagField(bytesKey)
  }
  const types = envelope.headerTypes === undefined ? undefined : notedTypes(envelope.headerTypes)
  for (const name in envelope.headers) {
    const value = envelope.headers[name] as HeaderValue
    if (nativeHeaders.has(name) && fitting(value) !== undefined) continue
    if (typeof value === 'string' && !isReserved(name)) headers[nativeName(name)] = value
    else if (value !== undefined) writeHeader(headers, extras, [name, value], types?.get(name))
  }
  if (extras.types !== '') headers[names.trvtypes] = extras.types
  if (extras.spilled !== undefined) headers[names.trvheaders] = extras.spilled
}

/** Core attributes without a field of their own travel as such. */
function nativeName(name: string): string {
  return name === 'subject' || name === 'dataschema' ? `cloudEvents_${name}` : name
}
