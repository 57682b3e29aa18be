import type { AddressPattern } from '../adapter/protocol.ts'
import { captureReader, isHidden, type Level, levelsOf, noParams } from './pattern.ts'
import type { Params } from './subject.ts'

export interface AddressMatch<T> {
  readonly value: T
  readonly params: Params
}

interface Entry<T> {
  readonly order: number
  readonly value: T
  /** Reads the captures from the levels of an address that matches. */
  readonly capture: (parts: readonly string[]) => Params
}

/** A place in the tree of levels; `rest` may take any number of levels and none. */
interface Place<T> {
  readonly literals: Map<string, Place<T>>
  one: Place<T> | undefined
  rest: Place<T> | undefined
  readonly isRest: boolean
  readonly ends: Entry<T>[]
}

const newPlace = <T>(isRest: boolean): Place<T> => ({
  literals: new Map(),
  one: undefined,
  rest: undefined,
  isRest,
  ends: [],
})

/** Many patterns at once: a look-up costs nothing for patterns that do not match. Throws RuleError on a bad pattern. */
export class AddressIndex<T> {
  /** Patterns without wildcards, with their answers ready. */
  readonly #literals = new Map<string, Entry<T>[]>()
  readonly #trees = new Map<string, Place<T>>()

  constructor(entries: readonly { readonly pattern: AddressPattern; readonly value: T }[]) {
    for (const [order, { pattern, value }] of entries.entries()) this.#add(pattern, order, value)
  }

  /** All that match, in the order of the entries. */
  lookup(address: string): readonly AddressMatch<T>[] {
    const found: Found<T>[] = []
    for (const { order, value } of this.#literals.get(address) ?? []) found.push({ order, value, params: noParams })
    for (const [separator, root] of this.#trees) search(root, { address, separator, found })
    return found.length > 1 ? found.sort((a, b) => a.order - b.order) : found
  }

  #add(pattern: AddressPattern, order: number, value: T): void {
    const levels = levelsOf(pattern)
    const separator = pattern.separator ?? ''
    const entry: Entry<T> = { order, value, capture: captureReader(levels, separator) }
    if (levels.every((level) => level.kind === 'literal')) getOrAdd(this.#literals, pattern.text, () => []).push(entry)
    else levels.reduce(descend<T>, getOrAdd(this.#trees, separator, newTree<T>)).ends.push(entry)
  }
}

interface Found<T> extends AddressMatch<T> {
  readonly order: number
}

const newTree = <T>(): Place<T> => newPlace<T>(false)

function descend<T>(place: Place<T>, level: Level): Place<T> {
  if (level.kind === 'literal') return getOrAdd(place.literals, level.text, newTree<T>)
  const next = place[level.kind] ?? newPlace<T>(level.kind === 'rest')
  place[level.kind] = next
  return next
}

function getOrAdd<V>(map: Map<string, V>, key: string, make: () => V): V {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}

/** Walks all matching branches at once, level by level. */
function search<T>(
  root: Place<T>,
  { address, separator, found }: { address: string; separator: string; found: Found<T>[] },
): void {
  const mayUseWildcard = !isHidden(address, separator)
  const parts = address.split(separator)
  let places: Place<T>[] = []
  enter(places, root, mayUseWildcard)
  for (let depth = 0; depth < parts.length && places.length > 0; depth += 1) {
    const next: Place<T>[] = []
    for (const place of places) {
      if (place.isRest) enter(next, place, true)
      enter(next, place.literals.get(parts[depth] ?? ''), true)
      if (depth > 0 || mayUseWildcard) enter(next, place.one, true)
    }
    places = next
  }
  for (const place of places) {
    for (const { order, value, capture } of place.ends) found.push({ order, value, params: capture(parts) })
  }
}

/** Adds a place once, however many ways lead there, and the `rest` behind it, which may take nothing. */
function enter<T>(places: Place<T>[], place: Place<T> | undefined, mayUseRest: boolean): void {
  if (place === undefined || places.includes(place)) return
  places.push(place)
  if (mayUseRest) enter(places, place.rest, true)
}
