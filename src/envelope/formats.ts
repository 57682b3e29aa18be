/** The structured formats: the whole envelope in the body. Detection goes by content type, or by the user's word. */
import { messageOf, PermanentError } from '../errors.ts'
import { readCloudEvent, writeCloudEvent } from './cloudevents.ts'
import type { Draft } from './draft.ts'
import type { Envelope, Format } from './envelope.ts'
import { readEnvelope, writeEnvelope } from './envelope-json.ts'
import { markLength, parseJson } from './json.ts'
import { bytesOf } from './typed.ts'

export type StructuredFormat = 'envelope' | 'cloudevents'

export const mediaTypes: Readonly<Record<StructuredFormat, string>> = {
  envelope: 'application/vnd.trivium.envelope+json; v=1',
  cloudevents: 'application/cloudevents+json; charset=utf-8',
}

const cloudEventsType = 'application/cloudevents'
const envelopeType = 'application/vnd.trivium.envelope+json'

/**
 * The structured format of what was received, by the content type it claims. `wanted` is the user's `format` of the source
 * and comes first; `cloudevents` stands for both modes of an event.
 */
export function structuredFormat(
  wanted: Format | undefined,
  { contentType, isEvent }: Draft,
): StructuredFormat | undefined {
  if (wanted !== undefined) {
    const isBinary =
      wanted === 'cloudevents' && isEvent && contentType?.toLowerCase().startsWith(cloudEventsType) !== true
    return isStructured(wanted) && !isBinary ? wanted : undefined
  }
  if (contentType === undefined || contentType.length < cloudEventsType.length) return undefined
  const type = contentType.slice(0, envelopeType.length).toLowerCase()
  if (type.startsWith(cloudEventsType)) return 'cloudevents'
  return type === envelopeType ? 'envelope' : undefined
}

export function isStructured(format: Format | undefined): format is StructuredFormat {
  return format === 'envelope' || format === 'cloudevents'
}

/** Throws a PermanentError for headers nested too deep. `hops` replaces the envelope's own. */
export function encodeStructured(envelope: Envelope, format: StructuredFormat, hops = envelope.hops): Buffer {
  return format === 'envelope' ? writeEnvelope(envelope, hops) : writeCloudEvent(envelope, hops)
}

const charsets = /;\s*charset\s*=\s*"?(?!utf-?8|us-ascii)/i
const jsonEvents = /^application\/cloudevents(\+json)?\s*(;|$)/i

/**
 * Replaces what the protocol said by what the body says. A body that is not what it claims leaves the draft with
 * `malformed` and the whole body as payload; never throws.
 */
export function decodeStructured(draft: Draft, format: StructuredFormat): void {
  const claimed = draft.contentType
  const body = bytesOf(draft.payload ?? Buffer.alloc(0))
  try {
    if (format === 'cloudevents' && isForeign(claimed)) throw new TypeError(`${claimed} is not supported`)
    const json = parseObject(body)
    draft.contentType = undefined
    const text = body.subarray(markLength(body))
    if (format === 'envelope') readEnvelope(draft, json, text)
    else readCloudEvent(draft, json, text)
  } catch (error) {
    draft.contentType = claimed
    draft.payload = body
    draft.malformed = new PermanentError(
      'MESSAGE_MALFORMED',
      `the body cannot be read as ${format}: ${messageOf(error)}`,
      {
        cause: error,
      },
    )
  }
}

/** A batch, another event format than JSON, another character set than UTF-8. */
function isForeign(contentType: string | undefined): boolean {
  if (contentType?.toLowerCase().startsWith(cloudEventsType) !== true) return false
  return !jsonEvents.test(contentType) || charsets.test(contentType)
}

function parseObject(body: Buffer): Record<string, unknown> {
  const json = parseJson(body)
  if (json === undefined) throw new TypeError('not valid JSON')
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new TypeError('expected an object')
  return json as Record<string, unknown>
}
