/** Kafka records and envelopes, by the CloudEvents binding for Kafka: docs/formats.md. */
import { isUtf8 } from 'node:buffer'
import type { Outbound } from '../../src/adapter/contract.ts'
import { attributesByName, namesOf, rareAttributes, setAttribute } from '../../src/envelope/attributes.ts'
import { readableText } from '../../src/envelope/binary-text.ts'
import { addExtension, addHeader, Draft } from '../../src/envelope/draft.ts'
import type { Envelope, ExtensionValue, Format, HeaderValue } from '../../src/envelope/envelope.ts'
import { remainingMs } from '../../src/envelope/expiry.ts'
import { bytesKey, Extras, finish } from '../../src/envelope/extras.ts'
import {
  decodeStructured,
  encodeStructured,
  isStructured,
  mediaTypes,
  type StructuredFormat,
  structuredFormat,
} from '../../src/envelope/formats.ts'
import { epochMs, isoText } from '../../src/envelope/time.ts'
import { bytesOf, toText } from '../../src/envelope/typed.ts'
import type { HeaderBytes, OutRecord } from './client/record-batch.ts'
import type { InHeaders, InRecord, TextOrBytes } from './client/record-set.ts'
import { asking, conversationHeaders, isKafkaAddress, isOfConversation, readConversation } from './conversation.ts'

type HeaderIn = InHeaders[string]
type Headers = OutRecord['headers']
/** Headers while they are gathered: name and value in turn. */
type Gathered = HeaderBytes[]

/** Where a record was read; `format` is the user's, undefined: detect. */
export interface KafkaPlace {
  readonly connection: string
  readonly topic: string
  readonly partition: number
  readonly format?: Format | undefined
}

const prefix = 'ce_'
const contentTypeName = 'content-type'
const hopsName = 'trivium-hops'
const attributeOf = attributesByName(prefix)
const names = namesOf(prefix)
/** Core attributes without a field of their own travel as such. */
const coreNames: ReadonlyMap<string, string> = new Map([
  ['subject', 'ce_subject'],
  ['dataschema', 'ce_dataschema'],
])

/** The texts of the place read last: a batch comes from one partition. */
let place: KafkaPlace | undefined
let sourceText = ''
let idStart = ''

/** Never throws: a body that breaks its claimed format gives an envelope with `malformed`. */
export function decode(record: InRecord, at: KafkaPlace): Envelope {
  if (at !== place) remember(at)
  const draft = new Draft(idStart + record.offset, timeOf(record.timestampMs), sourceText, record.value)
  if (at.format !== 'raw') readContent(draft, record, at.format)
  draft.key ??= record.key ?? undefined
  return finish(draft)
}

/** Before the record's key, which a target may have chosen: what the message says of its own key is believed. */
function readContent(draft: Draft, { headers }: InRecord, asked: Format | undefined): void {
  const isOfOne = headers !== undefined && readHeaders(draft, headers)
  const format = structuredFormat(asked, draft)
  if (format !== undefined) decodeStructured(draft, format)
  if (isOfOne) readConversation(draft, headers)
}

/** A record without a time has that of now. */
function timeOf(ms: number): string {
  return isoText(ms < 0 ? Number.NaN : ms)
}

function remember(at: KafkaPlace): void {
  place = at
  sourceText = `kafka://${at.connection}/${at.topic}`
  idStart = `${at.topic}/${at.partition}/`
}

/** True where it is part of a conversation: those headers are still to be read. */
function readHeaders(draft: Draft, headers: InHeaders): boolean {
  let isOfOne = false
  for (const name in headers) {
    const value = headers[name] as HeaderIn
    const attribute = attributeOf.get(name)
    if (attribute === 'specversion') draft.isEvent = true
    else if (attribute !== undefined) setAttribute(draft, attribute, textOf(value))
    else if (name === contentTypeName) draft.contentType = textOf(value)
    else if (name === hopsName) draft.hops = textOf(value)
    else if (name.startsWith(prefix)) addExtension(draft, name.slice(prefix.length), value)
    else if (isOfConversation(name)) isOfOne = true
    else addHeader(draft, name, value)
  }
  return isOfOne
}

/** Of a repeated attribute the first counts. */
function textOf(value: HeaderIn): string {
  const first = Array.isArray(value) ? (value[0] as TextOrBytes | null) : value
  return typeof first === 'string' ? first : first === null ? '' : readableText(first as Buffer)
}

const specversion = Buffer.from('1.0')
const untyped = Buffer.from('trivium.raw')
const noHeaders: Headers = []
const structuredHeaders: Readonly<Record<StructuredFormat, Headers>> = {
  envelope: [contentTypeName, Buffer.from(mediaTypes.envelope)],
  cloudevents: [contentTypeName, Buffer.from(mediaTypes.cloudevents)],
}

/**
 * Throws a PermanentError and nothing else. `target.key` is the record's key where given, else the envelope's.
 * A structured body keeps its null payload inside: only `binary` and `raw` write a tombstone that Kafka compacts by.
 */
