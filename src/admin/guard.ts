import { createHash, timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'
import type { Request, RequestHandler, Response } from 'express'
import { isLoopback } from '../adapter/loopback.ts'
import type { Refusals } from './refusals.ts'

/**
 * On a loopback address only requests that name it by address or `localhost` are answered: a page in a browser that had
 * its own name resolve to 127.0.0.1 (DNS rebinding) is not.
 */
export function onlyOwnHost(listenHost: string, refusals: Refusals): RequestHandler {
  const isLocal = isLoopback(listenHost)
  return (request, response, next) => {
    const host = (request.headers.host ?? '').replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
    if (!isLocal || isLoopback(host) || isIP(host) !== 0) return next()
    refusals.count('host', addressOf(request))
    refuse(response, 421, 'this address only answers to localhost')
  }
}

/** No page of another site may have a browser ask for anything, be it only to look: what is behind it would know its user. */
export function onlyOwnPages(refusals: Refusals): RequestHandler {
  return (request, response, next) => {
    if (isOwnPage(request)) return next()
    refusals.count('origin', addressOf(request))
    refuse(response, 403, 'cross-site requests are not allowed')
  }
}

/** Who is no browser sends neither header. */
function isOwnPage({ headers }: Request): boolean {
  const site = headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return false
  const { origin, host = '' } = headers
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === host.toLowerCase())
}

/** Everything behind it wants the token, compared in constant time; who guesses is answered slowly, see `Refusals`. */
export function onlyWithToken(token: string | undefined, refusals: Refusals): RequestHandler {
  if (token === undefined || token === '') return (_request, _response, next) => next()
  const expected = digest(`Bearer ${token}`)
  return async (request, response, next) => {
    const address = addressOf(request)
    if (!refusals.mayTry(address)) {
      response.set('Retry-After', '1')
      return refuse(response, 429, 'too many wrong tokens at once; try again in a second')
    }
    const { authorization } = request.headers
    if (timingSafeEqual(digest(authorization ?? ''), expected)) {
      refusals.isRight(address)
      return next()
    }
    if (authorization !== undefined) await refusals.slowDown(address)
    response.set('WWW-Authenticate', 'Bearer')
    refuse(response, 401, 'send Authorization: Bearer <token>', 'CREDENTIALS_REFUSED')
  }
}

function refuse(response: Response, status: number, error: string, code = 'ACCESS_DENIED'): void {
  response.status(status).json({ error, code })
}

const addressOf = (request: Request): string => request.socket.remoteAddress ?? ''

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
