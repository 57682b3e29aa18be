import type { DiagnosticCode } from './codes.ts'

/** Leads to a value from the root of the configuration: `['routes', 0, 'to', 1, 'topic']`. */
export type Path = readonly (string | number)[]

/** A stretch of the file, in UTF-16 units. */
export interface Span {
  readonly offset: number
  readonly length: number
}

/** A mistake found while the text became values: its place is known by offset. */
export interface Problem extends Span {
  readonly code: DiagnosticCode
  readonly message: string
  readonly help?: string
}

/** A secret text of the file, or the part of a text that is secret. */
export interface SecretText {
  readonly path: Path
  /** Set where only a part is secret, in characters of the text. */
  readonly part?: Span
}

/** Something the user should mend (error) or know (warning). Never holds the value of a secret. */
export interface Diagnostic {
  readonly severity: 'error' | 'warning'
  readonly code: DiagnosticCode
  readonly message: string
  /** The file, or the environment variable, that holds the mistake. */
  readonly file: string
  /** From 1; 0 where there is no place in the text. */
  readonly line: number
  /** From 1, in UTF-16 units. */
  readonly column: number
  readonly length: number
  /** How to mend it. */
  readonly help?: string
  /** The name that was probably meant. */
  readonly suggestion?: string
  /** Every name that would be right here. */
  readonly allowed?: readonly string[]
  /** Parts of the line that hold secrets; an excerpt must not show them. */
  readonly masked?: readonly { readonly column: number; readonly length: number }[]
}
