/** RFC 3339 texts and the milliseconds they stand for. Messages cluster in time, so a second's text is made once. */
const digits = Array.from({ length: 1000 }, (_, i) => `${String(i).padStart(3, '0')}Z`)
// what RFC 3339 can say, without the year 0000
const earliestMs = -62_135_596_800_000
const latestMs = 253_402_300_799_999

let writtenSecond = Number.NaN
let writtenText = ''

/** RFC 3339 text in UTC of milliseconds since 1970; of now where they are none. */
export function isoText(ms: number): string {
  const known = ms >= earliestMs && ms <= latestMs ? Math.floor(ms) : Date.now()
  const second = Math.floor(known / 1000)
  if (second !== writtenSecond) {
    writtenSecond = second
    writtenText = new Date(second * 1000).toISOString().slice(0, 20)
  }
  return writtenText + digits[known - second * 1000]
}

const rfc3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/
const whole = /^-?\d{1,19}$/
const maxSeconds = latestMs / 1000

/** Milliseconds of a whole number of seconds, or of the unit that it can only be: milli-, micro- or nanoseconds. */
export function millisecondsOf(units: number): number {
  if (units <= maxSeconds) return units * 1000
  if (units <= latestMs) return units
  return units <= latestMs * 1000 ? units / 1000 : units / 1e6
}

/** A sender's time as RFC 3339, verbatim where it is that already; undefined: it is no time. */
export function timeText(text: string): string | undefined {
  if (text.length === 24 && epochMs(text) !== undefined) return text // the most common form, and the quickest to know
  if (rfc3339.test(text)) return text
  if (whole.test(text)) return isoText(millisecondsOf(Number(text)))
  const dressed = text.trim().replace(' ', 'T') // 2026-11-23 20:00:00, which without an offset is taken for UTC
  return [dressed, `${dressed}Z`].find((each) => epochMs(each) !== undefined)
}

let readText = ''
let readMs = 0

/** Milliseconds since 1970 of an RFC 3339 text; undefined where it is none. */
export function epochMs(text: string): number | undefined {
  if (text.length === 24 && text.charCodeAt(23) === 0x5a && text.startsWith(readText) && readText !== '') {
    const hundreds = digitAt(text, 20)
    const tens = digitAt(text, 21)
    const ones = digitAt(text, 22)
    if (hundreds >= 0 && tens >= 0 && ones >= 0) return readMs + hundreds * 100 + tens * 10 + ones
  }
  if (!rfc3339.test(text)) return undefined
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) return undefined
  if (text.length === 24 && text[19] === '.') {
    readText = text.slice(0, 20)
    readMs = Math.floor(ms / 1000) * 1000
  }
  return ms
}

/** Negative where there is none. */
function digitAt(text: string, at: number): number {
  const digit = text.charCodeAt(at) - 48
  return digit > 9 ? -1 : digit
}
