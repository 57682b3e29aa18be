import type { DatabaseSync } from 'node:sqlite'
import { PermanentError } from '../errors.ts'
import { allOf, firstOf } from './rows.ts'

const mostTargets = 31

interface KnownTarget {
  readonly bit: number
  readonly place: number
  readonly text: string
}

/** The numbers of routes and the bits of their targets, so that stored messages find theirs again after a change of rules. */
export class TargetTable {
  readonly #database: DatabaseSync
  readonly #names = new Map<number, string>()
  /** Bits that are configured now, by route. */
  readonly #configured = new Map<number, number>()
  readonly #countWaiting: (route: number, bit: number) => number

  constructor(database: DatabaseSync, countWaiting: (route: number, bit: number) => number) {
    this.#database = database
    this.#countWaiting = countWaiting
    const routes = database.prepare('SELECT id, name FROM routes')
    for (const { id, name } of allOf<{ id: number; name: string }>(routes)) this.#names.set(id, name)
  }

  /** Number -> name. */
  get names(): ReadonlyMap<number, string> {
    return this.#names
  }

  /** Inside a transaction. */
  assign(name: string, texts: readonly string[]): { route: number; bits: number[] } {
    if (texts.length > mostTargets) {
      throw new PermanentError(
        'CONFIG_INVALID',
        `route ${name} has ${texts.length} targets; at most ${mostTargets} can be`,
      )
    }
    const route = this.#number(name)
    const known = this.#targetsOf(route)
    const bits = bitsOf(texts, known) ?? bitsOf(texts, this.#forgetIdle(route, known, texts))
    if (bits === undefined) {
      const text = `route ${name} has more than ${mostTargets} targets, with those that messages still wait for`
      throw new PermanentError('CONFIG_INVALID', text)
    }
    const save = this.#database.prepare('INSERT OR REPLACE INTO targets (route, bit, place, text) VALUES (?, ?, ?, ?)')
    for (const [place, text] of texts.entries()) save.run(route, bits[place] as number, place, text)
    this.#configured.set(
      route,
      bits.reduce((all, bit) => all | bit, 0),
    )
    return { route, bits }
  }

  /** Messages that wait for targets that their route no longer names. */
  orphans(): { route: string; target: string; count: number }[] {
    const found = []
    for (const [route, configured] of this.#configured) {
      for (const { bit, text } of this.#targetsOf(route)) {
        const count = (configured & bit) === 0 ? this.#countWaiting(route, bit) : 0
        if (count > 0) found.push({ route: this.#names.get(route) ?? '', target: text, count })
      }
    }
    return found
  }

  #number(name: string): number {
    this.#database.prepare('INSERT INTO routes (name) VALUES (?) ON CONFLICT DO NOTHING').run(name)
    const row = firstOf<{ id: number }>(this.#database.prepare('SELECT id FROM routes WHERE name = ?'), name)
    const route = row?.id ?? 0
    this.#names.set(route, name)
    return route
  }

  #targetsOf(route: number): KnownTarget[] {
    return allOf(this.#database.prepare('SELECT bit, place, text FROM targets WHERE route = ? ORDER BY bit'), route)
  }

  #forgetIdle(route: number, known: readonly KnownTarget[], texts: readonly string[]): KnownTarget[] {
    const forget = this.#database.prepare('DELETE FROM targets WHERE route = ? AND bit = ?')
    return known.filter(({ bit, text }) => {
      if (texts.includes(text) || this.#countWaiting(route, bit) > 0) return true
      forget.run(route, bit)
      return false
    })
  }
}

/** The bit of each target: by its text, else of what stood at its place and is gone, else a free one; undefined: none is free. */
function bitsOf(texts: readonly string[], known: readonly KnownTarget[]): number[] | undefined {
  const bits: (number | undefined)[] = new Array(texts.length).fill(undefined)
  const take = (place: number, target: KnownTarget | undefined): void => {
    if (target !== undefined && !bits.includes(target.bit)) bits[place] ??= target.bit
  }
  for (const [place, text] of texts.entries()) {
    take(
      place,
      known.find((target) => target.text === text && target.place === place),
    )
  }
  for (const [place, text] of texts.entries()) {
    take(
      place,
      known.find((target) => target.text === text && !bits.includes(target.bit)),
    )
  }
  for (const place of texts.keys()) {
    take(
      place,
      known.find((target) => target.place === place && !texts.includes(target.text)),
    )
  }
  const used = new Set(known.map(({ bit }) => bit))
  for (const place of texts.keys()) {
    bits[place] ??= freeBit((bit) => !used.has(bit) && !bits.includes(bit))
    if (bits[place] === undefined) return undefined
  }
  return bits as number[]
}

function freeBit(isFree: (bit: number) => boolean): number | undefined {
  for (let place = 0; place < mostTargets; place++) if (isFree(2 ** place)) return 2 ** place
  return undefined
}
