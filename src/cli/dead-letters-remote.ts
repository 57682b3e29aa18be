import type { Changes } from '../admin/dead-letters-edit.ts'
import type { DiscardRequest, Filter, ListRequest, RequeueRequest } from '../admin/dead-letters-request.ts'
import type { LetterRecord } from '../admin/dead-letters-view.ts'
import type { PieceDone } from '../delivery/dead-letters/workbench.ts'
import { messageOf } from '../errors.ts'
import { type Desk, DeskError, type Listed } from './dead-letters-desk.ts'
import { exitCodes } from './exit-codes.ts'

/** Milliseconds: a gateway that does not answer within it is not asked any longer. */
const answerWithinMs = 60_000

interface Asked {
  readonly method?: string
  readonly query?: object
  readonly body?: object
  /** For an answer that is read for as long as it takes. */
  readonly isStream?: boolean
}

/** A running gateway, asked by its admin API. */
export class RemoteDesk implements Desk {
  readonly isRunning = true
  readonly #url: string
  readonly #token: string | undefined

  constructor(url: string, token: string | undefined) {
    this.#url = url.replace(/\/+$/, '')
    this.#token = token
  }

  /** False when nothing listens there. */
  async isThere(): Promise<boolean> {
    try {
      await fetch(`${this.#url}/livez`, { signal: AbortSignal.timeout(answerWithinMs) })
      return true
    } catch (error) {
      if (codeOf(error) === 'ECONNREFUSED') return false
      throw this.#unreachable(error)
    }
  }

  async list(request: ListRequest): Promise<Listed> {
    return (await this.#json('', { query: request })) as Listed
  }

  async get(id: number): Promise<LetterRecord | undefined> {
    return (await this.#json(`/${id}`, {})) as LetterRecord | undefined
  }

  async requeue(request: RequeueRequest): Promise<PieceDone> {
    const answer = (await this.#json('/requeue', { method: 'POST', body: request })) as PieceDone & { requeued: number }
    return { ...answer, done: answer.requeued }
  }

  async discard(request: DiscardRequest): Promise<PieceDone> {
    const answer = (await this.#json('/discard', { method: 'POST', body: request })) as PieceDone & {
      discarded: number
    }
    return { ...answer, done: answer.discarded }
  }

  async edit(id: number, changes: Changes): Promise<LetterRecord | undefined> {
    return (await this.#json(`/${id}`, { method: 'PATCH', body: changes })) as LetterRecord | undefined
  }

  async *export(filter: Filter): AsyncGenerator<string, void> {
    const response = await this.#ask('/export', { query: filter, isStream: true })
    try {
      yield* linesOf(response.body as AsyncIterable<Uint8Array>)
    } catch (error) {
      throw this.#unreachable(error)
    }
  }

  async close(): Promise<void> {}

  /** Undefined where it says that there is no such letter. */
  async #json(path: string, asked: Asked): Promise<unknown> {
    try {
      const response = await this.#ask(path, asked)
      return response.status === 404 ? undefined : await response.json()
    } catch (error) {
      throw error instanceof DeskError ? error : this.#unreachable(error)
    }
  }

  async #ask(path: string, { method = 'GET', query = {}, body, isStream = false }: Asked): Promise<Response> {
    const url = `${this.#url}/api/v1/dead-letters${path}?${new URLSearchParams(textsOf(query))}`
    const headers: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' }
    if (this.#token !== undefined) headers.authorization = `Bearer ${this.#token}`
    const request: RequestInit = { method, headers }
    if (body !== undefined) request.body = JSON.stringify(body)
    if (!isStream) request.signal = AbortSignal.timeout(answerWithinMs)
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
      const why = this.#token === undefined ? 'wants its token: set' : 'refuses the token: is it the same as in'
      throw new DeskError(exitCodes.unavailable, `${this.#url} ${why} TRIVIUM_ADMIN_TOKEN`)
    }
    if (response.status === 404)
      throw new DeskError(exitCodes.unavailable, `${this.#url} has no dead letters: is it a trivium of this version?`)
    throw new DeskError(
      code === 'USAGE' ? exitCodes.usage : exitCodes.unavailable,
      error || `${this.#url} answered ${response.status}`,
    )
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
