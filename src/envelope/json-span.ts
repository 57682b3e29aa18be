/** Finds a member's own bytes in JSON that is known to be valid, so that they can be passed on as they came. */
import { markLength } from './json.ts'

const quote = 0x22
const backslash = 0x5c
const colon = 0x3a
const comma = 0x2c
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d

/** The bytes of the last top-level member called `name`, without white space around them; undefined: there is none. */
export function memberBytes(json: Buffer, name: string): Buffer | undefined {
  let found: Buffer | undefined
  let at = skipSpace(json, 0) + 1
  while (at < json.length) {
    at = skipSpace(json, at)
    if (json[at] !== quote) break
    const nameEnd = skipString(json, at)
    const isWanted = textOf(json, at, nameEnd) === name
    const start = skipSpace(json, json.indexOf(colon, nameEnd) + 1)
    at = skipValue(json, start)
    if (isWanted) found = json.subarray(start, at)
    at = skipSpace(json, at)
    if (json[at] !== comma) break
    at += 1
  }
  return found
}

/** The bytes of each element of a top-level array, without white space around them. */
export function elementsBytes(json: Buffer): Buffer[] {
  const found: Buffer[] = []
  let at = skipSpace(json, markLength(json)) + 1
  while (at < json.length) {
    const start = skipSpace(json, at)
    if (json[start] === closeBracket) break
    const end = skipValue(json, start)
    found.push(json.subarray(start, end))
    at = skipSpace(json, end)
    if (json[at] !== comma) break
    at += 1
  }
  return found
}

function textOf(json: Buffer, start: number, end: number): unknown {
  const text = json.toString('utf8', start, end)
  if (!text.includes('\\')) return text.slice(1, -1)
  try {
    return JSON.parse(text)
  } catch {
    return undefined // bytes that are no JSON after all
  }
}

function skipSpace(json: Buffer, at: number): number {
  let next = at
  while (next < json.length && json[next]! <= 0x20) next += 1
  return next
}

/** The position behind the string that starts at `at`. */
function skipString(json: Buffer, at: number): number {
  let end = json.indexOf(quote, at + 1)
  while (end >= 0 && isEscaped(json, end)) end = json.indexOf(quote, end + 1)
  return end < 0 ? json.length : end + 1
}

function isEscaped(json: Buffer, at: number): boolean {
  let slashes = 0
  while (json[at - 1 - slashes] === backslash) slashes += 1
  return slashes % 2 === 1
}

/** The position behind the value that starts at `at`. */
function skipValue(json: Buffer, at: number): number {
  const first = json[at]
  if (first === quote) return skipString(json, at)
  if (first !== openBrace && first !== openBracket) return skipScalar(json, at)
  let depth = 0
  let next = at
  while (next < json.length) {
    const byte = json[next]
    if (byte === quote) {
      next = skipString(json, next)
      continue
    }
    next += 1
    if (byte === openBrace || byte === openBracket) depth += 1
    else if ((byte === closeBrace || byte === closeBracket) && --depth === 0) break
  }
  return next
}

function skipScalar(json: Buffer, at: number): number {
  let next = at
  while (next < json.length && json[next]! > 0x20 && isInside(json[next]!)) next += 1
  return next
}

function isInside(byte: number): boolean {
  return byte !== comma && byte !== closeBrace && byte !== closeBracket
}