export function encode(outbound: Outbound<{ readonly key?: string | undefined }>, nowMs = Date.now()): OutRecord {
  const { envelope, target, format } = outbound
  const hops = outbound.hops ?? envelope.hops
  remainingMs(envelope, nowMs)
  const key = target.key ?? envelope.key
  const record = {
    key: key ?? null,
    value: envelope.payload,
    headers: noHeaders,
    timestampMs: recordTime(epochMs(envelope.timestamp), nowMs),
  }
  if (isStructured(format)) {
    record.value = encodeStructured(envelope, format, hops)
    record.headers = [...structuredHeaders[format], ...conversationHeaders(envelope)]
  } else if (format !== 'raw') {
    record.headers = binaryHeaders(envelope, key, hops)
  }
  if (outbound.ask !== undefined) record.headers = asking(record.headers, outbound.ask)
  return record
}

/** A sender's clock far off must not make Kafka refuse a record or drop it by age: `ce_time` has the exact text. */
function recordTime(ms: number | undefined, nowMs: number): number {
  return ms !== undefined && ms > nowMs - 86_400_000 && ms < nowMs + 60_000 ? ms : nowMs
}

function binaryHeaders(envelope: Envelope, key: Envelope['key'], hops: string | undefined): Gathered {
  const { messageId, timestamp, source, contentType, eventType, correlationId, replyTo } = envelope
  // biome-ignore format: name and value in turn
  const headers: Gathered = [
    names.specversion, specversion, names.id, messageId, names.time, timestamp,
    names.source, source, names.type, eventType ?? untyped,
  ]
  if (contentType !== undefined) headers.push(contentTypeName, contentType)
  if (hops !== undefined) headers.push(hopsName, hops)
  if (correlationId !== undefined || replyTo !== undefined) headers.push(...conversationHeaders(envelope))
  if (replyTo !== undefined && !isKafkaAddress(replyTo)) headers.push(names.trvreply, replyTo)
  const rare = rareAttributes(envelope)
  for (let i = 0; i < rare.length; i += 2) headers.push(prefix + rare[i], rare[i + 1] as string)
  let extras = key === envelope.key ? undefined : writeOwnKey(headers, envelope.key)
  if (envelope.headerTypes !== undefined) {
    extras ??= new Extras()
    extras.tagField(envelope.headerTypes)
  }
  writeHeaders(headers, envelope.headers, writeExtensions(headers, envelope.extensions, extras))
  return headers
}

/** The envelope's key, where the record has its target's. */
function writeOwnKey(headers: Gathered, key: Envelope['key']): Extras | undefined {
  if (typeof key === 'string') headers.push(names.partitionkey, key)
  if (key === undefined || typeof key === 'string') return undefined
  headers.push(names.partitionkey, bytesOf(key).toString('base64'))
  const extras = new Extras()
  extras.tagField(bytesKey)
  return extras
}

function writeExtensions(
  headers: Gathered,
  extensions: Envelope['extensions'],
  extras: Extras | undefined,
): Extras | undefined {
  let used = extras
  for (const name in extensions) {
    const value = extensions[name] as ExtensionValue
    if (typeof value !== 'string') used ??= new Extras()
    headers.push(prefix + name, typeof value === 'string' ? value : (used as Extras).extensionText(name, value))
  }
  return used
}

function writeHeaders(headers: Gathered, custom: Envelope['headers'], extras: Extras | undefined): void {
  for (const name in custom) {
    const value = custom[name] as HeaderValue
    if (isReserved(name) || (typeof value !== 'string' && !isNative(value))) {
      extras ??= new Extras()
      writeOther(headers, extras, name, value)
    } else if (typeof value === 'string') headers.push(coreNames.get(name) ?? name, value)
    else if (Array.isArray(value)) for (const each of value) headers.push(name, each)
    else headers.push(name, value as Uint8Array | null)
  }
  if (extras === undefined) return
  if (extras.types !== '') headers.push(names.trvtypes, extras.types)
  if (extras.spilled !== undefined) headers.push(names.trvheaders, extras.spilled)
}

function isReserved(name: string): boolean {
  return name === contentTypeName || name === hopsName || name.startsWith(prefix)
}

/** True for what a record gives back as it is: null, bytes that cannot be taken for text, and two or more of such. */
function isNative(value: HeaderValue): boolean {
  if (value === null) return true
  if (value instanceof Uint8Array) return !isUtf8(value)
  return (
    Array.isArray(value) &&
    value.length > 1 &&
    value.every((each) => typeof each === 'string' || (!Array.isArray(each) && isNative(each)))
  )
}

function writeOther(headers: Gathered, extras: Extras, name: string, value: HeaderValue): void {
  if (value === undefined) return
  if (isReserved(name)) return extras.spill(name, value)
  if (value instanceof Uint8Array) {
    extras.tag(name, 'b')
    headers.push(name, bytesOf(value).toString('base64'))
    return
  }
  const { text, tag } = toText(value)
  extras.tag(name, tag)
  headers.push(name, text)
}
