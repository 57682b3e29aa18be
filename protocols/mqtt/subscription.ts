/** Which filters to subscribe to, so that the broker sends each message once. Pure. */

export type Qos = 0 | 1 | 2
export interface Wish {
  readonly filter: string
  readonly qos: Qos
}

/**
 * The filters no other filter covers, each with the highest QoS of all it stands for: a broker may send one copy per
 * matching subscription [MQTT-3.3.5-1]. Filters that only intersect (`a/+/c`, `+/b/c`) both stay.
 */
export function coveringFilters(wishes: readonly Wish[]): Map<string, Qos> {
  const filters = [...new Set(wishes.map(({ filter }) => filter))]
  const outer = filters.filter((filter) => !filters.some((other) => other !== filter && covers(other, filter)))
  return new Map(outer.map((filter) => [filter, highestQos(wishes, filter)]))
}

function highestQos(wishes: readonly Wish[], cover: string): Qos {
  const levels = wishes.filter(({ filter }) => covers(cover, filter)).map(({ qos }) => qos)
  return Math.max(...levels) as Qos
}

/** Pairs of filters that some topic matches both of. */
export function intersections(filters: readonly string[]): [string, string][] {
  return filters.flatMap((one, at) =>
    filters.slice(at + 1).flatMap((other): [string, string][] => (intersect(one, other) ? [[one, other]] : [])),
  )
}

function intersect(one: string, other: string): boolean {
  const [left, right] = [one.split('/'), other.split('/')]
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
function isBrokersOwn(wide: readonly string[], narrow: readonly string[]): boolean {
  return (wide[0] === '#' || wide[0] === '+') && narrow[0]?.startsWith('$') === true
}

/** True where every topic that `inner` matches is matched by `outer` too. */
export function covers(outer: string, inner: string): boolean {
  const [wide, narrow] = [outer.split('/'), inner.split('/')]
  if (isBrokersOwn(wide, narrow)) return false
  for (const [i, level] of wide.entries()) {
    if (level === '#') return narrow.length >= i // `a/#` matches `a` too
    const other = narrow[i]
    if (other === undefined || other === '#' || (level !== '+' && level !== other)) return false
  }
  return wide.length === narrow.length
}
