import { z } from 'zod'
import { Draft } from '../envelope/draft.ts'
import { Envelope, type HeaderValue } from '../envelope/envelope.ts'
import { readEnvelope } from '../envelope/envelope-json.ts'
import { fromJson } from '../envelope/typed.ts'
import { messageOf, PermanentError } from '../errors.ts'
import { parse } from './dead-letters-request.ts'

const text = z.string().nullable().optional()
const base64 = z.base64({ error: 'expected base64' })

/** What is to change; null takes a field away. */
const changes = z.strictObject({
  /** The whole message, as the record of the letter shows it. */
  message: z.record(z.string(), z.unknown()).optional(),
  payloadText: z.string().optional(),
  payloadBase64: base64.optional(),
  payload: z.null({ error: 'write payloadText or payloadBase64; null makes a tombstone' }).optional(),
  contentType: text,
  eventType: text,
  version: text,
  correlationId: text,
  destination: text,
  replyTo: text,
  key: text,
  keyBase64: base64.optional(),
  priority: z.int().min(0).max(255).nullable().optional(),
  ttl: z.number().min(0).nullable().optional(),
  setHeaders: z.custom<object>(isObject, 'expected an object of names and values').optional(),
  removeHeaders: z.array(z.string()).optional(),
})
export type Changes = z.input<typeof changes>

const wellKnown = new Set(['contentType', 'priority', 'ttl', 'retryCount'])

/** Reads an edit: gives what makes the new message of the old one. Throws PermanentError USAGE, as that may. */
export function parseEdit(input: unknown): (envelope: Envelope) => Envelope {
  const edit = parse(changes, input)
  const given = Object.values(edit).filter((value) => value !== undefined).length
  if (given === 0) throw usage('nothing to change: give message, payloadText, setHeaders, …')
  if (edit.message !== undefined && given > 1)
    throw usage('message replaces everything and cannot be combined with other fields')
  const { message } = edit
  return message === undefined ? (envelope) => changed(envelope, edit) : () => wholeMessage(message)
}

/** What a codec could not understand of the body it received is no longer so: somebody has looked at the message. */
const understood = { malformed: undefined }

function changed(envelope: Envelope, edit: z.output<typeof changes>): Envelope {
  const { setHeaders, removeHeaders = [], payloadText, payloadBase64, payload, key, keyBase64, ttl, ...fields } = edit
  const headers: Record<string, HeaderValue> = Object.assign(Object.create(null), envelope.headers)
  for (const name of removeHeaders) delete headers[custom(name)]
  for (const [name, value] of Object.entries(setHeaders ?? {})) headers[custom(name)] = fromJson(value)
  const changes: Record<string, unknown> = { ...understood, headers }
  for (const [name, value] of Object.entries({ ...fields, key, ttlMs: ttl })) {
    if (value !== undefined) changes[name] = value ?? undefined
  }
  if (keyBase64 !== undefined) changes.key = Buffer.from(keyBase64, 'base64')
  if (payload === null) changes.payload = null
  if (payloadText !== undefined) changes.payload = Buffer.from(payloadText)
  if (payloadBase64 !== undefined) changes.payload = Buffer.from(payloadBase64, 'base64')
  return envelope.with(changes)
}

function custom(name: string): string {
  if (wellKnown.has(name)) throw usage(`${name} is a standard field, not a custom header`)
  return name
}

function wholeMessage(message: Record<string, unknown>): Envelope {
  if (message.payload !== undefined && message.payload !== null)
    throw usage('message: write payloadText or payloadBase64')
  for (const name of ['messageId', 'timestamp', 'source']) {
    if (typeof message[name] !== 'string' || message[name] === '') throw usage(`message.${name}: expected a text`)
  }
  if (message.payloadBase64 !== undefined && !base64.safeParse(message.payloadBase64).success)
    throw usage('message.payloadBase64: expected base64')
  const draft = new Draft('', '', '', null)
  try {
    readEnvelope(draft, message, Buffer.alloc(0))
  } catch (error) {
    throw usage(`message: ${messageOf(error)}`)
  }
  return new Envelope({ ...draft, ...understood })
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const usage = (problem: string) => new PermanentError('USAGE', problem)
