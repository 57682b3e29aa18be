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

/** True where every topic that `inner` matches is matched by `outer` too. */
export function covers(outer: string, inner: string): boolean {
  const [wide, narrow] = [outer.split('/'), inner.split('/')]
  // wildcards at the first level do not match topics of the broker's own [MQTT-4.7.2-1]
  if ((wide[0] === '#' || wide[0] === '+') && narrow[0]?.startsWith('$')) return false
  for (const [i, level] of wide.entries()) {
    if (level === '#') return narrow.length >= i // `a/#` matches `a` too
    const other = narrow[i]
    if (other === undefined || other === '#' || (level !== '+' && level !== other)) return false
  }
  return wide.length === narrow.length
}
