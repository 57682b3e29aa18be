import type { Server } from 'node:net'
import { messageOf, PermanentError, RetryableError } from '../errors.ts'

/** Connections that wait to be accepted: after a restart all clients come at once. The system may allow fewer. */
const backlog = 4_096

interface Place {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  /** As the user wrote it. */
  readonly text: string
}

/**
 * Resolves when the server listens; `connection` is whose it is, for what is told. Rejects with PermanentError, PORT_IN_USE or ACCESS_DENIED, or with a RetryableError, such as for an
 * address that this machine has not got yet.
 */
export async function listenOn(server: Server, { host, port, text }: Place, connection: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ host, port, backlog }, resolve)
  try {
    await promise
  } catch (error) {
    throw listenError(error, text, connection)
  }
  server.off('error', reject)
  server.on('error', () => {}) // such as too many open files at accept: the listener itself lives on
}

function listenError(error: unknown, text: string, connection: string): PermanentError | RetryableError {
  const { code } = error as NodeJS.ErrnoException
  const options = { cause: error }
  if (code === 'EADDRINUSE') {
    const message = `${connection} cannot listen on ${text}: another process uses this port; change its \`listen\``
    return new PermanentError('PORT_IN_USE', message, options)
  }
  if (code === 'EACCES')
    return new PermanentError('ACCESS_DENIED', `${connection}: this user may not listen on ${text}`, options)
  return new RetryableError('PEER_UNREACHABLE', `cannot listen on ${text}: ${messageOf(error)}`, options)
}
