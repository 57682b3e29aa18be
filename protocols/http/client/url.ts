/** Where a request goes: URLs that templates make. Pure. */
import type { DestinationKind } from '../../../src/adapter/protocol.ts'

/** Servers take no longer ones. */
const mostCharacters = 8_192

/** Begins what stands for a value that must not stand in a URL: no escape begins like that, so that `check` finds it. */
const noValue = '%~'

/** A value stays within its part of the path, or of the host; different values give different URLs. */
export const urlDestination: DestinationKind = { separator: '/', encode: encodePart, check: urlProblem }

/** A value as one part of a path; one that cannot stand in a path is marked, and refused as the whole is checked. */
export function encodePart(value: string): string {
  if (value === '' || value === '.' || value === '..') return noValue + value
  return value.isWellFormed() ? encodeURIComponent(value) : noValue + Buffer.from(value, 'utf16le').toString('hex')
}

/** What is wrong with a URL to send to, or undefined. */
export function urlProblem(text: string): string | undefined {
  if (!/^https?:\/\/[^/?#]/i.test(text)) return 'expected http:// or https:// and a host'
  if (text.length > mostCharacters) return `the URL has more than ${mostCharacters} characters`
  if (/[\s\p{Cc}\\#]/u.test(text)) return 'the URL has white space, a `\\` or a `#`'
  if (/%(?![0-9a-f]{2})/i.test(text)) return 'a part of the URL is empty, `.`, `..` or no text'
  if (/^[^/]*\/\/[^/?]*@/.test(text)) return 'the URL has a user: name it in `auth` of the connection'
  if (!URL.canParse(text)) return 'the URL has no valid host or port'
  return pathProblem(/^[^/]*\/\/[^/?]*\/([^?]*)/.exec(text)?.[1] ?? '')
}

function pathProblem(path: string): string | undefined {
  const parts = path.split('/')
  if (parts.slice(0, -1).includes('')) return 'a part of the path is empty'
  return parts.some((part) => /^(\.|%2e){1,2}$/i.test(part)) ? 'a part of the path is `.` or `..`' : undefined
}

/** True where messages choose the host, or a part of it. */
export const hasTemplatedHost = (template: string): boolean =>
  /^[^/]*(\/\/[^/?]*)?\{/.test(template.replaceAll('{{', ''))

/** Without scheme and query, which may hold secrets; of a template too. */
export const shownUrl = (url: string): string => url.replace(/^https?:\/\//i, '').replace(/\?.*$/s, '')

/** A URL taken apart, with the parameters of `query`. */
export interface Place {
  readonly origin: string
  /** Without the brackets of IPv6. */
  readonly host: string
  /** With what stands behind `?`. */
  readonly path: string
}

interface Wanted {
  readonly url: string
  readonly query?: Readonly<Record<string, string>> | undefined
}

/** Targets without templates are one object for all messages. */
const known = new WeakMap<Wanted, Place>()
/** URLs as they are written, the latest ones: messages have few of them, or one each. */
const recent = new Map<string, Place>()
const mostRecent = 1_000

export function placeOf(target: Wanted): Place {
  if (target.query === undefined) return recentPlace(target)
  const place = known.get(target) ?? parse(target)
  known.set(target, place)
  return place
}

function recentPlace(target: Wanted): Place {
  const found = recent.get(target.url)
  if (found !== undefined) return found
  const place = parse(target)
  if (recent.size >= mostRecent) recent.clear()
  recent.set(target.url, place)
  return place
}

function parse({ url, query = {} }: Wanted): Place {
  const { origin, hostname, pathname, search } = new URL(url)
  const parameters = Object.entries(query).map(([name, value]) => `${encode(name)}=${encode(value)}`)
  const all = [...(search === '' ? [] : [search.slice(1)]), ...parameters].join('&')
  return { origin, host: hostname.replace(/^\[(.*)\]$/, '$1'), path: all === '' ? pathname : `${pathname}?${all}` }
}

const encode = (text: string): string => encodeURIComponent(text.toWellFormed())
