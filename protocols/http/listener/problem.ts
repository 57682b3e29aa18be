/** `application/problem+json` (RFC 9457), the one way in which the listener refuses. */
import type { ServerResponse } from 'node:http'
import type { ErrorCode } from '../../../src/errors.ts'

const { STATUS_CODES } = process.getBuiltinModule('node:http')

export interface Problem {
  readonly status: number
  readonly code: ErrorCode
  /** A sentence for whoever sent the request; nothing of ours that others should not know. */
  readonly detail: string
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Further members. */
  readonly more?: object | undefined
}

/** Thrown where a request is not taken: nothing of it has been handed over. */
export class Refusal extends Error implements Problem {
  readonly status: number
  readonly code: ErrorCode
  readonly headers: Readonly<Record<string, string>>

  constructor({ status, code, detail, headers = {} }: Problem) {
    super(detail)
    this.name = new.target.name
    this.status = status
    this.code = code
    this.headers = headers
  }

  get detail(): string {
    return this.message
  }
}

const problemType = 'application/problem+json'

function problemText({ status, code, detail, more }: Problem): string {
  return JSON.stringify({ title: STATUS_CODES[status], status, detail, code, ...more })
}

export interface Answer {
  /** Name and value in turn. */
  readonly headers: readonly string[]
  readonly body: string | Uint8Array
}

/** Writes a whole answer; nothing where one has begun, or nobody is there to read it. */
export function writeAnswer(response: ServerResponse, status: number, { headers, body }: Answer): void {
  if (response.headersSent || response.destroyed) return
  const length = status === 204 ? [] : ['content-length', String(Buffer.byteLength(body))] // [RFC 9110 8.6]
  response.writeHead(status, [...headers, ...length]).end(body)
}

export function writeProblem(response: ServerResponse, problem: Problem): void {
  writeAnswer(response, problem.status, problemAnswer(problem))
}

export function problemAnswer(problem: Problem): Answer & { readonly status: number } {
  const headers = Object.entries({ ...problem.headers, 'content-type': problemType }).flat()
  return { status: problem.status, headers, body: problemText(problem) }
}

/** Of an answer to what is no request: without a `ServerResponse`. */
export function problemBytes(problem: Problem): string {
  const { status } = problem
  const body = problemText(problem)
  const head = [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, 'connection: close', `content-type: ${problemType}`]
  return `${[...head, `content-length: ${Buffer.byteLength(body)}`].join('\r\n')}\r\n\r\n${body}`
}

/** Seconds after which it may be worth while to ask again. */
export const retryAfter = { 'retry-after': '1' } as const
