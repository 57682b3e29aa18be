/** Paths of events: as a target makes them, and as a reader asks for them. Pure. */
import type { DestinationKind } from '../../../src/adapter/protocol.ts'
import { encodePart } from '../client/url.ts'

const mostCharacters = 8_192

/** A value stays one level; different values give different paths. */
export const eventsDestination: DestinationKind = { separator: '/', encode: encodePart, check: eventsProblem }

function eventsProblem(path: string): string | undefined {
  if (!path.startsWith('/')) return 'a path begins with `/`'
  if (path.length > mostCharacters) return `the path has more than ${mostCharacters} characters`
  if (/[?#\p{Cc}]/u.test(path)) return 'a path has no `?`, no `#` and no control characters'
  return canonical(path) === undefined ? 'a level of the path is `.` or `..`, or no text' : undefined
}

/** The one way to write a path, each level encoded; undefined where it is none. */
export function canonical(path: string): string | undefined {
  try {
    const levels = path.split('/').map((level) => decodeURIComponent(level))
    if (levels.some((level) => level === '.' || level === '..')) return undefined
    return levels.map((level) => encodeURIComponent(level)).join('/')
  } catch {
    return undefined
  }
}

/** The path of a request, without its query. */
export function requestedPath(target: string): string | undefined {
  const [, path] = /^(?:https?:\/\/[^/?#]*)?(\/[^?#]*)/i.exec(target) ?? []
  return path === undefined || path.length > mostCharacters ? undefined : canonical(path)
}

/** Which paths a template can make: those that begin as it does. It may say yes to more. */
export function canMake(template: string, path: string): boolean {
  const [written = ''] = /^(?:[^{]|\{\{)*/.exec(template) ?? []
  const prefix = canonical(written.replaceAll('{{', '{').replaceAll('}}', '}')) ?? '/'
  return written.length === template.length ? path === prefix : path.startsWith(prefix) && path !== prefix
}
