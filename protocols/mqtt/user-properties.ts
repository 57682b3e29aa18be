/** MQTT 5's user properties: attributes under their plain names beside the custom headers. */
import { attributesByName, rareAttributes, setAttribute, untyped } from '../../src/envelope/attributes.ts'
import { addExtension, addHeader, type Draft } from '../../src/envelope/draft.ts'
import { type Envelope, type ExtensionValue, HeaderBag, type HeaderValue } from '../../src/envelope/envelope.ts'
import { isExtensionName } from '../../src/envelope/extensions.ts'
import { bytesKey, Extras, tombstone } from '../../src/envelope/extras.ts'
import { bytesOf, toText } from '../../src/envelope/typed.ts'
import { isMqttText, mqttJson } from './text.ts'

export type UserProperties = Record<string, string | string[]>

const attributeOf = attributesByName('')
const hopsName = 'trivium-hops'

/** Without a prefix, only all of the mandatory attributes together tell an event from a sender's own `id` or `type`. */
export function readUserProperties(draft: Draft, user: UserProperties): void {
  const isEvent = isText(user.specversion) && isText(user.id) && isText(user.source) && isText(user.type)
  for (const name in user) {
    const value = user[name]
    const attribute = isEvent ? attributeOf.get(name) : undefined
    if (attribute !== undefined) setAttribute(draft, attribute, String(Array.isArray(value) ? value[0] : value))
    else if (name === hopsName) draft.hops = String(value)
    else if (typeof value === 'string' && isEvent) addExtension(draft, name, value)
    else if (typeof value === 'string') addHeader(draft, name, value)
    else if (Array.isArray(value)) addHeader(draft, name, value.filter(isText))
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

/** undefined: a field cannot stand in a property. Throws a PermanentError for headers nested too deep. */
export function writeUserProperties(envelope: Envelope, hops: string | undefined): UserProperties | undefined {
  const { messageId, source, eventType, timestamp, contentType, payload, key } = envelope
  if (!isMqttText(messageId) || !isMqttText(source) || !isMqttText(timestamp)) return undefined
  if (eventType !== undefined && !isMqttText(eventType)) return undefined
  if (contentType !== undefined && !isMqttText(contentType)) return undefined
  const user = new HeaderBag() as UserProperties
  user.specversion = '1.0'
  user.id = messageId
  user.source = source
  user.type = eventType ?? untyped
  user.time = timestamp
  if (!writeRare(user, envelope, hops)) return undefined
  const extras = new Extras()
  if (payload === null) extras.tagField(tombstone)
  if (key !== undefined && typeof key !== 'string') extras.tagField(bytesKey)
  if (envelope.headerTypes !== undefined) extras.tagField(envelope.headerTypes)
  if (!writeExtensions(user, envelope, extras)) return undefined
  for (const name in envelope.headers) writeHeader(user, extras, name, envelope.headers[name] as HeaderValue)
  return writeExtras(user, extras) ? user : undefined
}

function writeRare(user: UserProperties, envelope: Envelope, hops: string | undefined): boolean {
  const { key, replyTo } = envelope
  if (hops !== undefined && !put(user, hopsName, hops)) return false
  if (key !== undefined) {
    const text = typeof key === 'string' ? key : bytesOf(key).toString('base64')
    if (!put(user, 'partitionkey', text)) return false
  }
  if (replyTo !== undefined && responseTopicOf(replyTo) === undefined && !put(user, 'trvreply', replyTo)) return false
  const rare = rareAttributes(envelope)
  for (let i = 0; i < rare.length; i += 2) if (!put(user, rare[i] as string, rare[i + 1] as string)) return false
  return true
}

function writeExtensions(user: UserProperties, { extensions }: Envelope, extras: Extras): boolean {
  for (const name in extensions) {
    if (!put(user, name, extras.extensionText(name, extensions[name] as ExtensionValue))) return false
  }
  return true
}

function put(user: UserProperties, name: string, text: string): boolean {
  user[name] = text
  return isMqttText(text)
}

function writeHeader(user: UserProperties, extras: Extras, name: string, value: HeaderValue): void {
  if (value === undefined) return
  // `user` has the attributes by now: one of the name wins, the header goes apart
  if (name === hopsName || attributeOf.has(name) || name in user || !isMqttText(name)) return extras.spill(name, value)
  if (typeof value === 'string') writeText(user, extras, name, value)
  else if (isRepeated(value)) user[name] = value
  else writeTyped(user, extras, name, value)
}

/** Without a prefix only a tag tells a header from an extension. */
function writeText(user: UserProperties, extras: Extras, name: string, value: string): void {
  if (!isMqttText(value)) return extras.spill(name, value)
  if (isExtensionName(name)) extras.tagHeader(name)
  user[name] = value
}

/** True for what comes back as it is; mqtt-packet's parser drops an empty text that another one follows. */
function isRepeated(value: HeaderValue): value is string[] {
  if (!Array.isArray(value) || value.length < 2 || value[0] === '') return false
  return value.every((each) => isText(each) && isMqttText(each))
}

function writeTyped(user: UserProperties, extras: Extras, name: string, value: HeaderValue): void {
  const { text, tag } = toText(value)
  const safe = tag === 'j' ? mqttJson(text) : text
  if (!isMqttText(safe)) return extras.spill(name, value)
  extras.tag(name, tag)
  user[name] = safe
}

function writeExtras(user: UserProperties, extras: Extras): boolean {
  const { types, spilled } = extras
  if (types !== '' && !put(user, 'trvtypes', types)) return false
  return spilled === undefined || put(user, 'trvheaders', mqttJson(spilled))
}

/** The topic in `mqtt:topic`, where it can be published to. */
export function responseTopicOf(replyTo: string): string | undefined {
  if (!replyTo.startsWith('mqtt:') || replyTo.startsWith('mqtt://')) return undefined
  const topic = replyTo.slice('mqtt:'.length)
  return topic !== '' && !topic.includes('+') && !topic.includes('#') && isMqttText(topic) ? topic : undefined
}
