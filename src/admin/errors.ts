import type { ErrorRequestHandler } from 'express'
import { GatewayError, messageOf } from '../errors.ts'

const statusOf: Readonly<Record<string, number>> = { USAGE: 400, NOT_FOUND: 404, CONFIG_INVALID: 400 }

const tooLarge = 'the body exceeds 1 MiB; to edit a larger message, stop the gateway first'

/** Errors of ours, and those of express about a request it cannot read: all but bugs are the asker's to mend. */
export const tellError: ErrorRequestHandler = (error, _request, response, next) => {
  if (response.headersSent) return next(error) // the export breaks off: its reader sees a connection that was cut
  if (error instanceof GatewayError) {
    response.status(statusOf[error.code] ?? 503).json({ error: error.message, code: error.code })
    return
  }
  const { status = 500 } = error as { status?: number }
  const isAskers = status >= 400 && status < 500
  const text = status === 413 ? tooLarge : messageOf(error)
  response.status(isAskers ? status : 500).json({ error: text, code: isAskers ? 'USAGE' : 'INTERNAL' })
}
