import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context } from '../../../src/adapter/contract.ts'
import { Summary } from '../../../src/adapter/summary.ts'
import { messageOf, PermanentError } from '../../../src/errors.ts'
import { type Problem, Refusal, writeProblem } from './problem.ts'

/** A body of which no more is left is read and forgotten; beyond it the connection ends. */
const mostForgottenBytes = 64 * 1024

export type TellProblem = (error: unknown, request: IncomingMessage, response: ServerResponse) => void

/** Whatever is thrown becomes a problem for the sender, which says nothing of our insides. */
export function tellProblem({ log, count }: Context): TellProblem {
  const strangers = new Summary((more) => log.warn(`${more} more requests showed no credentials that let them in`))
  return (error, request, response) => {
    if (response.headersSent || request.socket.destroyed) return void response.destroy()
    const problem = problemOf(error)
    count(`http_${problem.status}`)
    if (problem.status === 401 && strangers.isFirst()) {
      const fields = { address: request.socket.remoteAddress, code: problem.code }
      log.warn('a request showed no credentials that let it in; said once a minute', fields)
    }
    if (problem.status === 500) log.error('a request failed', { code: problem.code, error: messageOf(error) })
    if (problem.status === 408 || !isSoonRead(request)) response.setHeader('connection', 'close')
    request.resume()
    writeProblem(response, problem)
  }
}

function problemOf(error: unknown): Problem {
  if (error instanceof Refusal) return error
  if (error instanceof PermanentError && error.code === 'MESSAGE_MALFORMED')
    return { status: 400, code: error.code, detail: error.message }
  return { status: 500, code: 'INTERNAL', detail: 'the gateway failed; its log says why' }
}

function isSoonRead({ complete, headers }: IncomingMessage): boolean {
  if (complete) return true
  return headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) <= mostForgottenBytes
}
