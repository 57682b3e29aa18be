/** What the commands ask a running gateway for, and what they say when it does not answer as it should. */
import type { GatewayIdentity } from '../admin/identity.ts'
import { tokenProblem } from '../config/schema/admin-token.ts'
import { messageOf } from '../errors.ts'
import { DeskError } from './dead-letters/desk.ts'
import { exitCodes } from './exit-codes.ts'

/** A running gateway to ask. */
export interface RemotePlace {
  readonly url: string
  readonly token: string | undefined
  /** Where the token stands, for the user to mend it. */
  readonly tokenFrom: string
  /** Longest wait for an answer, in milliseconds. */
  readonly withinMs?: number
}

/** Milliseconds: a gateway that does not answer within it is not asked any longer. */
const answerWithinMs = 60_000

export interface RequestOptions {
  readonly method?: string
  readonly query?: object
  readonly body?: object
  /** For an answer that is read for as long as it takes. */
  readonly isStream?: boolean
}

/** The pages under `/api/v1`. All of it rejects with DeskError. */
export class AdminApi {
  readonly #url: string
  readonly #token: string | undefined
  readonly #tokenFrom: string
  readonly #withinMs: number

  constructor({ url, token, tokenFrom, withinMs = answerWithinMs }: RemotePlace) {
    const problem = token === undefined ? undefined : tokenProblem(token)
    if (problem !== undefined) throw new DeskError(exitCodes.usage, `${tokenFrom}: ${problem}`)
    this.#url = url.replace(/\/+$/, '')
    this.#token = token
    this.#tokenFrom = tokenFrom
    this.#withinMs = withinMs
  }

  /** False when nothing listens there. */
  async isThere(): Promise<boolean> {
    try {
      await fetch(`${this.#url}/livez`, { signal: AbortSignal.timeout(this.#withinMs) })
      return true
    } catch (error) {
      if (codeOf(error) === 'ECONNREFUSED') return false
      throw this.#unreachable(error)
    }
  }

  async identity(): Promise<GatewayIdentity> {
    const { id, dataDir } = ((await this.json('/gateway')) ?? {}) as Partial<GatewayIdentity>
    if (id === undefined || dataDir === undefined) throw this.#isNoGateway()
    return { id, dataDir }
  }

  /** Undefined where it says that there is no such thing. */
  async json(page: string, asked: RequestOptions = {}): Promise<unknown> {
    try {
      const response = await this.#ask(page, asked)
      return response.status === 404 ? undefined : await response.json()
    } catch (error) {
      throw error instanceof DeskError ? error : this.#unreachable(error)
    }
  }

  async *lines(page: string, asked: RequestOptions): AsyncGenerator<string, void> {
    const response = await this.#ask(page, { ...asked, isStream: true })
    try {
      yield* linesOf(response.body as AsyncIterable<Uint8Array>)
    } catch (error) {
      throw this.#unreachable(error)
    }
  }

  async #ask(page: string, { method = 'GET', query = {}, body, isStream = false }: RequestOptions): Promise<Response> {
    const url = `${this.#url}/api/v1${page}?${new URLSearchParams(textsOf(query))}`
    const headers: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' }
    if (this.#token !== undefined) headers.authorization = `Bearer ${this.#token}`
    const request: RequestInit = { method, headers }
    if (body !== undefined) request.body = JSON.stringify(body)
    if (!isStream) request.signal = AbortSignal.timeout(this.#withinMs)
    const response = await fetch(url, request).catch((error: unknown) => {
      throw this.#unreachable(error)
    })
    if (response.ok) return response
    return this.#refused(response)
  }

  async #refused(response: Response): Promise<Response> {
    const { error = '', code } = (await response.json().catch(() => ({}))) as { error?: string; code?: string }
    if (response.status === 404 && code === 'NOT_FOUND') return response
    if (response.status === 401) {
      const why =
        this.#token === undefined
          ? 'requires a token: set TRIVIUM_ADMIN_TOKEN'
          : `rejected the token from ${this.#tokenFrom}`
      throw new DeskError(exitCodes.unavailable, `${this.#url} ${why}`)
    }
    if (response.status === 404) throw this.#isNoGateway()
    throw new DeskError(
      code === 'USAGE' ? exitCodes.usage : exitCodes.unavailable,
      error || `${this.#url} answered ${response.status}`,
    )
  }

  #isNoGateway(): DeskError {
    return new DeskError(exitCodes.unavailable, `${this.#url} is not a Trivium gateway of this version`)
  }

  #unreachable(error: unknown): DeskError {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
    return new DeskError(exitCodes.unavailable, `${this.#url} does not answer: ${messageOf(cause)}`)
  }
}

/** Whole lines; what has no end is not given. */
async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder()
  let begun: string[] = []
  for await (const chunk of chunks) {
    const [first = '', ...others] = decoder.decode(chunk, { stream: true }).split('\n')
    begun.push(first)
    for (const other of others) {
      yield begun.join('')
      begun = [other]
    }
  }
}

function codeOf(error: unknown): unknown {
  const cause = error instanceof Error ? error.cause : undefined
  return (cause as { code?: unknown } | undefined)?.code
}

/** What is undefined is left out. */
function textsOf(query: object): Record<string, string> {
  const given = Object.entries(query).filter(([, value]) => value !== undefined)
  return Object.fromEntries(
    given.map(([name, value]) => [name, Array.isArray(value) ? value.join(',') : String(value)]),
  )
}
