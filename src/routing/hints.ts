/** What the author of a rule may have meant. */
import { fieldNames, isKnownHeader } from './fields.ts'
import { nameElsewhere } from './functions.ts'
import { didYouMean, nearestName } from './nearest.ts'

/** For a path that begins with a name that is no field. */
export function fieldHint(name: string, captures: ReadonlySet<string>): string {
  return knownHint(name, captures, fieldNames) ?? payloadHint(name)
}

/** For an expression in which a name stands that is none: a text without quotes looks just like a field. */
export function nameHint(name: string, captures: ReadonlySet<string>): string {
  const hint = knownHint(name, captures, [...fieldNames, 'true', 'false', 'null'])
  return hint ?? `${payloadHint(name)} Strings need quotes inside an expression`
}

function knownHint(name: string, captures: ReadonlySet<string>, names: readonly string[]): string | undefined {
  if (captures.has(name)) return `did you mean 'params.${name}'?`
  return isKnownHeader(name) ? `did you mean 'headers.${name}'?` : didYouMean(name, names)
}

const payloadHint = (name: string) => `did you mean 'payload.${name}'?`

/** For a function that is none. */
export function functionHint(name: string, names: ReadonlySet<string>): string {
  const meant = nameElsewhere(name) ?? nearestName(name, names) ?? [...names].find((one) => isBeginning(name, one))
  return meant === undefined ? 'docs/reference/expressions.md lists the functions' : `did you mean '${meant}'?`
}

/** For `namespace.called(…)`, as functions are written in other dialects of CEL: `base64.encode(x)`. */
export function namespaceHint(namespace: string, called: string, names: ReadonlySet<string>): string | undefined {
  const meant = nameElsewhere(`${namespace}.${called}`) ?? [called, namespace].find((name) => names.has(name))
  return meant && `did you mean '${meant}(…)'?`
}

const isBeginning = (part: string, name: string) => part.length > 2 && name.toLowerCase().startsWith(part.toLowerCase())

const words: ReadonlySet<string> = new Set(['AND', 'OR', 'NOT'])
const joints: ReadonlySet<string> = new Set(['AND', 'OR', '&&', '||'])

/** For a piece of an expression that stands where it cannot. */
export function tokenHint(shown: string): string | undefined {
  if (shown === '=') return "write '==' to compare"
  if (shown === '&' || shown === '|') return `write '${shown}${shown}', or ${shown === '&' ? 'AND' : 'OR'}`
  if (joints.has(shown)) return `a value is missing before '${shown}'`
  if (shown === 'NOT') return "'NOT' stands before all that it negates: NOT a == b"
  const word = shown.toUpperCase()
  return words.has(word) ? `write '${word}' in capitals` : undefined
}
