/** HTTP: a server whose requests are messages (`listen`), and a client of other servers. */
import { defineProtocol } from '../../src/adapter/protocol.ts'
import { checkConnection, HttpConnection } from './config.ts'

export const http = defineProtocol<HttpConnection, unknown, unknown>({
  name: 'http',
  summary: 'HTTP/1.1: webhooks and requests in, calls out.',
  connection: HttpConnection,
  defaultFormat: 'binary',
  checkConnection,
})
