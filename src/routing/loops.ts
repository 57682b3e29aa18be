/** CEL's macros over lists and maps: `all`, `exists`, `exists_one`, `map`, `filter`, and `cel.bind`. */
import type { Read } from './fields.ts'
import type { Code } from './operators.ts'

/** Loop steps left to the evaluation under way: nested loops over a large message end as an error, not as a standstill. */
export interface Meter {
  stepsLeft: number
}

/** Compiles a macro's argument, in which the loop's variable reads what `item` gives. */
export type CompileBody = (index: number, item: Read) => Code

interface Bodies {
  readonly body: Read
  /** The second body, of the three-part `map`. */
  readonly result: Read
}
type Step = (value: unknown, state: { result: unknown }, bodies: Bodies, subject: Parameters<Read>[0]) => boolean

/** What one item does to the result; true ends the loop. */
interface Loop {
  readonly start: () => unknown
  readonly step: Step
}

/** The items' verdict that decides at once (`true` for exists); an error decides only if no item does. */
const quantifier = (deciding: boolean): Loop => ({
  start: () => !deciding,
  step(_item, state, { body }, subject) {
    const verdict = body(subject)
    if (verdict === deciding) state.result = deciding
    else if (verdict !== !deciding) state.result = undefined
    return verdict === deciding
  },
})

const loops: Readonly<Record<string, Loop>> = {
  'all/2': quantifier(false),
  'exists/2': quantifier(true),
  'exists_one/2': {
    start: () => 0,
    step(_item, state, { body }, subject) {
      const verdict = body(subject)
      if (typeof verdict !== 'boolean') return fail(state)
      state.result = (state.result as number) + Number(verdict)
      return false
    },
  },
  'filter/2': {
    start: () => [],
    step(item, state, { body }, subject) {
      const verdict = body(subject)
      if (typeof verdict !== 'boolean') return fail(state)
      return verdict ? push(state, item) : false
    },
  },
  'map/2': { start: () => [], step: (_item, state, { body }, subject) => push(state, body(subject)) },
  'map/3': {
    start: () => [],
    step(_item, state, { body, result }, subject) {
      const verdict = body(subject)
      if (typeof verdict !== 'boolean') return fail(state)
      return verdict ? push(state, result(subject)) : false
    },
  },
}

function fail(state: { result: unknown }): true {
  state.result = undefined
  return true
}

function push(state: { result: unknown }, value: unknown): boolean {
  if (value === undefined) return fail(state)
  ;(state.result as unknown[]).push(value)
  return false
}

export const isLoop = (name: string, argCount: number): boolean => Object.hasOwn(loops, `${name}/${argCount}`)

export interface LoopMacro {
  readonly name: string
  readonly argCount: number
  readonly items: Read
  readonly meter: Meter
}

/** The loop; `compileBody` is asked for arguments 1 and on. */
export function compileLoop({ name, argCount, items, meter }: LoopMacro, compileBody: CompileBody): Read {
  const { start, step } = loops[`${name}/${argCount}`] as Loop
  let current: unknown // evaluation is synchronous and no loop contains itself
  const item: Read = () => current
  const body = compileBody(1, item).run
  const bodies: Bodies = { body, result: argCount > 2 ? compileBody(2, item).run : body }
  const finish =
    name === 'exists_one'
      ? (count: unknown) => (count === undefined ? undefined : count === 1)
      : (same: unknown) => same
  return (subject) => {
    const list = itemsOf(items(subject))
    if (list === undefined) return undefined
    const state = { result: start() }
    for (const next of list) {
      meter.stepsLeft -= 1
      if (meter.stepsLeft < 0) return undefined
      current = next
      if (step(next, state, bodies, subject)) break
    }
    return finish(state.result)
  }
}

/** A list's items, a map's names. */
function itemsOf(value: unknown): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value
  const isMap = typeof value === 'object' && value !== null && !(value instanceof Uint8Array)
  return isMap ? Object.keys(value) : undefined
}

/** `cel.bind(name, value, body)`. */
export function compileBind(value: Read, compileBody: CompileBody): Read {
  let bound: unknown
  const body = compileBody(2, () => bound).run
  return (subject) => {
    bound = value(subject)
    return body(subject)
  }
}
