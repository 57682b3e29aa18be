import type { AddressPattern } from '../adapter/protocol.ts'
import { forbiddenNames } from './fields.ts'
import { RuleError } from './rule-error.ts'
import type { Params } from './subject.ts'

/** An address pattern, ready to match one address; for many patterns use AddressIndex. */
export interface Pattern {
  /** Names of the captures, in the order of the text. */
  readonly captures: readonly string[]
  /** What was captured, or undefined when the address does not match. */
  match(address: string): Params | undefined
}

/** One level of a pattern; `text` of a literal, `name` of a capture. */
export type Level =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'one'; readonly name: string | undefined }
  | { readonly kind: 'rest'; readonly name: string | undefined }

/**
 * Compiles a pattern: `{name}` is one level, `{name#}` all that remain, beside the protocol's own wildcards. What matches
 * the rest also matches none: `a/#` matches `a`. Throws RuleError.
 */
export function compilePattern(pattern: AddressPattern): Pattern {
  const levels = levelsOf(pattern)
  const captures = levels.flatMap((level) => (level.kind !== 'literal' && level.name !== undefined ? [level.name] : []))
  const { separator } = pattern
  if (separator === undefined || levels.every((level) => level.kind === 'literal')) {
    return { captures, match: (address) => (address === pattern.text ? noParams : undefined) }
  }
  return {
    captures,
    match(address) {
      if (isHidden(address, separator) && levels[0]?.kind !== 'literal') return undefined
      const parts = address.split(separator)
      const starts = align(levels, parts)
      return starts === undefined ? undefined : capture(levels, { parts, starts, separator })
    },
  }
}

/** Captures of several levels, and what parts their levels. */
export type Rests = ReadonlyMap<string, '/' | '.'>

/** Those of a route's patterns; a name that is one level in another pattern is none. Throws RuleError. */
export function restsOf(patterns: readonly AddressPattern[]): Rests {
  const rests = new Map<string, '/' | '.'>()
  const single = new Set<string>()
  for (const pattern of patterns) {
    for (const level of levelsOf(pattern)) {
      if (level.kind === 'literal' || level.name === undefined) continue
      if (level.kind === 'rest' && pattern.separator !== undefined) rests.set(level.name, pattern.separator)
      else single.add(level.name)
    }
  }
  return new Map([...rests].filter(([name]) => !single.has(name)))
}

/** Reads the captures from the parts of an address that is known to match. */
export function captureReader(levels: readonly Level[], separator: string): (parts: readonly string[]) => Params {
  const hasInnerRest = levels.slice(0, -1).some((level) => level.kind === 'rest')
  if (hasInnerRest) return (parts) => capture(levels, { parts, starts: align(levels, parts) ?? [], separator })
  const named = levels.flatMap((level, index) =>
    level.kind === 'literal' || level.name === undefined
      ? []
      : [{ index, name: level.name, isRest: level.kind === 'rest' }],
  )
  if (named.length === 0) return () => noParams
  return (parts) => {
    const params: Record<string, string> = {}
    for (const { index, name, isRest } of named) {
      params[name] = isRest ? parts.slice(index).join(separator) : (parts[index] ?? '')
    }
    return params
  }
}

/** The levels of a pattern's text. Throws RuleError. */
export function levelsOf(pattern: AddressPattern): readonly Level[] {
  const { text, separator } = pattern
  if (text === '') throw whole(text, 'an address pattern cannot be empty')
  if (separator === undefined) return [{ kind: 'literal', text }]
  const levels: Level[] = []
  const names = new Set<string>()
  let offset = 0
  for (const part of text.split(separator)) {
    const level = levelOf(part, pattern, offset)
    if (level.kind !== 'literal' && level.name !== undefined) {
      if (names.has(level.name)) throw at(part, offset, `'${level.name}' is captured twice`)
      names.add(level.name)
    }
    levels.push(level)
    offset += part.length + separator.length
  }
  refuseInnerRest(levels, pattern)
  return levels
}

/** [MQTT-4.7.2-1] Topics that start with `$` are for the broker itself: no wildcard reaches them. */
export function isHidden(address: string, separator: string): boolean {
  return separator === '/' && address.startsWith('$')
}

export const noParams: Params = Object.freeze({})

const at = (part: string, offset: number, message: string, hint?: string) =>
  new RuleError(message, { offset, length: part.length, hint })
const whole = (text: string, message: string) => at(text, 0, message)

function levelOf(part: string, { one, rest }: AddressPattern, offset: number): Level {
  if (part === one) return { kind: 'one', name: undefined }
  if (part === rest) return { kind: 'rest', name: undefined }
  if (part.includes('{') || part.includes('}')) return captureOf(part, offset)
  for (const wildcard of [one, rest]) {
    if (wildcard !== undefined && part.includes(wildcard)) {
      throw at(part, offset, `the wildcard '${wildcard}' must be a whole level`)
    }
  }
  return { kind: 'literal', text: part }
}

function captureOf(part: string, offset: number): Level {
  const [, name, hash] = /^\{([A-Za-z_]\w*)(#?)\}$/.exec(part) ?? []
  if (name === undefined)
    throw at(part, offset, faultOf(part), 'a capture is a whole level: {name}, or {name#} for the rest')
  if (forbiddenNames.has(name)) throw at(part, offset, `'${name}' cannot be the name of a capture`)
  return { kind: hash === '#' ? 'rest' : 'one', name }
}

function faultOf(part: string): string {
  if (/^\{#?\}$/.test(part)) return 'a capture needs a name'
  if (!part.includes('}')) return "'{' is not closed"
  if (!part.includes('{')) return "'}' without '{'"
  return part.startsWith('{') && part.endsWith('}') ? `${part} is not a capture` : 'a capture must be a whole level'
}

/** Only AMQP's `#` may stand before other levels. */
function refuseInnerRest(levels: readonly Level[], { text, separator, rest }: AddressPattern): void {
  const index = levels.findIndex((level) => level.kind === 'rest')
  if (index === -1 || index === levels.length - 1 || (separator === '.' && rest !== undefined)) return
  const parts = text.split(separator ?? '')
  const offset = parts.slice(0, index).reduce((sum, part) => sum + part.length + 1, 0)
  throw at(parts[index] ?? '', offset, 'what matches the rest must be the last level')
}

/** Where each level of the pattern begins among the parts, or undefined; a `rest` takes as few parts as it can. */
function align(levels: readonly Level[], parts: readonly string[]): readonly number[] | undefined {
  const starts: number[] = []
  let level = 0
  let part = 0
  let lastRest = -1
  let lastRestEnd = 0
  while (level < levels.length || part < parts.length) {
    const current = levels[level]
    starts[level] = part
    if (current?.kind === 'rest') {
      lastRest = level
      lastRestEnd = part
      level += 1
    } else if (
      current !== undefined &&
      part < parts.length &&
      (current.kind === 'one' || current.text === parts[part])
    ) {
      level += 1
      part += 1
    } else if (lastRest !== -1 && lastRestEnd < parts.length) {
      lastRestEnd += 1
      level = lastRest + 1
      part = lastRestEnd
    } else {
      return undefined
    }
  }
  starts[level] = part
  return starts
}

function capture(
  levels: readonly Level[],
  found: { parts: readonly string[]; starts: readonly number[]; separator: string },
): Params {
  let params: Record<string, string> | undefined
  for (const [index, level] of levels.entries()) {
    if (level.kind === 'literal' || level.name === undefined) continue
    params ??= {}
    params[level.name] = found.parts.slice(found.starts[index], found.starts[index + 1]).join(found.separator)
  }
  return params ?? noParams
}
