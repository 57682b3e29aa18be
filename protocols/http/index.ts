/** HTTP: a server whose requests are messages (`listen`), and a client of other servers. */
import { defineProtocol } from '../../src/adapter/protocol.ts'
import { checkConnection, checkFrom, HttpConnection, HttpFrom, pathPattern } from './config.ts'
import type { HttpListenerConnection } from './listener/config.ts'
import { HttpSource } from './source.ts'

export const http = defineProtocol<HttpConnection, HttpFrom, unknown>({
  name: 'http',
  summary: 'HTTP/1.1: webhooks and requests in, calls out.',
  connection: HttpConnection,
  defaultFormat: 'binary',
  checkConnection,
  source: {
    schema: HttpFrom,
    check: checkFrom,
    patterns: (from) => [pathPattern(from)],
    group: () => '',
    create: (connection, froms, context) => new HttpSource(connection as HttpListenerConnection, froms, context),
    defaultAcknowledge: 'stored',
    asks: {},
  },
})
