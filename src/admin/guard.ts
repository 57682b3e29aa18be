import { createHash, timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'
import type { RequestHandler } from 'express'

const loopbackNames = new Set(['localhost', '127.0.0.1', '::1'])

/**
 * On a loopback address only requests that name it by address or `localhost` are answered: a page in a browser that had
 * its own name resolve to 127.0.0.1 (DNS rebinding) is not.
 */
export function onlyOwnHost(listenHost: string): RequestHandler {
  const isLoopback = loopbackNames.has(listenHost)
  return (request, response, next) => {
    const host = (request.headers.host ?? '').replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
    if (!isLoopback || loopbackNames.has(host) || isIP(host) !== 0) next()
    else response.status(421).json({ error: 'this address answers to localhost only', code: 'ACCESS_DENIED' })
  }
}

/** Everything behind it wants the token, compared in constant time. */
export function onlyWithToken(token: string | undefined): RequestHandler {
  if (token === undefined || token === '') return (_request, _response, next) => next()
  const expected = digest(`Bearer ${token}`)
  return (request, response, next) => {
    if (timingSafeEqual(digest(request.headers.authorization ?? ''), expected)) next()
    else
      response
        .status(401)
        .set('WWW-Authenticate', 'Bearer')
        .json({ error: 'send Authorization: Bearer <token>', code: 'CREDENTIALS_REFUSED' })
  }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
