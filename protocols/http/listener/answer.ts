/** What a reply, or an error in its place, is as an answer to a request. */
import type { Reply } from '../../../src/adapter/contract.ts'
import { answerOf } from '../codec.ts'
import { replyStatusOf, retryAfterOf } from '../errors.ts'
import { type Answer, type Problem, problemAnswer } from './problem.ts'

export interface WholeAnswer extends Answer {
  readonly status: number
}

/** Throws a PermanentError where it cannot be written. */
export function answerTo(reply: Reply): WholeAnswer {
  if (reply.kind === 'reply') return answerOf(reply.envelope, reply.format)
  const { error } = reply
  const status = replyStatusOf(error)
  const headers = status === 503 ? { 'retry-after': retryAfterOf(error) } : {}
  return problemAnswer({ status, code: error.code, detail: error.message, headers })
}

export function jsonAnswer(status: number, value: object, more: readonly string[] = []): WholeAnswer {
  return { status, headers: ['content-type', 'application/json', ...more], body: JSON.stringify(value) }
}

/** Of a message that nobody could be given. */
export const deadLettered: Problem = {
  status: 422,
  code: 'MESSAGE_REFUSED',
  detail: 'it could not be delivered, and is kept among the dead letters',
}
