/** JSON in and out without loss: a whole number that a double cannot hold is a bigint on this side. Pure. */

/** The value, or undefined where the bytes are absent or no JSON. Never throws. */
export function parseJson(bytes: Uint8Array | null): unknown {
  if (bytes === null || bytes.byteLength === 0) return undefined
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  try {
    return hasLongNumber(bytes)
      ? JSON.parse(text, keepExact as (key: string, value: unknown) => unknown)
      : JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The JSON text of a value; bigints are written as numbers. Throws TypeError where the value has none. */
export function stringifyJson(value: unknown): string {
  const text = JSON.stringify(value, (_key, part) => (typeof part === 'bigint' ? rawJson(String(part)) : part))
  if (text === undefined) throw new TypeError('the value has no JSON form')
  return text
}

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
