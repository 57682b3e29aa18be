/** Whether an address a target may produce can be one that a pattern reads. Pure; says yes when in doubt. */
import type { AddressPattern } from '../../adapter/protocol.ts'
import { levelsOf } from '../../routing/pattern.ts'

/** One level: exactly a text, any text between a prefix and a suffix, or any number of levels. */
export type LevelShape = { readonly prefix: string; readonly suffix: string | undefined } | 'rest'

/** The levels of a pattern. Throws RuleError. */
export function levelsOfPattern(pattern: AddressPattern): readonly LevelShape[] {
  return levelsOf(pattern).map((level) => {
    if (level.kind === 'rest') return 'rest'
    return level.kind === 'literal' ? { prefix: level.text, suffix: undefined } : { prefix: '', suffix: '' }
  })
}

/** `staysInLevel`: the value of an expression cannot hold the separator. */
export function levelsOfTemplate(
  text: string,
  separator: '/' | '.' | undefined,
  staysInLevel: (expression: string) => boolean,
): readonly LevelShape[] {
  const marked = markHoles(text, staysInLevel)
  const levels = separator === undefined ? [marked.replaceAll(wideHole, hole)] : marked.split(separator)
  const holed = levels.findIndex((level) => level.includes(wideHole))
  const kept = holed < 0 ? levels : levels.slice(0, holed)
  const fixed = kept.map(fixedLevel)
  return kept.length === levels.length ? fixed : [...fixed, 'rest']
}

/** True when some sequence of levels fits both. */
export function overlap(a: readonly LevelShape[], b: readonly LevelShape[]): boolean {
  for (let i = 0; ; i++) {
    const [one, other] = [a[i], b[i]]
    if (one === 'rest' || other === 'rest') return true
    if (one === undefined || other === undefined) return one === other
    if (!fits(one, other)) return false
  }
}

const hole = '\u0000'
/** Where a value of any number of levels stands. */
const wideHole = '\u0001'

function fixedLevel(marked: string): LevelShape {
  const [prefix = '', ...others] = marked.split(hole)
  return { prefix, suffix: others.at(-1) }
}

function fits(a: Exclude<LevelShape, 'rest'>, b: Exclude<LevelShape, 'rest'>): boolean {
  if (a.suffix === undefined && b.suffix === undefined) return a.prefix === b.prefix
  if (a.suffix === undefined) return isBetween(a.prefix, b.prefix, b.suffix ?? '')
  if (b.suffix === undefined) return isBetween(b.prefix, a.prefix, a.suffix)
  const arePrefixesAlike = a.prefix.startsWith(b.prefix) || b.prefix.startsWith(a.prefix)
  return arePrefixesAlike && (a.suffix.endsWith(b.suffix) || b.suffix.endsWith(a.suffix))
}

function isBetween(text: string, prefix: string, suffix: string): boolean {
  return text.length >= prefix.length + suffix.length && text.startsWith(prefix) && text.endsWith(suffix)
}

/** Each `{expression}` becomes one character no address holds; `{{` and `}}` are braces. */
function markHoles(text: string, staysInLevel: (expression: string) => boolean): string {
  let depth = 0
  let start = 0
  let marked = ''
  for (let i = 0; i < text.length; i++) {
    const character = text[i] ?? ''
    const isDoubled = depth === 0 && character === text[i + 1] && (character === '{' || character === '}')
    if (isDoubled) {
      marked += character
      i++
    } else if (character === '{') {
      if (depth++ === 0) start = i + 1
    } else if (character === '}') {
      if (depth === 1) marked += staysInLevel(text.slice(start, i)) ? hole : wideHole
      depth = Math.max(0, depth - 1)
    } else if (depth === 0) marked += character
  }
  return marked
}
