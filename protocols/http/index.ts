/** HTTP: a server whose requests are messages (`listen`), and a client of other servers. */
import { defineProtocol } from '../../src/adapter/protocol.ts'
import { shownUrl, urlDestination } from './client/url.ts'
import { checkConnection, checkFrom, HttpConnection, HttpFrom, isListener, pathPattern } from './config.ts'
import type { HttpListenerConnection } from './listener/config.ts'
import { HttpSink } from './sink.ts'
import { HttpSource } from './source.ts'
import { HttpClientConnection, HttpTarget, targetProblems } from './target.ts'

export const http = defineProtocol<HttpConnection, HttpFrom, HttpTarget>({
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
    asks: { waitsMs: (connection) => (isListener(connection) ? connection.answerTimeout : undefined) },
  },
  sink: {
    schema: HttpTarget,
    check: (target, connection) => (isListener(connection) ? [listens] : targetProblems(target, connection)),
    destinations: { url: urlDestination },
    plainTemplates: ['headers', 'query', 'key'],
    address: ({ url }) => shownUrl(url),
    isHeardBySources: () => false,
    targetOf: (url, key) => HttpTarget.parse(key === undefined ? { url } : { url, key }),
    create: (connection, context) => new HttpSink(clientOf(connection), context),
    answers: true,
  },
})

const listens = { path: [], message: 'the connection listens: name one without `listen` for targets' }

/** The check of a target has refused the others. */
const clientOf = (connection: HttpConnection): HttpClientConnection =>
  isListener(connection) ? HttpClientConnection.parse({}) : connection
