/** What an answer means for the message it is about. Pure. */
import { delivered, type Outcome, outcomeOf } from '../../../src/adapter/contract.ts'
import { type ErrorCode, PermanentError, RetryableError } from '../../../src/errors.ts'
import type { Answer } from './exchange.ts'
import { retryAfterMs } from './retry-after.ts'
import { shownUrl } from './url.ts'

type Judged = Pick<Answer, 'status' | 'headers' | 'body'>

/** So much of an answer stands in an error, in bytes. */
const reasonBytes = 1_024

/** Says that the server takes nothing for now: no attempt is counted. */
const busy: ReadonlySet<number> = new Set([429, 503])
/** May be another answer next time, beside all from 500 on. */
const passing: ReadonlySet<number> = new Set([408, 425, 429])

const refusals: Readonly<Record<number, ErrorCode>> = {
  404: 'MESSAGE_UNROUTABLE',
  410: 'MESSAGE_UNROUTABLE',
  413: 'MESSAGE_TOO_LARGE',
}

/** By its status. `about` names what was sent: `POST shop.example.com/orders`. */
export function outcomeOfAnswer(answer: Judged, about: string): Outcome {
  const { status } = answer
  if (status >= 200 && status < 300) return delivered
  const text = `${about} answered ${status}${reasonOf(answer)}`
  if (status >= 500 || passing.has(status)) return outcomeOf(passingError(answer, text))
  return outcomeOf(new PermanentError(refusals[status] ?? 'MESSAGE_REFUSED', text))
}

function passingError({ status, headers }: Judged, text: string): RetryableError {
  const afterMs = retryAfterMs(headerOf(headers, 'retry-after'))
  const code = busy.has(status) ? 'DESTINATION_UNAVAILABLE' : 'PEER_FAILED'
  return new RetryableError(code, text, afterMs === undefined ? {} : { retryAfterMs: afterMs })
}

function reasonOf({ status, headers, body }: Judged): string {
  const location = headerOf(headers, 'location')
  const where = location === undefined ? '' : ` (${shownUrl(location).slice(0, 200)})`
  if (status >= 300 && status < 400) return `: redirects are not followed${where}`
  const text = body
    .subarray(0, reasonBytes)
    .toString()
    .replaceAll(/[\s\p{Cc}]+/gu, ' ')
    .trim()
  return text === '' ? '' : `: ${text}`
}

/** As applications of Dapr answer: https://docs.dapr.io/reference/api/pubsub_api/ */
export function outcomeOfDapr(answer: Judged, about: string): Outcome {
  const { status, body } = answer
  if (status === 404) return outcomeOfAnswer(answer, about)
  if (status < 200 || status >= 300) {
    return outcomeOf(new RetryableError('PEER_FAILED', `${about} answered ${status}${reasonOf(answer)}`))
  }
  const word = statusWord(body)
  if (word === 'RETRY') return outcomeOf(new RetryableError('PEER_FAILED', `${about} asks for it again (RETRY)`))
  if (word === 'DROP') return outcomeOf(new PermanentError('MESSAGE_REFUSED', `${about} wants it no more (DROP)`))
  if (word === undefined || word === 'SUCCESS') return delivered
  return outcomeOf(new RetryableError('PEER_FAILED', `${about} answered with an unknown status`))
}

function statusWord(body: Buffer): unknown {
  const status = (Object(jsonOf(body)) as { status?: unknown }).status
  return status === '' || status === null ? undefined : status
}

/** One for each message of a batch: the answer's own words where it is a list of as many, else its status for all. */
export function outcomesOfBatch(answer: Judged, about: string, count: number): readonly Outcome[] {
  const items = answer.status < 300 ? jsonOf(answer.body) : undefined
  if (!Array.isArray(items) || items.length !== count) {
    const outcome = outcomeOfAnswer(answer, about)
    return Array.from({ length: count }, () => outcome)
  }
  return items.map((item: unknown) => outcomeOfItem(item, answer, about))
}

function outcomeOfItem(item: unknown, { headers }: Judged, about: string): Outcome {
  const { status, error } = Object(item) as { status?: unknown; error?: unknown }
  const isFailed = error !== undefined && error !== null && error !== false
  const body = Buffer.from(isFailed ? textOf(error) : '')
  if (typeof status === 'number') return outcomeOfAnswer({ status, headers, body }, about)
  return isFailed ? outcomeOfAnswer({ status: 422, headers, body }, about) : delivered
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}

/** The first of its name. */
export function headerOf(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) if (headers[i]?.toLowerCase() === name) return headers[i + 1]
  return undefined
}
