/** Functions on lists, such as the answers of a scatter. Undefined: there is no such value. */
import { HeaderBag } from '../envelope/envelope.ts'
import { memberOf } from './fields.ts'
import { charge } from './meter.ts'
import { arithmetic, namesOf, type Ordering, ordering } from './values.ts'

type List = readonly unknown[]

/** The least by `<`, the greatest by `>`; of equal ones the first. Undefined for none, and for what has no common order. */
function outermost(list: List, by: Ordering, read: (item: unknown) => unknown): unknown {
  const isBefore = ordering(by)
  let best: { readonly item: unknown; readonly value: unknown } | undefined
  for (const item of list) {
    charge(2)
    const value = read(item)
    if (value === undefined) continue
    const isBetter = best === undefined || isBefore(value, best.value)
    if (isBetter === undefined) return undefined
    if (isBetter) best = { item, value }
  }
  return best?.item
}

const itself = (item: unknown) => item

/** What stands at a path such as `payload.price`. */
function at(path: string): (item: unknown) => unknown {
  const names = path.split('.')
  return (item) => names.reduce<unknown>((value, name) => memberOf(value, name), item)
}

const add = arithmetic('+', () => undefined)

function sum(list: List): unknown {
  charge(list.length)
  return list.reduce((total, item) => (total === undefined ? undefined : add(total, item)), 0 as unknown)
}

function average(list: List): number | undefined {
  const total = sum(list)
  return list.length === 0 || (typeof total !== 'number' && typeof total !== 'bigint')
    ? undefined
    : Number(total) / list.length
}

/** One map of many; of a name that several have, the last counts. */
function merge(list: List): unknown {
  const merged = new HeaderBag() as Record<string, unknown>
  for (const item of list) {
    if (typeof item !== 'object' || item === null || Array.isArray(item) || item instanceof Uint8Array) return undefined
    for (const name of namesOf(item)) merged[name] = (item as Record<string, unknown>)[name]
  }
  return merged
}

const onList =
  (work: (list: List) => unknown) =>
  (list: unknown): unknown =>
    Array.isArray(list) ? work(list) : undefined

const byPath =
  (by: Ordering) =>
  (list: unknown, path: unknown): unknown =>
    Array.isArray(list) && typeof path === 'string' ? outermost(list, by, at(path)) : undefined

export const listFunctions = {
  min: onList((list) => outermost(list, '<', itself)),
  max: onList((list) => outermost(list, '>', itself)),
  minBy: byPath('<'),
  maxBy: byPath('>'),
  sum: onList(sum),
  average: onList(average),
  merge: onList(merge),
}
