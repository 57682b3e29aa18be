/** The servers of one connection: their sockets, certificates and deadlines. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Context } from '../../../src/adapter/contract.ts'
import { listenOn } from '../../../src/adapter/listen.ts'
import { ServerCertificates } from '../../../src/adapter/server-certificates.ts'
import { type HttpListenerConnection, type ListenAddress, listenAddresses } from './config.ts'
import { type Problem, problemBytes } from './problem.ts'

// An `import` of these reads all their exports, and so loads undici, which no listener needs.
const { createServer } = process.getBuiltinModule('node:http')
const { createServer: createSecureServer } = process.getBuiltinModule('node:https')

/** How often deadlines are looked at; how long answers may take to leave at the end. Milliseconds. */
const lookMs = 1_000
const farewellMs = 1_000

export type Handler = (request: IncomingMessage, response: ServerResponse) => void

export class Listener {
  readonly #connection: HttpListenerConnection
  readonly #certificates: ServerCertificates
  readonly #handler: Handler
  readonly #context: Context
  readonly #servers: Server[] = []
  /** By socket: requests that have begun, and have no whole answer yet. */
  readonly #unanswered = new WeakMap<object, number>()

  constructor(connection: HttpListenerConnection, context: Context, handler: Handler) {
    this.#connection = connection
    this.#certificates = new ServerCertificates(connection.tls, context.log)
    this.#context = context
    this.#handler = (request, response) => {
      this.#begun(request.socket, response)
      handler(request, response)
    }
  }

  /** Opens one after the other; rejects as `listenOn` at the first that cannot be had, with none left open. */
  async open(): Promise<void> {
    try {
      for (const address of listenAddresses(this.#connection)) {
        const server = this.#createServer(address)
        await listenOn(server, address, this.#context.connection)
        this.#servers.push(server)
      }
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Answers that are written leave; then no connection is left. */
  async close(): Promise<void> {
    this.#certificates.close()
    await Promise.all(this.#servers.splice(0).map(closed))
  }

  #createServer(address: ListenAddress): Server {
    const options = this.#options()
    const server =
      address.scheme === 'http'
        ? createServer(options, this.#handler)
        : createSecureServer({ ...options, ...this.#certificates.options(address.text) }, this.#handler)
    if ('setSecureContext' in server) this.#certificates.renew(server)
    server.maxConnections = this.#connection.maxConnections
    server.on('drop', () => this.#context.count('http_connections_refused'))
    server.on('checkContinue', this.#handler) // whoever reads the body asks for it
    server.on('clientError', (error, socket) => this.#notUnderstood(error, socket as Socket))
    server.on('tlsClientError', (_error, socket) => socket.destroy()) // at a handshake timeout node leaves it open
    return server
  }

  #options() {
    const { headerTimeout, bodyTimeout, idleTimeout, maxHeaderSize } = this.#connection
    return {
      headersTimeout: headerTimeout,
      requestTimeout: headerTimeout + bodyTimeout + lookMs, // of the body the app is stricter
      handshakeTimeout: headerTimeout,
      keepAliveTimeout: idleTimeout,
      connectionsCheckingInterval: lookMs,
      maxHeaderSize,
      insecureHTTPParser: false,
    }
  }

  #begun(socket: object, response: ServerResponse): void {
    this.#unanswered.set(socket, (this.#unanswered.get(socket) ?? 0) + 1)
    response.once('close', () => this.#unanswered.set(socket, (this.#unanswered.get(socket) ?? 1) - 1))
  }

  /** Bytes that are no request. Where another request waits for its answer, this would be taken for that. */
  #notUnderstood(error: NodeJS.ErrnoException, socket: Socket): void {
    const isFirst = (this.#unanswered.get(socket) ?? 0) === 0
    if (!isFirst || !socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
    const problem = problems[error.code ?? ''] ?? malformed
    this.#context.count(`http_${problem.status}`)
    socket.end(problemBytes(problem))
  }
}

const malformed: Problem = { status: 400, code: 'MESSAGE_MALFORMED', detail: 'this is no request of HTTP/1.1' }
const problems: Readonly<Record<string, Problem>> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    code: 'MESSAGE_TOO_LARGE',
    detail: 'the headers are larger than `maxHeaderSize`',
  },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, code: 'PEER_TIMEOUT', detail: 'the request took too long to arrive' },
}

async function closed(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  server.close(() => resolve())
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), farewellMs)
  await promise
  clearTimeout(timer)
}
