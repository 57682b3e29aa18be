/** The sockets devices come in by: tcp, tls, and websockets over either. */
import { readFileSync } from 'node:fs'
import type http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import { createWebSocketStream, type WebSocket, WebSocketServer } from 'ws'
import { messageOf, PermanentError, RetryableError } from '../../../src/errors.ts'
import type { Limits, ListenAddress, ListenerTls } from './config.ts'

// An `import` of these reads all their exports, and so loads undici, which no broker needs.
const { createServer: createHttpServer } = process.getBuiltinModule('node:http')
const { createServer: createHttpsServer } = process.getBuiltinModule('node:https')

const maxConnectBytes = 80 * 1024 // a CONNECT of 64 KiB and the frames around it

/** Connections that wait to be accepted: after a restart all devices come at once. The system may allow fewer. */
const backlog = 4_096

/** A connection before its CONNECT. */
export interface Incoming {
  readonly conn: Duplex
  /** The peer's address. */
  readonly address: string
  /** Told when CONNECT came. */
  onConnect(): void
}

export interface ListenerOptions {
  readonly tls: ListenerTls | undefined
  readonly limits: Limits
  onIncoming(incoming: Incoming): void
  onTooMany(): void
}

/** All listeners of one broker; `connections` counts sockets, whatever state they are in. */
export class Listeners {
  readonly #options: ListenerOptions
  readonly #servers: net.Server[] = []
  readonly #sockets = new Set<net.Socket>()

  constructor(options: ListenerOptions) {
    this.#options = options
  }

  get connections(): number {
    return this.#sockets.size
  }

  /** Ports in the order of the addresses, for port 0. */
  get ports(): readonly number[] {
    return this.#servers.map((server) => (server.address() as AddressInfo | null)?.port ?? 0)
  }

  /** Opens one after the other; rejects at the first that cannot be had, with none left open. */
  async open(addresses: readonly ListenAddress[]): Promise<void> {
    try {
      for (const address of addresses) {
        const server = this.#createServer(address)
        this.#count(server)
        await listen(server, address)
        this.#servers.push(server)
      }
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Takes no new connections; those there are live on. */
  stop(): void {
    for (const server of this.#servers) server.close()
  }

  close(): void {
    this.stop()
    for (const socket of this.#sockets) socket.destroy()
  }

  #count(server: net.Server): void {
    server.on('connection', (socket: net.Socket) => {
      socket.on('error', () => {})
      if (this.#sockets.size >= this.#options.limits.maxConnections) {
        socket.destroy()
        this.#options.onTooMany()
        return
      }
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
  }

  #createServer(address: ListenAddress): net.Server {
    if (address.scheme === 'mqtt') return net.createServer({ noDelay: true }, (socket) => this.#onSocket(socket))
    if (address.scheme === 'ws') return this.#withWebSockets(createHttpServer(this.#httpOptions()))
    const secure = { ...readTls(this.#options.tls, address), handshakeTimeout: this.#options.limits.connectTimeoutMs }
    if (address.scheme === 'wss') return this.#withWebSockets(createHttpsServer({ ...secure, ...this.#httpOptions() }))
    const server = tls.createServer({ ...secure, noDelay: true }, (socket) => this.#onSocket(socket))
    server.on('tlsClientError', (_error, socket) => socket.destroy()) // at a handshake timeout node leaves it open
    return server
  }

  #httpOptions(): http.ServerOptions {
    const timeoutMs = this.#options.limits.connectTimeoutMs
    const timeouts = { headersTimeout: timeoutMs, requestTimeout: timeoutMs, keepAliveTimeout: 1 }
    return { ...timeouts, connectionsCheckingInterval: 1_000, noDelay: true }
  }

  #onSocket(socket: net.Socket): void {
    if (socket.destroyed) return
    this.#options.onIncoming({ conn: socket, address: socket.remoteAddress ?? '', onConnect: () => {} })
  }

  #withWebSockets(server: http.Server): net.Server {
    server.on('request', (_request, response) => {
      response.writeHead(426, { connection: 'close' }).end('This port speaks MQTT over websockets.\n')
    })
    server.on('clientError', (_error, socket) => socket.destroy())
    const sockets = new WebSocketServer({
      server,
      maxPayload: this.#options.limits.maxPacketBytes + 64 * 1024,
      perMessageDeflate: false,
      handleProtocols: (offered) => ['mqtt', 'mqttv3.1'].find((name) => offered.has(name)) ?? false,
    })
    sockets.on('error', () => {}) // the server's own errors, which `listen` reports
    sockets.on('connection', (socket, request) => this.#onWebSocket(socket, request.socket))
    return server
  }

  #onWebSocket(webSocket: WebSocket, socket: net.Socket): void {
    const conn = createWebSocketStream(webSocket)
    // [MQTT-6.0.0-1]
    webSocket.on('message', (_data, isBinary) => isBinary || webSocket.terminate())
    // a frame is put together before anybody sees its bytes: until CONNECT they are counted on the wire
    let bytes = 0
    const countBytes = (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > maxConnectBytes) socket.destroy()
    }
    socket.on('data', countBytes)
    const onConnect = () => socket.off('data', countBytes)
    this.#options.onIncoming({ conn, address: socket.remoteAddress ?? '', onConnect })
  }
}

async function listen(server: net.Server, { host, port, text }: ListenAddress): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ host, port, backlog }, resolve)
  try {
    await promise
  } catch (error) {
    throw listenError(error, text)
  }
  server.off('error', reject)
  server.on('error', () => {}) // such as too many open files at accept: the listener itself lives on
}

function listenError(error: unknown, text: string): PermanentError | RetryableError {
  const { code } = error as NodeJS.ErrnoException
  const options = { cause: error }
  if (code === 'EADDRINUSE') return new PermanentError('PORT_IN_USE', `${text} is in use by another process`, options)
  if (code === 'EACCES') return new PermanentError('ACCESS_DENIED', `this user may not listen on ${text}`, options)
  return new RetryableError('PEER_UNREACHABLE', `cannot listen on ${text}: ${messageOf(error)}`, options)
}

function readTls(settings: ListenerTls | undefined, address: ListenAddress): tls.TlsOptions {
  const { cert, key, ca } = settings ?? {}
  if (!cert || !key) throw new PermanentError('CONFIG_INVALID', `${address.text} needs tls.cert and tls.key`)
  const read = {
    cert: readPem(cert),
    key: readPem(key),
    minVersion: 'TLSv1.2' as const,
    ...(ca === undefined ? {} : { ca: readPem(ca), requestCert: true, rejectUnauthorized: true }),
  }
  try {
    tls.createSecureContext(read)
  } catch (error) {
    const message = `the certificate for ${address.text} cannot be used: ${messageOf(error)}`
    throw new PermanentError('CONFIG_INVALID', message, { cause: error })
  }
  return read
}

function readPem(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new PermanentError('FILE_MISSING', `cannot read ${file}: ${messageOf(error)}`, { cause: error })
  }
}
