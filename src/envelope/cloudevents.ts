/** `application/cloudevents+json`, structured mode: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md */
import { type Attribute, attributes } from './attribute-names.ts'
import { rareAttributes, setAttribute, untyped } from './attributes.ts'
import { addExtension, type Draft } from './draft.ts'
import type { Envelope, HeaderValue } from './envelope.ts'
import { isExtensionName, isExtensionValue } from './extensions.ts'
import { bytesKey, Extras } from './extras.ts'
import { memberBytes } from './json-span.ts'
import { jsonBytes, mayBeJson, spaceAround, utf8Text, withMember, withSpace } from './payload-json.ts'
import { bytesOf, fromJson } from './typed.ts'

const known: ReadonlySet<string> = new Set(attributes)
const spaceName = 'trvspace'
const dataNames: ReadonlySet<string> = new Set(['data', 'data_base64', spaceName])
const attributeName = /^[a-z0-9]{1,20}$/

/** Throws a PermanentError for headers nested too deep. */
export function writeCloudEvent(envelope: Envelope, hops: string | undefined): Buffer {
  const { messageId, source, eventType = untyped, timestamp, contentType, replyTo, key } = envelope
  const event: Record<string, unknown> = { specversion: '1.0', id: messageId, source, type: eventType, time: timestamp }
  if (contentType !== undefined) event.datacontenttype = contentType
  const rare = rareAttributes(envelope)
  for (let i = 0; i < rare.length; i += 2) event[rare[i]!] = rare[i + 1]
  if (replyTo !== undefined) event.trvreply = replyTo
  if (hops !== undefined) event.trvhops = hops
  if (key !== undefined) event.partitionkey = typeof key === 'string' ? key : bytesOf(key).toString('base64')
  writeHeaders(event, envelope)
  return writeData(event, envelope)
}

function writeHeaders(event: Record<string, unknown>, { headers, headerTypes, extensions, key }: Envelope): void {
  const extras = new Extras()
  for (const name in extensions) event[name] = extensions[name]
  if (key !== undefined && typeof key !== 'string') extras.tagField(bytesKey)
  if (headerTypes !== undefined) extras.tagField(headerTypes)
  for (const name in headers) {
    const value = headers[name] as HeaderValue
    if (value === undefined) continue
    if (!isAttribute(name, value) || name in extensions) extras.spill(name, value)
    else {
      event[name] = value
      if (isExtensionName(name)) extras.tagHeader(name)
    }
  }
  if (extras.types !== '') event.trvtypes = extras.types
  if (extras.spilled !== undefined) event.trvheaders = extras.spilled
}

/** True for what any reader of CloudEvents takes as an extension. */
function isAttribute(name: string, value: HeaderValue): boolean {
  if (!attributeName.test(name) || known.has(name) || dataNames.has(name)) return false
  return isExtensionValue(value)
}

function writeData(event: Record<string, unknown>, envelope: Envelope): Buffer {
  const { payload, contentType } = envelope
  if (payload === null) return Buffer.from(JSON.stringify(event))
  const isJson = mayBeJson(contentType)
  const json = isJson ? jsonBytes(envelope) : undefined
  if (json !== undefined) {
    const space = spaceAround(json)
    if (space !== undefined) event[spaceName] = space
    return withMember(event, 'data', json)
  }
  const text = isJson ? undefined : utf8Text(payload)
  if (text !== undefined) event.data = text
  else event.data_base64 = bytesOf(payload).toString('base64')
  return Buffer.from(JSON.stringify(event))
}

/** Throws what is wrong with the event. `body` is the text that `event` was parsed from. */
export function readCloudEvent(draft: Draft, event: Record<string, unknown>, body: Buffer): void {
  for (const name of ['id', 'source', 'type']) {
    if (typeof event[name] !== 'string' || event[name] === '') throw new TypeError(`${name} is missing`)
  }
  if (typeof event.specversion !== 'string' || !event.specversion.startsWith('1.'))
    throw new TypeError('specversion is not 1.x')
  for (const name of Object.keys(event)) {
    const value = event[name]
    if (dataNames.has(name) || value === null) continue
    if (!known.has(name)) addExtension(draft, name.toWellFormed(), fromJson(value))
    else if (typeof value === 'object') throw new TypeError(`${name} is no text`)
    else setAttribute(draft, name as Attribute, String(value).toWellFormed())
  }
  draft.payload = readData(draft, event, body)
}

function readData({ contentType }: Draft, event: Record<string, unknown>, body: Buffer): Buffer | null {
  const base64 = event.data_base64
  if (typeof base64 === 'string') return Buffer.from(base64, 'base64')
  if (base64 !== undefined && base64 !== null) throw new TypeError('data_base64 is no text')
  if (typeof event.data === 'string' && !mayBeJson(contentType)) return Buffer.from(event.data)
  const data = memberBytes(body, 'data')
  return data === undefined ? null : withSpace(data, event[spaceName])
}
