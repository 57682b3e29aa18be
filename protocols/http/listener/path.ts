/** The target of a request: its path, level by level, each decoded once. Pure. */
import { Refusal } from './problem.ts'

export interface RequestPath {
  /** Of the path, decoded; the first is empty, as a path begins with `/`. */
  readonly levels: readonly string[]
  /** What routes match: the levels with `/` between. */
  readonly address: string
  /** Behind the `?`, as it came; undefined: there is none. */
  readonly query: string | undefined
}

/** Throws a Refusal, 400, for what is no path, or one that would mean another place once it is decoded or resolved. */
export function pathOf(target: string): RequestPath {
  const [, path, query] = /^(?:https?:\/\/[^/?#]*)?(\/[\x21\x22\x24-\x3e\x40-\x7e]*)(?:\?(.*))?$/i.exec(target) ?? []
  if (path === undefined) throw broken('the target of the request is no path')
  const levels = path.split('/').map(levelOf)
  return { levels, address: levels.join('/'), query }
}

function levelOf(encoded: string): string {
  const level = encoded.includes('%') ? decoded(encoded) : encoded
  if (level === '.' || level === '..') throw broken('the path holds a level `.` or `..`')
  return level
}

function decoded(encoded: string): string {
  const level = decodeOnce(encoded)
  if (level.includes('/')) throw broken('the path holds an encoded `/`')
  if (/\p{Cc}/u.test(level)) throw broken('the path holds an encoded control character')
  return level
}

function decodeOnce(encoded: string): string {
  try {
    return decodeURIComponent(encoded)
  } catch {
    throw broken('the path holds an escape that is no UTF-8')
  }
}

const broken = (detail: string) => new Refusal({ status: 400, code: 'MESSAGE_MALFORMED', detail })
