/** CEL's macros over lists and maps: `all`, `exists`, `exists_one`, `map`, `filter`, and `cel.bind`. */
import type { Read } from './fields.ts'
import { charge } from './meter.ts'
import { answerOf, type Code, miss } from './operators.ts'
import { namesOf } from './values.ts'

/** A macro's argument; `weight` is what a step through it costs. */
export interface Body extends Code {
  readonly weight: number
}

/** Compiles a macro's argument, in which the loop's variable reads what `item` gives. */
export type CompileBody = (index: number, item: Read) => Body

interface Bodies {
  readonly body: Read
  /** The second body, of the three-part `map`. */
  readonly result: Read
}
type Step = (value: unknown, state: { result: unknown }, bodies: Bodies, subject: Parameters<Read>[0]) => boolean

/** What one item does to the result; true ends the loop. */
interface Loop {
  /** It gives true or false. */
  readonly isTest?: boolean
  readonly start: () => unknown
  readonly step: Step
}

/** The items' verdict that decides at once (`true` for exists); undefined decides only if no item does. */
const quantifier = (deciding: boolean): Loop => ({
  isTest: true,
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
    isTest: true,
    start: () => 0,
    step(_item, state, { body }, subject) {
      if (holds(body, subject)) state.result = (state.result as number) + 1
      return false
    },
  },
  'filter/2': {
    start: () => [],
    step: (item, state, { body }, subject) => (holds(body, subject) ? push(state, item) : false),
  },
  'map/2': { start: () => [], step: (_item, state, { body }, subject) => push(state, body(subject)) },
  'map/3': {
    start: () => [],
    step: (_item, state, { body, result }, subject) => (holds(body, subject) ? push(state, result(subject)) : false),
  },
}

function holds(body: Read, subject: Parameters<Read>[0]): boolean {
  const verdict = body(subject)
  return typeof verdict === 'boolean' ? verdict : miss(false)
}

function push(state: { result: unknown }, value: unknown): boolean {
  if (value === undefined) {
    state.result = undefined
    return true
  }
  ;(state.result as unknown[]).push(value)
  return false
}

export const isLoop = (name: string, argCount: number): boolean => Object.hasOwn(loops, `${name}/${argCount}`)
export const isTestLoop = (name: string): boolean => loops[`${name}/2`]?.isTest === true

export interface LoopMacro {
  readonly name: string
  readonly argCount: number
  readonly items: Read
}

/** The loop; `compileBody` is asked for arguments 1 and on. */
export function compileLoop({ name, argCount, items }: LoopMacro, compileBody: CompileBody): Read {
  const { start, step } = loops[`${name}/${argCount}`] as Loop
  let current: unknown // evaluation is synchronous and no loop contains itself
  const item: Read = () => current
  const first = compileBody(1, item)
  const last = argCount > 2 ? compileBody(2, item) : first
  const weight = 1 + first.weight + (argCount > 2 ? last.weight : 0)
  const bodies: Bodies = {
    body: name === 'map' && argCount === 2 ? answerOf(first) : first.run,
    result: answerOf(last),
  }
  const finish =
    name === 'exists_one'
      ? (count: unknown) => (count === undefined ? undefined : count === 1)
      : (same: unknown) => same
  return (subject) => {
    const list = itemsOf(items(subject))
    if (list === undefined) return undefined
    const state = { result: start() }
    for (const next of list) {
      charge(weight)
      current = next
      if (step(next, state, bodies, subject)) break
    }
    if (state.result !== undefined) current = undefined // else it may be asked why
    return finish(state.result)
  }
}

/** A list's items, a map's names. */
function itemsOf(value: unknown): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value
  const isMap = typeof value === 'object' && value !== null && !(value instanceof Uint8Array)
  return isMap ? namesOf(value) : undefined
}

/** `cel.bind(name, value, body)`. */
export function compileBind(value: Read, compileBody: CompileBody): Read {
  let bound: unknown
  const body = answerOf(compileBody(2, () => bound))
  return (subject) => {
    bound = value(subject)
    const result = body(subject)
    if (result !== undefined) bound = undefined // else it may be asked why
    return result
  }
}
