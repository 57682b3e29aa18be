const width = 120

/** JSON as the formatter of this repository leaves it: objects on lines of their own, lists of scalars on one if they fit. */
export function jsonText(value: unknown, indent = '', room = width): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const inner = `${indent}  `
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]'
    const isFlat = value.every((item) => typeof item !== 'object' || item === null)
    const line = `[${value.map((item) => JSON.stringify(item)).join(', ')}]`
    if (isFlat && line.length <= room) return line
    return `[\n${value.map((item) => `${inner}${jsonText(item, inner)}`).join(',\n')}\n${indent}]`
  }
  const entries = Object.entries(value).filter(([, item]) => item !== undefined)
  if (entries.length === 0) return '{}'
  const lines = entries.map(([key, item], index) => {
    const start = `${inner}${JSON.stringify(key)}: `
    const comma = index < entries.length - 1 ? 1 : 0
    return `${start}${jsonText(item, inner, width - start.length - comma)}`
  })
  return `{\n${lines.join(',\n')}\n${indent}}`
}
