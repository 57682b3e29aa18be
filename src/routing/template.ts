import type { DestinationKind } from '../adapter/protocol.ts'
import { PermanentError } from '../errors.ts'
import { compileValue, type Scope, type Value } from './expression.ts'
import { RuleError } from './rule-error.ts'
import type { Subject } from './subject.ts'
import { tokensOf } from './words.ts'

/** Text with `{expression}`s in it; `{{` and `}}` are braces. */
export interface Template {
  /** True when the text holds no expression: it renders the same for every message. */
  readonly isLiteral: boolean
  /** What stands before the first expression; the whole text when literal. */
  readonly literalPrefix: string
  /** Throws PermanentError DESTINATION_INVALID when a value is not there or the result is not legal. */
  render(subject: Subject): string
  /** The same with the values as they are; undefined where that is not legal. */
  renderPlain(subject: Subject): string | undefined
}

type Part = string | { readonly text: string; readonly value: Value }

/** Compiles a template. Values from a message pass through `kind.encode`, the whole through `kind.check`. Throws RuleError. */
export function compileTemplate(text: string, scope: Scope, kind?: DestinationKind): Template {
  const parts = partsOf(text, scope)
  const literal = parts.every((part) => typeof part === 'string') ? parts.join('') : undefined
  if (literal !== undefined) {
    const fault = kind?.check(literal)
    if (fault !== undefined) throw new RuleError(fault, { offset: 0, length: text.length })
    return { isLiteral: true, literalPrefix: literal, render: () => literal, renderPlain: () => literal }
  }
  return {
    isLiteral: false,
    literalPrefix: typeof parts[0] === 'string' ? parts[0] : '',
    render: (subject) => render(parts, subject, kind),
    renderPlain(subject) {
      const plain = fill(parts, subject, asIs)
      return kind?.check(plain) === undefined ? plain : undefined
    },
  }
}

/** A template that leaves the whole destination to the sender of a message. */
export class UnboundedError extends RuleError {}

/**
 * Compiles the template of a destination: it keeps a literal prefix, unless its target names the destinations it allows.
 * Throws RuleError, an UnboundedError where that rule is broken.
 */
export function compileDestination(
  text: string,
  scope: Scope,
  { kind, hasAllow }: { kind: DestinationKind; hasAllow: boolean },
): Template {
  const template = compileTemplate(text, scope, kind)
  if (template.isLiteral || template.literalPrefix !== '' || hasAllow) return template
  const hint = 'begin with fixed text, such as `alarms.{…}`, or name the destinations in `allow: [a, b]`'
  throw new UnboundedError('a sender could choose any destination', { offset: 0, length: text.length, hint })
}

function render(parts: readonly Part[], subject: Subject, kind: DestinationKind | undefined): string {
  const rendered = fill(parts, subject, kind?.encode ?? asIs)
  const fault = kind?.check(rendered)
  if (fault !== undefined) throw invalid(`'${rendered.slice(0, 200)}': ${fault}`)
  return rendered
}

const asIs = (value: string): string => value

function fill(parts: readonly Part[], subject: Subject, encode: (value: string) => string): string {
  let rendered = ''
  for (const part of parts) {
    if (typeof part === 'string') {
      rendered += part
      continue
    }
    const value = textOf(part.value(subject))
    if (value === undefined) throw invalid(`{${part.text}} has no value for this message`)
    rendered += encode(value)
  }
  return rendered
}

export const invalid = (message: string) => new PermanentError('DESTINATION_INVALID', message)

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A scalar as text; undefined for what has no single text. */
export function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (!(value instanceof Uint8Array)) return undefined
  try {
    return utf8.decode(value)
  } catch {
    return undefined
  }
}

/** Literals and expressions in turn; neighbouring literals are one. */
function partsOf(text: string, scope: Scope): Part[] {
  const parts: Part[] = []
  let literal = ''
  let offset = 0
  while (offset < text.length) {
    const pair = text.slice(offset, offset + 2)
    if (pair === '{{' || pair === '}}') {
      literal += pair[0]
      offset += 2
    } else if (pair[0] === '}') {
      throw new RuleError("'}' without '{'", { offset, length: 1, hint: "write '}}' for a brace in the text" })
    } else if (pair[0] === '{') {
      const end = closingBrace(text, offset)
      if (literal !== '') parts.push(literal)
      literal = ''
      parts.push(expressionAt(text, { start: offset + 1, end }, scope))
      offset = end + 1
    } else {
      literal += pair[0]
      offset += 1
    }
  }
  if (literal !== '' || parts.length === 0) parts.push(literal)
  return parts
}

/** Braces inside an expression are CEL's maps; those inside its strings are text. */
function closingBrace(text: string, open: number): number {
  let depth = 0
  for (const token of tokensOf(text, open)) {
    if (token.text === '{') depth += 1
    if (token.text === '}') depth -= 1
    if (depth === 0) return token.offset
  }
  throw new RuleError("'{' is not closed", { offset: open, length: 1, hint: "write '{{' for a brace in the text" })
}

function expressionAt(text: string, range: { start: number; end: number }, scope: Scope): Part {
  const source = text.slice(range.start, range.end)
  if (source.trim() === '')
    throw new RuleError('an expression is missing', { offset: range.start - 1, length: source.length + 2 })
  try {
    return { text: source.trim(), value: compileValue(source, scope) }
  } catch (error) {
    if (!(error instanceof RuleError)) throw error
    throw new RuleError(error.message, { offset: error.offset + range.start, length: error.length, hint: error.hint })
  }
}
