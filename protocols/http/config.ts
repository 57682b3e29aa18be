/** Settings of HTTP: a connection that listens (`listen`, for sources) or a client (without it, for targets), and `from`. */
import { kinds } from '../../src/adapter/kinds.ts'
import type { SettingsProblem } from '../../src/adapter/protocol.ts'
import { HttpListenerConnection } from './listener/config.ts'
import { listenerProblems } from './listener/config-problems.ts'
import { HttpClientConnection } from './target.ts'

export const HttpConnection = kinds(
  { listen: HttpListenerConnection },
  {
    foreign: (key, teller) => `\`${key}\` belongs to a connection with \`${teller}\``,
  },
  HttpClientConnection,
)
export type HttpConnection = HttpListenerConnection | HttpClientConnection

export const isListener = (connection: HttpConnection): connection is HttpListenerConnection => 'listen' in connection

export const checkConnection = (connection: HttpConnection): readonly SettingsProblem[] =>
  isListener(connection) ? listenerProblems(connection) : []
