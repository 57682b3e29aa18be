/** What a body may be, by the headers of its request; and the messages in it. Pure. */
import type { IncomingHttpHeaders } from 'node:http'
import { isEncoded } from '../../../src/envelope/content-encoding.ts'
import type { Envelope, Format } from '../../../src/envelope/envelope.ts'
import { decode, decodeBatch, type HttpMessage, type HttpPlace, isBatch } from '../codec.ts'
import { Refusal } from './problem.ts'

const form = /^(multipart\/|application\/x-www-form-urlencoded\b)/i
const event = /^application\/cloudevents/i
const jsonEvent = /^application\/cloudevents(-batch)?(\+json)?\s*(;|$)/i

/** Throws a Refusal, 415, for what nobody behind this gateway is likely to read. */
export function checkMediaType(headers: IncomingHttpHeaders, format: Format | undefined): void {
  if (format === 'raw') return
  const type = headers['content-type'] ?? ''
  if (form.test(type)) throw unsupported(`${brief(type)} is taken with \`format: raw\` only`)
  if (!event.test(type)) return
  if (!jsonEvent.test(type)) throw unsupported(`events are read as JSON, not as ${brief(type)}`)
  if (isEncoded(headers)) throw unsupported('events are read uncompressed')
}

export interface Messages {
  readonly envelopes: readonly Envelope[]
  readonly isBatch: boolean
}

/** Throws a Refusal, 400, for a body that is not what it claims to be. */
export function messagesIn(message: HttpMessage, type: string | undefined, at: HttpPlace): Messages {
  const isSeveral = isBatch(type, at.format)
  const envelopes = isSeveral ? decodeBatch(message, at) : [decode(message, at)]
  const [wrong] = envelopes.filter(({ malformed }) => malformed !== undefined)
  if (wrong?.malformed === undefined) return { envelopes, isBatch: isSeveral }
  throw new Refusal({ status: 400, code: 'MESSAGE_MALFORMED', detail: wrong.malformed.message })
}

const brief = (type: string) => type.slice(0, 80)
const unsupported = (detail: string) => new Refusal({ status: 415, code: 'MESSAGE_MALFORMED', detail })
