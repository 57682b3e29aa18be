/**
 * Changes one value in a JSON text and leaves every other character as it came: numbers too large for JavaScript, `1.0`,
 * the order of names and the white space survive. The text must be valid JSON. Pure.
 */

/** Undefined where something on the path is there and no object. Missing objects on the path are made. */
export function spliceJson(text: string, path: readonly string[], value: string): string | undefined {
  let at = skipSpace(text, text.charCodeAt(0) === byteOrderMark ? 1 : 0)
  for (const [depth, name] of path.entries()) {
    if (text[at] !== '{') return undefined
    const { member, end, isEmpty } = findMember(text, at, name)
    if (member === undefined) {
      const added = `${JSON.stringify(name)}:${nest(path.slice(depth + 1), value)}`
      return `${text.slice(0, end)}${isEmpty ? '' : ','}${added}${text.slice(end)}`
    }
    at = member
  }
  return text.slice(0, at) + value + text.slice(skipValue(text, at))
}

const byteOrderMark = 0xfeff

function nest(path: readonly string[], value: string): string {
  return path.reduceRight((inner, name) => `{${JSON.stringify(name)}:${inner}}`, value)
}

/** Where the value of `name` begins in the object at `open`; the last one of a repeated name, as JSON.parse has it. */
function findMember(
  text: string,
  open: number,
  name: string,
): { member: number | undefined; end: number; isEmpty: boolean } {
  let member: number | undefined
  let at = skipSpace(text, open + 1)
  const isEmpty = text[at] === '}'
  while (text[at] !== '}' && at < text.length) {
    const nameEnd = skipString(text, at)
    const value = skipSpace(text, skipSpace(text, nameEnd) + 1)
    if (isName(text.slice(at, nameEnd), name)) member = value
    at = skipSpace(text, skipValue(text, value))
    if (text[at] === ',') at = skipSpace(text, at + 1)
  }
  return { member, end: at, isEmpty }
}

function isName(quoted: string, name: string): boolean {
  return quoted.includes('\\')
    ? JSON.parse(quoted) === name
    : quoted.length === name.length + 2 && quoted.slice(1, -1) === name
}

function skipSpace(text: string, from: number): number {
  let at = from
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at += 1
  return at
}

/** The place after the string that begins at `quote`. */
function skipString(text: string, quote: number): number {
  let at = quote + 1
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at + 1
}

/** The place after the value that begins at `from`. */
function skipValue(text: string, from: number): number {
  let depth = 0
  let at = from
  while (at < text.length) {
    const char = text[at]
    if (char === '"') at = skipString(text, at) - 1
    else if (char === '{' || char === '[') depth += 1
    else if (depth === 0 && (char === ',' || char === '}' || char === ']')) return at
    else if (char === '}' || char === ']') depth -= 1
    at += 1
    if (depth === 0 && (char === '"' || char === '}' || char === ']')) return at
  }
  return at
}
