/** HTTP: a server whose requests are messages and whose readers follow them (`listen`), and a client of other servers. */
import { defineProtocol } from '../../src/adapter/protocol.ts'
import { shownUrl, urlDestination } from './client/url.ts'
import {
  checkConnection,
  checkFrom,
  checkTo,
  HttpConnection,
  HttpFrom,
  HttpTo,
  isEvents,
  isListener,
  pathPatterns,
} from './config.ts'
import { eventsDestination } from './events/paths.ts'
import { EventsSink } from './events/sink.ts'
import { doorListener, type HttpListenerConnection } from './listener/config.ts'
import { HttpSink } from './sink.ts'
import { HttpSource } from './source.ts'
import { HttpClientConnection, HttpTarget } from './target.ts'

export const http = defineProtocol<HttpConnection, HttpFrom, HttpTo>({
  name: 'http',
  summary: 'HTTP/1.1: webhooks and requests in, calls and events out.',
  connection: HttpConnection,
  defaultFormat: 'binary',
  checkConnection,
  source: {
    schema: HttpFrom,
    check: checkFrom,
    patterns: pathPatterns,
    group: () => '',
    create: (connection, froms, context) => new HttpSource(connection as HttpListenerConnection, froms, context),
    defaultAcknowledge: 'stored',
    asks: { waitsMs: (connection) => (isListener(connection) ? connection.answerTimeout : undefined) },
    doors: { connection: doorListener, from: (door) => ({ path: door.paths[0] ?? '/', method: 'POST', door }) },
  },
  sink: {
    schema: HttpTo,
    check: checkTo,
    destinations: { url: urlDestination, events: eventsDestination },
    plainTemplates: ['headers', 'query', 'key'],
    address: (target) => (isEvents(target) ? target.events.slice(1) : shownUrl(target.url)),
    isHeardBySources: () => false,
    choosesHost: true,
    targetOf: (url, key) => HttpTarget.parse(key === undefined ? { url } : { url, key }),
    outside: (connection) => (isListener(connection) ? HttpClientConnection.parse({}) : connection),
    create: (connection, context) =>
      isListener(connection) ? new EventsSink(connection, context) : new HttpSink(connection, context),
    answers: (connection) => !isListener(connection),
  },
})
