import type { z } from 'zod'
import type { ConfigDocument, SecretText } from '../read/document.ts'
import type { Span } from '../read/value-reader.ts'
import { type DiagnosticCode, severityOf } from './codes.ts'
import type { Diagnostic, Path } from './diagnostic.ts'
import { chosenIssues, expectationOf, type ShapeProblem, shapeProblems } from './schema-problems.ts'
import { describePlace, describeValue } from './where.ts'

/** Where in the file a problem is shown: a key, a value, or some characters of a text value. */
export type Spot =
  | { readonly path: Path; readonly on: 'key' | 'value' }
  | { readonly path: Path; readonly offset: number; readonly length: number }

export interface Details {
  readonly help?: string | undefined
  readonly suggestion?: string | undefined
  readonly allowed?: readonly string[] | undefined
}

/** Gathers everything there is to say about one file. */
export class Report {
  readonly #document: ConfigDocument
  readonly #file: string
  readonly #found: (Diagnostic & { readonly offset: number })[] = []
  #secrets: readonly SecretText[] | undefined

  constructor(document: ConfigDocument, file: string) {
    this.#document = document
    this.#file = file
  }

  get hasErrors(): boolean {
    return this.#found.some(({ severity }) => severity === 'error')
  }

  /** In the order of the file; of the same complaint at the same place, one. */
  get diagnostics(): Diagnostic[] {
    const seen = new Set<string>()
    const sorted = this.#found.toSorted((a, b) => a.offset - b.offset)
    return sorted.flatMap(({ offset, ...diagnostic }) => {
      const identity = `${offset} ${diagnostic.code} ${diagnostic.message}`
      if (seen.has(identity)) return []
      seen.add(identity)
      const masked = this.#document.maskOf(diagnostic.line, this.#secrets)
      return [masked.length === 0 ? diagnostic : { ...diagnostic, masked }]
    })
  }

  /** Texts that no excerpt may show. */
  hide(secrets: readonly SecretText[]): void {
    this.#secrets = secrets
  }

  /** A problem at a value. Says nothing of values whose references could not be filled in: they have been complained of. */
  add(code: DiagnosticCode, message: string, spot: Spot, details: Details = {}): void {
    const isOnValue = !('on' in spot) || spot.on === 'value'
    if (isOnValue && severityOf(code) === 'error' && this.#document.isBroken(spot.path)) return
    const span =
      'on' in spot
        ? this.#document.spanOf(spot.path, spot.on)
        : this.#document.spanInside(spot.path, spot.offset, spot.length)
    this.addAt(code, message, span, details)
  }

  /** A problem at a stretch of the file. */
  addAt(code: DiagnosticCode, message: string, span: Span, details: Details = {}): void {
    const place = { file: this.#file, ...this.#document.positionOf(span.offset), length: span.length }
    this.#found.push({ ...diagnostic(code, message, place, details), offset: span.offset })
  }

  /** A problem without a place in the text: of an environment variable, or of a file that holds nothing. */
  addWithoutPlace(code: DiagnosticCode, message: string, details: Details = {}, file = this.#file): void {
    this.#found.push({ ...diagnostic(code, message, { file, line: 0, column: 0, length: 0 }, details), offset: -1 })
  }

  /**
   * The value of `schema`, or undefined after reporting why not. `siblings` are keys that are legal beside those of the
   * schema. Text that came from a reference may stand for a number or a truth value.
   */
  parse<T>(schema: z.ZodType<T>, value: unknown, place: { path: Path; root: unknown; siblings?: readonly string[] }) {
    let judged = value
    for (let round = 0; ; round++) {
      const result = schema.safeParse(judged, { error: expectationOf })
      if (result.success) return result.data
      const issues = chosenIssues(result.error.issues, schema, judged)
      const repaired = round < 3 ? this.#unquoteReferences(judged, issues, place.path) : judged
      if (repaired === judged) {
        for (const problem of shapeProblems(issues, schema, judged, place.siblings)) this.#addShape(problem, place)
        return undefined
      }
      judged = repaired
    }
  }

  #addShape(problem: ShapeProblem, { path, root }: { path: Path; root: unknown }): void {
    const full = [...path, ...problem.path]
    const { key, code, suggestion, allowed, expected = '' } = problem
    if (code === 'TRV2001' && key !== undefined) {
      const message = `unknown key \`${key}\` in ${describePlace(full, root)}`
      return this.add(code, message, { path: [...full, key], on: 'key' }, { suggestion, allowed })
    }
    if (code === 'TRV2002' && key !== undefined) {
      const help = /found nothing$/.test(expected) ? undefined : expected
      const message = `missing key \`${key}\` in ${describePlace(full, root)}`
      return this.add(code, message, { path: full, on: 'key' }, { help })
    }
    const help = this.#helpFor(expected, full)
    const colon = code === 'TRV2004' ? '' : ':'
    this.add(
      code,
      `${describeValue(full, root)}${colon} ${expected}`,
      { path: full, on: problem.on },
      { suggestion, allowed, help },
    )
  }

  #helpFor(expected: string, path: Path): string | undefined {
    if (/^expected a list, found (text|a .*number)$/.test(expected)) return 'write it in brackets: ["…"]'
    if (/^expected text, found (true or false|a .*number)$/.test(expected)) return 'put it in quotes'
    return /^expected .*text.*, found /.test(expected) ? this.#document.slipAt(path) : undefined
  }

  /** `${env:PORT}` is text until the schema asks for a number. */
  #unquoteReferences(value: unknown, issues: readonly z.core.$ZodIssue[], base: Path): unknown {
    return issues.reduce((judged, issue) => {
      const path = issue.path as Path
      if (!/^invalid_(type|value)$/.test(issue.code) || !this.#document.hasReference([...base, ...path])) return judged
      return replaceAt(judged, path, unquote)
    }, value)
  }
}

function diagnostic(
  code: DiagnosticCode,
  message: string,
  place: { file: string; line: number; column: number; length: number },
  { help, suggestion, allowed }: Details,
): Diagnostic {
  return {
    severity: severityOf(code),
    code,
    message,
    ...place,
    ...(help === undefined ? {} : { help }),
    ...(suggestion === undefined ? {} : { suggestion }),
    ...(allowed === undefined ? {} : { allowed }),
  }
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
