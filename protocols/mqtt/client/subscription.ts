/** Which filters to subscribe to, so that the broker sends each message once. Pure. */

export type Qos = 0 | 1 | 2
export interface Wish {
  readonly filter: string
  readonly qos: Qos
}

type Levels = readonly string[]

/**
 * The filters no other filter covers, each with the highest QoS of all it stands for: a broker may send one copy per
 * matching subscription [MQTT-3.3.5-1]. Filters that only intersect (`a/+/c`, `+/b/c`) both stay.
 */
export function coveringFilters(wishes: readonly Wish[]): Map<string, Qos> {
  const all = [...new Map(wishes.map(({ filter }) => [filter, filter.split('/')]))]
  const outer = all.filter(
    ([filter, levels]) => !all.some(([other, wide]) => other !== filter && coverAll(wide, levels)),
  )
  const asked = wishes.map(({ filter, qos }) => ({ levels: filter.split('/'), qos }))
  return new Map(
    outer.map(([filter, wide]) => [filter, highestQos(asked.filter(({ levels }) => coverAll(wide, levels)))]),
  )
}

function highestQos(wishes: readonly { readonly qos: Qos }[]): Qos {
  return Math.max(...wishes.map(({ qos }) => qos)) as Qos
}

/** Pairs of filters that some topic matches both of. */
export function intersections(filters: readonly string[]): [string, string][] {
  const split = filters.map((filter) => filter.split('/'))
  return filters.flatMap((one, at) =>
    filters.flatMap((other, i): [string, string][] =>
      i > at && intersect(split[at] ?? [], split[i] ?? []) ? [[one, other]] : [],
    ),
  )
}

function intersect(left: Levels, right: Levels): boolean {
  if (isBrokersOwn(left, right) || isBrokersOwn(right, left)) return false
  const shorter = Math.min(left.length, right.length)
  for (let i = 0; i < shorter; i += 1) {
    const [a, b] = [left[i], right[i]]
    if (a === '#' || b === '#') return true
    if (a !== b && a !== '+' && b !== '+') return false
  }
  return left.length === right.length || left[shorter] === '#' || right[shorter] === '#'
}

/** Wildcards at the first level do not match topics of the broker's own. [MQTT-4.7.2-1] */
function isBrokersOwn(wide: Levels, narrow: Levels): boolean {
  return (wide[0] === '#' || wide[0] === '+') && narrow[0]?.startsWith('$') === true
}

/** True where every topic that `inner` matches is matched by `outer` too. */
export function covers(outer: string, inner: string): boolean {
  return coverAll(outer.split('/'), inner.split('/'))
}

function coverAll(wide: Levels, narrow: Levels): boolean {
  if (isBrokersOwn(wide, narrow)) return false
  for (let i = 0; i < wide.length; i += 1) {
    const level = wide[i]
    if (level === '#') return narrow.length >= i // `a/#` matches `a` too
    const other = narrow[i]
    if (other === undefined || other === '#' || (level !== '+' && level !== other)) return false
  }
  return wide.length === narrow.length
}
