/** The CloudEvents attributes that carry canonical fields, read and written as text whatever the protocol. */
import { type Attribute, attributes } from './attribute-names.ts'
import type { Draft } from './draft.ts'
import type { Envelope } from './envelope.ts'
import { epochMs, isoText, timeText } from './time.ts'

/** CloudEvents demands a type; this one stands for none. */
export const untyped = 'trivium.raw'

/** Native name -> attribute, for a protocol's prefixes. */
export function attributesByName(...prefixes: readonly string[]): ReadonlyMap<string, Attribute> {
  return new Map(prefixes.flatMap((prefix) => attributes.map((attribute) => [prefix + attribute, attribute] as const)))
}

/** Attribute -> native name. */
export function namesOf(prefix: string): Readonly<Record<Attribute, string>> {
  return Object.fromEntries(attributes.map((attribute) => [attribute, prefix + attribute])) as Record<Attribute, string>
}

/** Sets the field an attribute stands for. A text that is not of the field's type leaves the field as it was. */
export function setAttribute(draft: Draft, attribute: Attribute, text: string): void {
  switch (attribute) {
    case 'id':
      if (text !== '') draft.messageId = text
      break
    case 'source':
      if (text !== '') draft.source = text
      break
    case 'type':
      draft.eventType = text === untyped || text === '' ? undefined : text
      break
    case 'specversion':
      draft.isEvent = true
      break
    case 'time':
      draft.timestamp = timeText(text) ?? draft.timestamp
      break
    case 'datacontenttype':
      draft.contentType = text
      break
    case 'correlationid':
      draft.correlationId = text
      break
    case 'partitionkey':
      draft.key ??= text
      break
    case 'expirytime':
      draft.expires = timeText(text)
      break
    case 'trvdest':
      draft.destination = text
      break
    case 'trvversion':
      draft.version = text
      break
    case 'trvpriority':
      draft.priority = priorityOf(Number(text)) ?? draft.priority
      break
    case 'trvttl':
      draft.ttlMs = amountOf(text) ?? draft.ttlMs
      break
    case 'trvretry':
      draft.retryCount = amountOf(text) ?? draft.retryCount
      break
    case 'trvreply':
      draft.replyTo = text
      break
    case 'trvhops':
      draft.hops = text
      break
    case 'trvtypes':
      draft.types = text
      break
    case 'trvheaders':
      draft.spilled = text
      break
  }
}

export function priorityOf(value: unknown): number | undefined {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 255 ? (value as number) : undefined
}

function amountOf(text: string): number | undefined {
  const value = Number(text)
  return text !== '' && Number.isFinite(value) && value >= 0 ? value : undefined
}

const none: readonly string[] = []

/** Attribute and text in turn, of the fields that most messages do not have; replyTo, key, contentType and hops apart. */
export function rareAttributes(envelope: Envelope): readonly string[] {
  const { destination, version, correlationId, priority, ttlMs, retryCount } = envelope
  const isPlain = destination === undefined && version === undefined && correlationId === undefined
  if (isPlain && priority === undefined && ttlMs === undefined && retryCount === undefined) return none
  const list: string[] = []
  if (destination !== undefined) list.push('trvdest', destination)
  if (version !== undefined) list.push('trvversion', version)
  if (correlationId !== undefined) list.push('correlationid', correlationId)
  if (priority !== undefined) list.push('trvpriority', String(priority))
  if (ttlMs !== undefined) list.push('trvttl', String(ttlMs))
  if (ttlMs !== undefined) pushExpiry(list, envelope.timestamp, ttlMs)
  if (retryCount !== undefined) list.push('trvretry', String(retryCount))
  return list
}

function pushExpiry(list: string[], timestamp: string, ttlMs: number): void {
  const start = epochMs(timestamp)
  if (start !== undefined && start >= 0 && start + ttlMs < 253_402_300_800_000)
    list.push('expirytime', isoText(start + ttlMs))
}
