import { type DiagnosticCode, severityOf } from './codes.ts'
import type { Diagnostic, Path, SecretText, Span } from './diagnostic.ts'

/** Where in the file a problem is shown: a key, a value, or some characters of a text value. */
export type Spot =
  | { readonly path: Path; readonly on: 'key' | 'value' }
  | { readonly path: Path; readonly offset: number; readonly length: number }

export interface Details {
  readonly help?: string | undefined
  readonly suggestion?: string | undefined
  readonly allowed?: readonly string[] | undefined
}

/** Where the values of a configuration stand in its text; see read/document.ts. */
export interface SourceMap {
  positionOf(offset: number): { line: number; column: number }
  spanOf(path: Path, on: 'key' | 'value'): Span
  spanInside(path: Path, offset: number, length: number): Span
  isBroken(path: Path): boolean
  maskOf(line: number, secrets: readonly SecretText[] | undefined): { column: number; length: number }[]
}

/** Gathers everything there is to say about one file. */
export class Report {
  readonly #map: SourceMap
  readonly #file: string
  readonly #found: (Diagnostic & { readonly offset: number })[] = []
  #secrets: readonly SecretText[] | undefined

  constructor(map: SourceMap, file: string) {
    this.#map = map
    this.#file = file
  }

  get hasErrors(): boolean {
    return this.#found.some(({ severity }) => severity === 'error')
  }

  has(code: DiagnosticCode): boolean {
    return this.#found.some((found) => found.code === code)
  }

  /** In the order of the file; of the same complaint at the same place, one. */
  get diagnostics(): Diagnostic[] {
    const seen = new Set<string>()
    const sorted = this.#found.toSorted((a, b) => a.offset - b.offset)
    return sorted.flatMap(({ offset, ...diagnostic }) => {
      const identity = `${offset} ${diagnostic.code} ${diagnostic.message}`
      if (seen.has(identity)) return []
      seen.add(identity)
      const masked = this.#map.maskOf(diagnostic.line, this.#secrets)
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
    if (isOnValue && severityOf(code) === 'error' && this.#map.isBroken(spot.path)) return
    const span =
      'on' in spot ? this.#map.spanOf(spot.path, spot.on) : this.#map.spanInside(spot.path, spot.offset, spot.length)
    this.addAt(code, message, span, details)
  }

  /** A problem at a stretch of the file. */
  addAt(code: DiagnosticCode, message: string, span: Span, details: Details = {}): void {
    const place = { file: this.#file, ...this.#map.positionOf(span.offset), length: span.length }
    this.#found.push({ ...diagnostic(code, message, place, details), offset: span.offset })
  }

  /** A problem without a place in the text: of an environment variable, or of a file that holds nothing. */
  addWithoutPlace(code: DiagnosticCode, message: string, details: Details = {}, file = this.#file): void {
    this.#found.push({ ...diagnostic(code, message, { file, line: 0, column: 0, length: 0 }, details), offset: -1 })
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
