import { compileRegex } from './regex.ts'

/** The destinations that the templates of one target may give. */
export interface Allow {
  has(destination: string): boolean
}

/** True for an entry of `allow` that stands for many destinations. */
export const isPattern = (entry: string): boolean => entry.includes('*')

/**
 * Destinations as they are written, and patterns: `*` stands for any text within one level, `**` for any text. `separator`
 * parts the levels; without one a destination is one level.
 */
export function compileAllow(entries: readonly string[], separator: '/' | '.' | undefined): Allow {
  const exact = new Set(entries.filter((entry) => !isPattern(entry)))
  const patterns = entries.filter(isPattern).map((entry) => compileRegex(`^(?s:${sourceOf(entry, separator)})$`))
  if (patterns.length === 0) return exact
  return { has: (text) => exact.has(text) || patterns.some((matches) => matches(text) === true) }
}

function sourceOf(entry: string, separator: '/' | '.' | undefined): string {
  const one = separator === undefined ? '.*' : `[^${separator}]*`
  return entry.replaceAll(/\*+|[^*]+/g, (part) => {
    if (part[0] !== '*') return part.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`)
    return part === '*' ? one : '.*'
  })
}
