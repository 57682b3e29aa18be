import type { z } from 'zod'
import type { Path } from '../report/diagnostic.ts'
import { describePlace, describeValue } from '../report/where.ts'
import type { Scene } from './scene.ts'
import { chosenIssues, expectationOf, homeOf, type ShapeProblem, shapeProblems } from './schema-problems.ts'

export interface ParsePlace {
  readonly path: Path
  /** Keys that are legal beside those of the schema. */
  readonly siblings?: readonly string[]
}

/**
 * The value of `schema`, or undefined after reporting why not. Text that came from a reference may stand for a number or a
 * truth value.
 */
export function parse<T>(scene: Scene, schema: z.ZodType<T>, value: unknown, place: ParsePlace): T | undefined {
  let judged = value
  for (let round = 0; ; round++) {
    const result = schema.safeParse(judged, { error: expectationOf })
    if (result.success) return result.data
    const issues = chosenIssues(result.error.issues, schema, judged)
    const repaired = round < 3 ? unquoteReferences(scene, judged, issues, place.path) : judged
    if (repaired === judged) {
      for (const problem of shapeProblems(issues, schema, judged, place.siblings))
        reportShape(scene, place.path, problem)
      return undefined
    }
    judged = repaired
  }
}

function reportShape(scene: Scene, base: Path, problem: ShapeProblem): void {
  const { report, root } = scene
  const { key, code, suggestion, allowed, on, expected = '' } = problem
  const path = [...base, ...problem.path]
  if (code === 'TRV2001' && key !== undefined) {
    const message = `unknown key \`${key}\` in ${describePlace(path, root)}`
    return report.add(code, message, { path: [...path, key], on: 'key' }, { suggestion, allowed, help: homeOf(key) })
  }
  if (code === 'TRV2002' && key !== undefined) {
    const help = /found nothing$/.test(expected) ? undefined : expected
    const message = `missing key \`${key}\` in ${describePlace(path, root)}`
    return report.add(code, message, { path, on: 'key' }, { help })
  }
  const colon = code === 'TRV2004' ? '' : ':'
  const message = `${describeValue(path, root)}${colon} ${expected}`
  report.add(code, message, { path, on }, { suggestion, allowed, help: helpFor(scene, expected, path) })
}

function helpFor({ document }: Scene, expected: string, path: Path): string | undefined {
  if (/^expected a list, found (a string|a number|an integer)$/.test(expected)) return 'write it in brackets: ["…"]'
  if (expected === 'expected a list, found a mapping') return 'start each entry with `- `'
  if (/^expected a string, found (a boolean|a number|an integer)$/.test(expected)) return 'quote it'
  return /^expected .*a string.*, found /.test(expected) ? document.slipAt(path) : undefined
}

type Issues = readonly z.core.$ZodIssue[]

/** `${env:PORT}` is text until the schema asks for a number. */
function unquoteReferences({ document }: Scene, value: unknown, issues: Issues, base: Path): unknown {
  return issues.reduce((judged, issue) => {
    const path = issue.path as Path
    if (!/^invalid_(type|value)$/.test(issue.code) || !document.hasReference([...base, ...path])) return judged
    return replaceAt(judged, path, unquote)
  }, value)
}

function unquote(text: unknown): unknown {
  if (text === 'true' || text === 'false') return text === 'true'
  return typeof text === 'string' && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
}

/** A copy with one value changed; the same object when nothing changes. */
function replaceAt(value: unknown, path: Path, change: (old: unknown) => unknown): unknown {
  const [key, ...rest] = path
  if (key === undefined) return change(value)
  if (typeof value !== 'object' || value === null) return value
  const container = value as Record<string | number, unknown>
  const replaced = replaceAt(container[key], rest, change)
  if (replaced === container[key]) return value
  return Array.isArray(value) ? value.with(Number(key), replaced) : { ...value, [key]: replaced }
}
