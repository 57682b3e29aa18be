import type { DestinationKind } from '../adapter/protocol.ts'
import { PermanentError } from '../errors.ts'
import type { Allow } from './allow.ts'
import { compileValue, type Scope, type Value } from './expression.ts'
import { chargeText } from './meter.ts'
import type { Rests } from './pattern.ts'
import { RuleError } from './rule-error.ts'
import type { Subject } from './subject.ts'
import { shortText } from './values.ts'
import { tokensOf } from './words.ts'

/** Text with `{expression}`s in it; `{{` and `}}` are braces. */
export interface Template {
  /** True when the text holds no expression: it renders the same for every message. */
  readonly isLiteral: boolean
  /** What stands before the first expression; the whole text when literal. */
  readonly literalPrefix: string
  /** Throws PermanentError DESTINATION_INVALID when a value is not there or the result is not legal. */
  render(subject: Subject): string
}

type Part = string | Hole
interface Hole {
  readonly text: string
  readonly value: Value
  /** Of a capture of several levels: what parts them. */
  readonly separator: '/' | '.' | undefined
}

/** Compiles a template. Values from a message pass through `kind.encode`, the whole through `kind.check`. Throws RuleError. */
export function compileTemplate(text: string, scope: Scope, kind?: DestinationKind, allow?: Allow): Template {
  const parts = partsOf(text, scope)
  const literal = parts.every((part) => typeof part === 'string') ? parts.join('') : undefined
  if (literal !== undefined) {
    const fault = kind?.check(literal)
    if (fault !== undefined) throw new IllegalError(fault, { offset: 0, length: text.length })
    return { isLiteral: true, literalPrefix: literal, render: () => literal }
  }
  if (kind !== undefined) checkLiterals(parts, text, kind)
  return {
    isLiteral: false,
    literalPrefix: typeof parts[0] === 'string' ? parts[0] : '',
    render: (subject) => (kind && allow ? renderAllowed(parts, subject, kind, allow) : render(parts, subject, kind)),
  }
}

/** A template whose result is illegal whatever a message holds. */
export class IllegalError extends RuleError {}

/** No value mends what the text between the expressions spoils. */
function checkLiterals(parts: readonly Part[], text: string, kind: DestinationKind): void {
  const fault = kind.check(parts.map((part) => (typeof part === 'string' ? part : kind.encode('x'))).join(''))
  if (fault !== undefined) throw new IllegalError(fault, { offset: 0, length: text.length })
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
  { kind, allow }: { kind: DestinationKind; allow: Allow | undefined },
): Template {
  const template = compileTemplate(text, scope, kind, allow)
  if (template.isLiteral || template.literalPrefix !== '' || allow !== undefined) return template
  const hint = 'start with fixed text, such as `alarms.{…}`, or name the destinations in `allow: [a, b]`'
  throw new UnboundedError('a sender could choose any destination', { offset: 0, length: text.length, hint })
}

function render(parts: readonly Part[], subject: Subject, kind: DestinationKind | undefined): string {
  let rendered = ''
  for (const part of parts) {
    rendered += encoded(part, textAt(part, subject), kind)
  }
  return checked(rendered, kind)
}

/** One of those the user has named: as he wrote it, or as its values are encoded. */
function renderAllowed(parts: readonly Part[], subject: Subject, kind: DestinationKind, allow: Allow): string {
  const texts = parts.map((part) => textAt(part, subject))
  const plain = texts.join('')
  if (allow.has(plain) && kind.check(plain) === undefined) return plain
  const destination = checked(texts.map((text, at) => encoded(parts[at] ?? '', text, kind)).join(''), kind)
  if (allow.has(destination)) return destination
  throw invalid(`'${destination.slice(0, 200)}' is not among the allowed destinations`)
}

/** A value made safe; of a capture of several levels each by itself, and as many as they were. */
function encoded(part: Part, text: string, kind: DestinationKind | undefined): string {
  if (typeof part === 'string' || kind === undefined) return text
  if (part.separator === undefined || kind.separator === undefined) return kind.encode(text)
  const levels = text.split(part.separator).map((level) => kind.encode(level))
  return levels.join(kind.separator)
}

function textAt(part: Part, subject: Subject): string {
  if (typeof part === 'string') return part
  const value = part.value(subject)
  if (value === undefined) throw invalid(`{${part.text}} has no value for this message: ${part.value.why(subject)}`)
  const text = textOf(value)
  if (text === undefined) throw invalid(`{${part.text}} has no single text`)
  if (text.length > shortText) chargeText(text.length * costOfEncoding)
  return text
}

function checked(rendered: string, kind: DestinationKind | undefined): string {
  const fault = kind?.check(rendered)
  if (fault !== undefined) throw invalid(`'${rendered.slice(0, 200)}': ${fault}`)
  return rendered
}

/** Character by character. */
const costOfEncoding = 4

const invalid = (message: string) => new PermanentError('DESTINATION_INVALID', message)

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

/** Of an expression that is a capture of several levels and nothing else. */
export function separatorOf(expression: string, rests: Rests | undefined): '/' | '.' | undefined {
  const [, name = ''] = /^\s*params\s*\.\s*(\w+)\s*$/.exec(expression) ?? []
  return rests?.get(name)
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
    return { text: source.trim(), value: compileValue(source, scope), separator: separatorOf(source, scope.rests) }
  } catch (error) {
    if (!(error instanceof RuleError)) throw error
    throw new RuleError(error.message, { offset: error.offset + range.start, length: error.length, hint: error.hint })
  }
}
