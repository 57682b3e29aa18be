/** Settings of HTTP: a connection that listens (`listen`) or a client (without it), `from` and `to`. */
import { z } from 'zod'
import type { Door } from '../../src/adapter/door.ts'
import { kinds } from '../../src/adapter/kinds.ts'
import type { AddressPattern, SettingsProblem } from '../../src/adapter/protocol.ts'
import { refuse } from '../../src/adapter/schema.ts'
import { EventsTarget } from './events/config.ts'
import { HttpListenerConnection } from './listener/config.ts'
import { listenerProblems } from './listener/config-problems.ts'
import { clientProblems, HttpClientConnection, HttpTarget, targetProblems } from './target.ts'

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
  isListener(connection) ? listenerProblems(connection) : clientProblems(connection)

export const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

export const HttpFrom = z.strictObject({
  path: z
    .string()
    .superRefine(refuse(pathProblem))
    .meta({
      description:
        'Path of the requests, decoded: `*` and `{name}` are one level, `**` and `{name#}` all that remain. The query is `headers.query`.',
      examples: ['/devices/{device}/events'],
    }),
  method: z.enum(methods).default('POST').meta({ description: 'Method of the requests.' }),
  maxInFlight: z.int().min(1).max(65_535).optional().meta({
    description:
      'Unsettled messages before requests are answered 429; of the routes of a listener the least counts. Default: that of the connection.',
  }),
})
export interface HttpFrom extends z.infer<typeof HttpFrom> {
  /** One of the gateway's own, with its paths in the place of `path`. */
  readonly door?: Door
}

function pathProblem(text: string): string | undefined {
  if (!text.startsWith('/')) return 'a path begins with `/`'
  if (/[?\p{Cc}]/u.test(text)) return 'a path has no query and no control characters'
  if (text.includes('%')) return 'a path stands here decoded: write its characters as they are'
  const levels = text.split('/')
  if (levels.some((level) => level === '.' || level === '..')) return 'no request has a level `.` or `..`'
  return undefined
}

export const pathsOf = ({
  path,
  door,
}: {
  readonly path: string
  readonly door?: Door | undefined
}): readonly string[] => door?.paths ?? [path]

/** For routing and captures. */
export const pathPatterns = (from: HttpFrom): readonly AddressPattern[] =>
  pathsOf(from).map((text) => ({ text, separator: '/', one: '*', rest: '**' }))

export function checkFrom(_: HttpFrom, connection: HttpConnection): readonly SettingsProblem[] {
  if (isListener(connection)) return []
  return [{ path: [], message: 'a source needs a connection with `listen`', help: 'listen: "http://127.0.0.1:8080"' }]
}

export const HttpTo = kinds(
  { events: EventsTarget },
  {
    foreign: (key, teller) => `\`${key}\` belongs to a target with \`${teller}\``,
  },
  HttpTarget,
)
export type HttpTo = HttpTarget | EventsTarget

export const isEvents = (target: HttpTo): target is EventsTarget => 'events' in target

export function checkTo(target: HttpTo, connection: HttpConnection): readonly SettingsProblem[] {
  if (isEvents(target)) return isListener(connection) ? [] : [needsListener]
  return isListener(connection) ? [listens] : targetProblems(target, connection)
}

const listens = {
  path: [],
  message: 'the connection listens: its targets have `events`; those with `url` need one without `listen`',
}
const needsListener = {
  path: ['events'],
  message: 'readers need a connection with `listen`',
  help: 'listen: "http://127.0.0.1:8080"',
}
