/** MQTT over websockets, at a server of http or https. */
import type http from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createWebSocketStream, type WebSocket, WebSocketServer } from 'ws'
import { isLoopback } from '../../../src/adapter/loopback.ts'
import type { Limits, ListenAddress } from './config.ts'
import { mayOpen } from './origins.ts'

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

function onWebSocket(webSocket: WebSocket, socket: Socket, { onSocket }: WebSocketOptions): void {
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
  onSocket(socket, { conn, onConnect: () => socket.off('data', countBytes) })
}
