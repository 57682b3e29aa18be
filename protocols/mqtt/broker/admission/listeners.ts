/** The sockets devices come in by: tcp, tls, and websockets over either. */
import type http from 'node:http'
import net, { type AddressInfo, type Socket } from 'node:net'
import tls from 'node:tls'
import type { Log } from '../../../../src/adapter/contract.ts'
import { listenOn } from '../../../../src/adapter/listen.ts'
import { ServerCertificates } from '../../../../src/adapter/server-certificates.ts'
import type { Limits, ListenAddress, ListenerTls } from '../config.ts'
import { certifiedName } from './identity.ts'
import { type NoSeat, Seats } from './seats.ts'
import type { Unfinished } from './unfinished.ts'
import { type Channel, withWebSockets } from './websockets.ts'

// An `import` of these reads all their exports, and so loads undici, which no broker needs.
const { createServer: createHttpServer } = process.getBuiltinModule('node:http')
const { createServer: createHttpsServer } = process.getBuiltinModule('node:https')

/** A connection before its CONNECT. */
export interface Incoming extends Channel {
  /** The peer's address. */
  readonly address: string
  /** Whom its certificate names; undefined: it shows none, or nobody asks whom it names. */
  readonly certifiedAs: string | undefined
}

export interface ListenerOptions {
  /** Name of the connection, for what is told. */
  readonly connection: string
  readonly tls: ListenerTls | undefined
  readonly origins: readonly string[] | undefined
  readonly limits: Limits
  readonly unfinished: Unfinished
  readonly log: Log
  onIncoming(incoming: Incoming): void
  onNoSeat(reason: NoSeat, address: string): void
  /** A page of a browser that may not open a websocket. */
  onForeign(origin: string, address: string): void
}

/** All listeners of one broker; `connections` counts sockets, whatever state they are in. */
export class Listeners {
  readonly #options: ListenerOptions
  readonly #seats: Seats
  readonly #certificates: ServerCertificates
  readonly #servers: net.Server[] = []
  readonly #sockets = new Set<Socket>()
  /** Those whose CONNECT has not come, the longest first. */
  readonly #silent = new Map<string, { readonly socket: Socket; leave(): void }>()

  constructor(options: ListenerOptions) {
    this.#options = options
    this.#seats = new Seats(options.limits)
    this.#certificates = new ServerCertificates(options.tls, options.log)
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
        server.on('connection', (socket: Socket) => this.#admit(socket))
        await listenOn(server, address, this.#options.connection)
        this.#servers.push(server)
      }
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Takes no new connections; those there are live on. */
  stop(): void {
    this.#certificates.close()
    for (const server of this.#servers) server.close()
  }

  close(): void {
    this.stop()
    for (const socket of this.#sockets) socket.destroy()
  }

  #admit(socket: Socket): void {
    socket.on('error', () => {})
    const leave = this.#takeSeat(socket.remoteAddress ?? '')
    if (leave === undefined) {
      socket.destroy()
      return
    }
    const key = keyOf(socket)
    this.#sockets.add(socket)
    this.#silent.set(key, { socket, leave })
    socket.once('close', () => {
      leave()
      this.#sockets.delete(socket)
      if (this.#silent.get(key)?.socket === socket) this.#silent.delete(key)
    })
  }

  /** Where all seats are taken, whoever has been silent the longest gives its own up. */
  #takeSeat(address: string): (() => void) | undefined {
    const seat = this.#seats.take(address)
    if (typeof seat !== 'string') return seat
    const [oldest] = seat === 'address' ? [] : this.#silent
    if (oldest === undefined) {
      this.#options.onNoSeat(seat, address)
      return undefined
    }
    const [key, { socket, leave }] = oldest
    this.#options.onNoSeat(seat, socket.remoteAddress ?? '')
    this.#silent.delete(key)
    leave()
    socket.destroy()
    return this.#takeSeat(address)
  }

  #onSocket(socket: Socket, channel: Channel = { conn: socket, onConnect: () => {} }): void {
    if (socket.destroyed) return
    const key = keyOf(socket)
    this.#options.onIncoming({
      conn: channel.conn,
      address: socket.remoteAddress ?? '',
      certifiedAs: certifiedName(socket, this.#options.tls?.identity),
      onConnect: () => {
        this.#silent.delete(key)
        channel.onConnect()
      },
    })
  }

  #createServer(address: ListenAddress): net.Server {
    if (address.scheme === 'mqtt') return net.createServer({ noDelay: true }, (socket) => this.#onSocket(socket))
    if (address.scheme === 'ws') return this.#withWebSockets(createHttpServer(this.#httpOptions()), address)
    const handshakeTimeout = this.#options.limits.connectTimeoutMs
    const secure = { ...this.#certificates.options(address.text), handshakeTimeout }
    const server =
      address.scheme === 'wss'
        ? this.#withWebSockets(createHttpsServer({ ...secure, ...this.#httpOptions() }), address)
        : tls.createServer({ ...secure, noDelay: true }, (socket) => this.#onSocket(socket))
    server.on('tlsClientError', (_error, socket) => socket.destroy()) // at a handshake timeout node leaves it open
    this.#certificates.renew(server)
    return server
  }

  #withWebSockets<T extends http.Server>(server: T, address: ListenAddress): T {
    const { limits, origins, unfinished, onForeign } = this.#options
    const onSocket = (socket: Socket, channel: Channel) => this.#onSocket(socket, channel)
    return withWebSockets(server, { address, limits, origins, unfinished, onSocket, onForeign })
  }

  #httpOptions(): http.ServerOptions {
    const timeoutMs = this.#options.limits.connectTimeoutMs
    const timeouts = { headersTimeout: timeoutMs, requestTimeout: timeoutMs, keepAliveTimeout: 1 }
    return { ...timeouts, connectionsCheckingInterval: 1_000, noDelay: true }
  }
}

/** The same of a socket and of the tls over it. */
function keyOf({ remoteAddress, remotePort, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localPort}`
}
