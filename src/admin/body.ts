import express, { type RequestHandler } from 'express'
import { PermanentError } from '../errors.ts'

/** Largest body of a request. */
const maxBytes = 1024 ** 2
/** Deepest body: what is deeper costs a parser seconds. */
const maxDepth = 64

const [openBracket, closeBracket, openBrace, closeBrace, quote, backslash] = Buffer.from('[]{}"\\') as Buffer &
  [number, number, number, number, number, number]

const onlyJson: RequestHandler = (request, response, next) => {
  if (request.is('application/json')) return next()
  response.status(415).json({ error: 'send a body with Content-Type: application/json', code: 'USAGE' })
}

/** A body as JSON, within its bounds, and uncompressed: what is small on the wire is small here. */
export const jsonBody: readonly RequestHandler[] = [
  onlyJson,
  express.json({ limit: maxBytes, inflate: false, verify: (_request, _response, bytes) => checkDepth(bytes) }),
]

function checkDepth(bytes: Uint8Array): void {
  let depth = 0
  let isText = false
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at]
    if (isText) {
      if (byte === backslash) at += 1
      else if (byte === quote) isText = false
    } else if (byte === quote) isText = true
    else if (byte === closeBracket || byte === closeBrace) depth -= 1
    else if ((byte === openBracket || byte === openBrace) && ++depth > maxDepth) {
      throw new PermanentError('USAGE', `the body is nested deeper than ${maxDepth} levels`)
    }
  }
}
