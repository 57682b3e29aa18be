/** MQTT over websockets, at a server of http or https. */
import type http from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createWebSocketStream, type WebSocket, WebSocketServer } from 'ws'
import { isLoopback } from '../../../../src/adapter/loopback.ts'
import type { Limits, ListenAddress } from '../config.ts'
import { mayOpen } from './origins.ts'
import type { Unfinished } from './unfinished.ts'

/** Each is an object of its own until the last has come. */
const maxFragments = 1_024
const maxConnectBytes = 80 * 1024 // a CONNECT of 64 KiB and the frames around it

/** What the broker speaks through, and is to say when CONNECT came. */
export interface Channel {
  readonly conn: Duplex
  onConnect(): void
}

export interface WebSocketOptions {
  readonly address: ListenAddress
  readonly limits: Limits
  readonly origins: readonly string[] | undefined
  readonly unfinished: Unfinished
  onSocket(socket: Socket, channel: Channel): void
  onForeign(origin: string, address: string): void
}

export function withWebSockets<T extends http.Server>(server: T, options: WebSocketOptions): T {
  server.on('request', (_request, response) => {
    response.writeHead(426, { connection: 'close' }).end('This port speaks MQTT over websockets.\n')
  })
  server.on('clientError', (_error, socket) => socket.destroy())
  const sockets = new WebSocketServer({
    server,
    maxPayload: options.limits.maxPacketBytes + 64 * 1024,
    perMessageDeflate: false,
    maxFragments,
    handleProtocols: (offered) => ['mqtt', 'mqttv3.1'].find((name) => offered.has(name)) ?? false,
    verifyClient: ({ req }, answer) => (isWelcome(req, options) ? answer(true) : answer(false, 403, 'origin refused')),
  })
  sockets.on('error', () => {}) // the server's own errors, which `listen` reports
  sockets.on('connection', (socket, request) => onWebSocket(socket, request.socket, options))
  return server
}

function isWelcome({ headers: { origin, host }, socket }: http.IncomingMessage, options: WebSocketOptions): boolean {
  if (mayOpen({ origin, host }, options.origins, isLoopback(options.address.host))) return true
  options.onForeign(origin ?? '', socket.remoteAddress ?? '')
  return false
}

function onWebSocket(webSocket: WebSocket, socket: Socket, { unfinished, onSocket }: WebSocketOptions): void {
  const conn = createWebSocketStream(webSocket)
  const holding = unfinished.hold(() => socket.destroy())
  // a message is put together before anybody sees its bytes: they are counted on the wire, before it is
  let bytes = 0
  let maxBytes = maxConnectBytes
  socket.prependListener('data', (chunk: Buffer) => {
    bytes += chunk.length
    holding.set(bytes)
    if (bytes > maxBytes) socket.destroy()
  })
  socket.once('close', () => holding.close())
  webSocket.on('error', () => webSocket.terminate()) // after a broken frame ws would wait 30 s for a farewell
  webSocket.on('message', (_data, isBinary) => {
    if (!isBinary) webSocket.terminate() // [MQTT-6.0.0-1]
    if (maxBytes === maxConnectBytes) return // before CONNECT all count together
    bytes = 0
    holding.set(0)
  })
  onSocket(socket, { conn, onConnect: () => (maxBytes = Number.POSITIVE_INFINITY) })
}
