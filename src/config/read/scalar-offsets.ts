import type { Scalar } from 'yaml'

/**
 * Where each character of a YAML scalar's value stands in the file: quotes, escapes, indentation and folded lines make
 * the two differ. Offsets are those of the file, one more than the value has characters.
 */
export function scalarOffsets(scalar: Scalar, value: string, file: string): readonly number[] {
  const [start = 0, end = 0] = scalar.range ?? []
  const isBlock = scalar.type === 'BLOCK_LITERAL' || scalar.type === 'BLOCK_FOLDED'
  const isQuoted = scalar.type === 'QUOTE_DOUBLE' || scalar.type === 'QUOTE_SINGLE'
  if (isBlock) return blockOffsets(value, file, start, end)
  return flowOffsets(value, file, {
    start: isQuoted ? start + 1 : start,
    end,
    quote: isQuoted ? file[start] : undefined,
  })
}

/** A block's lines all begin with the same indentation, which the value does not have. */
function blockOffsets(value: string, file: string, start: number, end: number): number[] {
  let at = file.indexOf('\n', start) + 1
  const indent = /^(?:[ \t]*\n)*( *)/.exec(file.slice(at, end))?.[1]?.length ?? 0
  at = skipIndent(file, at, indent)
  const offsets: number[] = []
  for (const character of units(value)) {
    if (file[at] === '\r') at++
    const isLineEnd = file[at] === '\n'
    offsets.push(at)
    if (isLineEnd) at = skipIndent(file, at + 1, indent)
    else if (file[at] === character) at++
  }
  return [...offsets, Math.min(at, end)]
}

function skipIndent(file: string, from: number, indent: number): number {
  let at = from
  while (at < from + indent && file[at] === ' ') at++
  return at
}

/** Plain and quoted text: line breaks with the white space around them are one character, an escape is one too. */
function flowOffsets(
  value: string,
  file: string,
  place: { start: number; end: number; quote: string | undefined },
): number[] {
  const offsets: number[] = []
  let at = place.start
  for (const character of units(value)) {
    offsets.push(at)
    if (place.quote === '"' && file[at] === '\\') at += escapeLength(file, at)
    else if (place.quote === "'" && character === "'") at += 2
    else if (file[at] === character) at++
    else at += /^[ \t]*\r?\n\s*/.exec(file.slice(at, place.end))?.[0].length ?? 1
    if (character === ' ' && /[\r\n]/.test(file[at] ?? ''))
      at += /^\s*/.exec(file.slice(at, place.end))?.[0].length ?? 0
  }
  return [...offsets, Math.min(at, place.end)]
}

function escapeLength(file: string, at: number): number {
  const hexDigits: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 }
  return 2 + (hexDigits[file[at + 1] ?? ''] ?? 0)
}

function units(text: string): string[] {
  return text.split('')
}
