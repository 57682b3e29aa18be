/** Pages in browsers: those of `cors.origins` may send and follow, no others, whatever name they reached this listener by. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { HttpListenerConnection } from './config.ts'
import { Refusal } from './problem.ts'

export class Origins {
  readonly #allowed: ReadonlySet<string>
  readonly #maxAgeSecs: string

  constructor(cors: HttpListenerConnection['cors']) {
    this.#allowed = new Set(cors?.origins)
    this.#maxAgeSecs = String(Math.round((cors?.maxAge ?? 0) / 1000))
  }

  /** `methods`: those of the path. False: it was a question of a browser, and has been answered. Throws a Refusal, 403. */
  admit({ method, headers }: IncomingMessage, response: ServerResponse, methods: readonly string[]): boolean {
    const { origin } = headers
    if (origin === undefined) return true
    if (!this.#allowed.has(origin) && !this.#allowed.has('*')) throw foreign()
    response.setHeader('access-control-allow-origin', origin)
    response.setHeader('vary', 'origin')
    if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) return true
    const asked = headers['access-control-request-headers']
    response.writeHead(204, {
      'access-control-allow-methods': methods.join(', '),
      ...(asked !== undefined && { 'access-control-allow-headers': asked }),
      'access-control-max-age': this.#maxAgeSecs,
    })
    response.end()
    return false
  }
}

const foreign = () =>
  new Refusal({
    status: 403,
    code: 'ACCESS_DENIED',
    detail: 'pages of this origin may not send: `cors.origins` names those that may',
  })
