/** Pages in browsers: those of `cors.origins` may send, no others, whatever name they reached this listener by. */
import type { RequestHandler } from 'express'
import type { HttpListenerConnection } from './config.ts'
import { Refusal } from './problem.ts'
import { wayOf } from './way.ts'

export function onlyFrom(cors: HttpListenerConnection['cors']): RequestHandler {
  const allowed = new Set(cors?.origins)
  const maxAgeSecs = String(Math.round((cors?.maxAge ?? 0) / 1000))
  return (request, response, next) => {
    const { origin } = request.headers
    if (origin === undefined) return next()
    if (!allowed.has(origin) && !allowed.has('*')) throw foreign()
    response.setHeader('access-control-allow-origin', origin)
    response.setHeader('vary', 'origin')
    if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined) return next()
    const asked = request.headers['access-control-request-headers']
    response.writeHead(204, {
      'access-control-allow-methods': wayOf(response).methods.join(', '),
      ...(asked !== undefined && { 'access-control-allow-headers': asked }),
      'access-control-max-age': maxAgeSecs,
    })
    response.end()
  }
}

const foreign = () =>
  new Refusal({
    status: 403,
    code: 'ACCESS_DENIED',
    detail: 'pages of this origin may not send: `cors.origins` names those that may',
  })
