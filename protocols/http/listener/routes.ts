/** Which `from`s read a path, and by which methods. Pure. */
import type { Door } from '../../../src/adapter/door.ts'
import { pathsOf } from '../config.ts'
import type { RequestPath } from './path.ts'

interface Read {
  readonly method: string
  readonly path: string
  readonly door?: Door | undefined
}

export interface Found<From> {
  /** Those that read the path by the method of the request. */
  readonly froms: ReadonlySet<From>
  /** All methods by which the path is read; none: nobody reads it. */
  readonly methods: readonly string[]
}

export class Routes<From extends Read> {
  readonly #routes: readonly { readonly from: From; readonly levels: readonly string[] }[]

  constructor(froms: readonly From[]) {
    this.#routes = froms.flatMap((from) => pathsOf(from).map((path) => ({ from, levels: path.split('/') })))
  }

  find(method: string, { levels, query }: Pick<RequestPath, 'levels' | 'query'>): Found<From> {
    const froms = new Set<From>()
    const methods = new Set<string>()
    for (const { from, levels: pattern } of this.#routes) {
      if (!matches(pattern, levels)) continue
      methods.add(from.method)
      if (from.method === method && isOpen(from, query)) froms.add(from)
    }
    return { froms, methods: [...methods] }
  }
}

/** As src/routing/pattern.ts: what matches the rest also matches none. */
function matches(pattern: readonly string[], levels: readonly string[]): boolean {
  const last = pattern.at(-1) as string
  const fixed = isRest(last) ? pattern.slice(0, -1) : pattern
  if (isRest(last) ? levels.length < fixed.length : levels.length !== fixed.length) return false
  return fixed.every((level, at) => isOne(level) || level === levels[at])
}

const isOpen = ({ door }: Read, query = '') => door === undefined || door.reads(new URLSearchParams(query))
const isRest = (level: string) => level === '**' || level.endsWith('#}')
const isOne = (level: string) => level === '*' || level.startsWith('{')
