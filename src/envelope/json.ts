/** JSON in and out without loss: a whole number that a double cannot hold is a bigint on this side. Pure. */

/** The value, or undefined where the bytes are absent or no JSON; a byte order mark is skipped. Never throws. */
export function parseJson(bytes: Uint8Array | null): unknown {
  if (bytes === null || !mayBegin(bytes)) return undefined
  const text = textWithoutMark(bytes)
  try {
    return hasLongNumber(bytes)
      ? JSON.parse(text, keepExact as (key: string, value: unknown) => unknown)
      : JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Bytes of the UTF-8 byte order mark that some editors and Windows programs put before a text. */
export function markLength(bytes: Uint8Array): 0 | 3 {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
}

/** UTF-8 as text. */
export function textWithoutMark(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8', markLength(bytes))
}

const firstBytes: ReadonlySet<number | undefined> = new Set([...'{["-0123456789tfn'].map((char) => char.charCodeAt(0)))

/** False for most texts that are no JSON, without the cost of an exception. */
function mayBegin(bytes: Uint8Array): boolean {
  let at: number = markLength(bytes)
  while (bytes[at]! <= 0x20) at += 1
  return firstBytes.has(bytes[at])
}

/** The JSON text of a value; bigints are written as numbers. Throws TypeError where the value has none. */
export function stringifyJson(value: unknown): string {
  const text = plainJson(value) ?? JSON.stringify(value, exactly)
  if (text === undefined) throw new TypeError('the value cannot be written as JSON')
  return text
}

/** Far quicker than with a replacer, and all but a few values have no bigint. */
function plainJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch {
    return undefined // a bigint, or what the other way has no JSON for either
  }
}

const exactly = (_key: string, part: unknown) => (typeof part === 'bigint' ? rawJson(String(part)) : part)
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON
const wholeNumber = /^-?\d{1,40}$/ // longer ones cost more than they are worth

function keepExact(_key: string, value: unknown, context: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  return context.source !== undefined && wholeNumber.test(context.source) ? BigInt(context.source) : value
}

const shortestInexact = 16
const startsNumber = new Set([...':,[- \t\r\n'].map((char) => char.charCodeAt(0)))

/**
 * Whether a whole number of 16 digits or more may stand in the bytes. Looks at every sixteenth byte only, which no such
 * run can slip through, so the common message pays next to nothing; true by mistake only costs time.
 */
function hasLongNumber(bytes: Uint8Array): boolean {
  let at = shortestInexact - 1
  while (at < bytes.length) {
    if (!isDigit(bytes[at])) {
      at += shortestInexact
      continue
    }
    let start = at
    while (isDigit(bytes[start - 1])) start -= 1
    let end = at + 1
    while (isDigit(bytes[end])) end += 1
    if (end - start >= shortestInexact && (start === 0 || startsNumber.has(bytes[start - 1] ?? 0))) return true
    at = end + shortestInexact - 1
  }
  return false
}

function isDigit(code: number | undefined): boolean {
  return code !== undefined && code >= 48 && code <= 57
}
