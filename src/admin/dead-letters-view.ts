/** Dead letters as the API, the command line and exports show them: plain data, then JSON. */
import type { Envelope } from '../envelope/envelope.ts'
import { writeEnvelope } from '../envelope/envelope-json.ts'
import { utf8Text } from '../envelope/payload-json.ts'
import { bytesOf } from '../envelope/typed.ts'
import type { StoredDeadLetter } from '../store/contract.ts'
import { visibleLines } from '../telemetry/visible.ts'

/** One letter of a list: all but the message itself. */
export interface LetterSummary {
  readonly id: number
  readonly route: string
  readonly reason: string
  readonly error: { readonly code: string; readonly message: string }
  /** That a target answered. */
  readonly attempts: number
  /** How often it came back from the dead letters. */
  readonly requeues: number
  readonly target: string | undefined
  /** RFC 3339: receipt, last attempt, and when the route's own dead letter target confirmed it. */
  readonly firstAt: string
  readonly lastAt: string
  readonly forwardedAt: string | undefined
  readonly messageId: string
  readonly source: string
  readonly eventType: string | undefined
  readonly contentType: string | undefined
  /** Absent: the message is a tombstone. */
  readonly payloadBytes: number | undefined
}

/** A whole letter. `message` is a body of format `envelope` (docs/formats.md) with its payload as text or base64. */
export interface LetterRecord extends Omit<LetterSummary, 'messageId' | 'source' | 'eventType' | 'contentType'> {
  /** What the route captured from the message's address. */
  readonly params: Readonly<Record<string, string>>
  /** Why its body could not be understood, where that is so. */
  readonly malformed: string | undefined
  readonly message: Readonly<Record<string, unknown>>
}

export function summaryOf(letter: StoredDeadLetter): LetterSummary {
  const { messageId, source, eventType, contentType } = letter.envelope
  return { ...commonOf(letter), ...{ messageId, source, eventType, contentType } }
}

export function recordOf(letter: StoredDeadLetter): LetterRecord {
  const { params, envelope } = letter
  return { ...commonOf(letter), params, malformed: envelope.malformed?.message, message: messageJson(envelope) }
}

function commonOf({ id, route, reason, error, attempts, requeues, target, ...rest }: StoredDeadLetter) {
  return {
    ...{ id, route, reason, error, attempts, requeues, target },
    firstAt: new Date(rest.firstAt).toISOString(),
    lastAt: new Date(rest.lastAt).toISOString(),
    forwardedAt: rest.forwardedAt === undefined ? undefined : new Date(rest.forwardedAt).toISOString(),
    payloadBytes: rest.envelope.payload?.byteLength,
  }
}

/** Its payload is `payloadText` where it is UTF-8, else `payloadBase64`: both give the very same bytes back. */
export function messageJson(envelope: Envelope): Record<string, unknown> {
  const { payload, hops } = envelope
  const body: Record<string, unknown> = JSON.parse(writeEnvelope(envelope.with({ payload: null }), hops).toString())
  if (payload === null) return body
  const { payload: _, ...fields } = body
  const text = utf8Text(payload)
  return text === undefined
    ? { ...fields, payloadBase64: bytesOf(payload).toString('base64') }
    : { ...fields, payloadText: text }
}

/**
 * JSON on one line, safe to show on a terminal: what controls one, or turns the direction of text, is escaped. Another
 * reader of JSON sees no difference.
 */
export function jsonLine(value: unknown, indent?: number): string {
  return visibleLines(JSON.stringify(value, undefined, indent))
}
