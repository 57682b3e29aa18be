/** Dead letters as people read them. What a peer sent is never written raw: it could steer the terminal. */
import { styleText } from 'node:util'
import type { LetterRecord, LetterSummary } from '../../admin/dead-letters-view.ts'
import { visible, visibleLines } from '../../telemetry/visible.ts'

type Paint = (style: 'bold' | 'dim' | 'yellow' | 'red', text: string) => string

/** Colours where standard output is a terminal that wants them. */
export const paint: Paint = (style, text) => styleText(style, text, { stream: process.stdout })

/** Text on one line, with what is no visible character written as `\u001b`. */
export const plain = (text: unknown): string => visible(String(text))

const columns: readonly [title: string, read: (letter: LetterSummary, nowMs: number) => string][] = [
  ['ID', ({ id }) => String(id)],
  ['ROUTE', ({ route }) => route],
  ['REASON', ({ reason }) => reason],
  ['AGE', ({ lastAt }, nowMs) => ageOf(lastAt, nowMs)],
  ['TRIES', ({ attempts }) => String(attempts)],
  ['BACK', ({ requeues }) => String(requeues)],
  ['ERROR', ({ error }) => `${error.code}: ${error.message}`],
]

/** A table with a title line; lines are cut to `width`, if there is one. */
export function tableOf(letters: readonly LetterSummary[], width: number | undefined, nowMs = Date.now()): string {
  const rows = letters.map((letter) => columns.map(([, read]) => plain(read(letter, nowMs))))
  const titles = columns.map(([title]) => title)
  const widths = titles.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]?.length ?? 0)))
  const lineOf = (cells: readonly string[]) => {
    const line = cells
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd()
    return width !== undefined && line.length > width ? `${line.slice(0, width - 1)}…` : line
  }
  return [paint('bold', lineOf(titles)), ...rows.map(lineOf)].join('\n')
}

/** The largest unit that is full: `3m`, `2h`, `5d`. */
function ageOf(time: string, nowMs: number): string {
  const secs = Math.max(0, Math.floor((nowMs - Date.parse(time)) / 1_000))
  if (secs < 60) return `${secs}s`
  if (secs < 3_600) return `${Math.floor(secs / 60)}m`
  return secs < 86_400 ? `${Math.floor(secs / 3_600)}h` : `${Math.floor(secs / 86_400)}d`
}

/** Most bytes of a payload that are shown. */
const shownBytes = 4_096
const hexPerLine = 16
const shownHexBytes = 256

/** One letter, all of it but what is too long. */
export function letterText(record: LetterRecord, nowMs = Date.now()): string {
  const {
    headers = {},
    customHeaders = {},
    extensions = {},
    payload,
    payloadText,
    payloadBase64,
    payloadSpace,
    ...fields
  } = record.message
  const at = (time: string) => `${time} (${ageOf(time, nowMs)} ago)`
  const letter = {
    ...{ route: record.route, reason: record.reason, error: `${record.error.code}: ${record.error.message}` },
    ...{ target: record.target, attempts: record.attempts, requeues: record.requeues },
    ...{ received: at(record.firstAt), 'last try': at(record.lastAt), malformed: record.malformed },
    forwarded: record.forwardedAt,
    ...Object.fromEntries(Object.entries(record.params).map(([name, value]) => [`params.${name}`, value])),
  }
  return [
    ...section(`dead letter ${record.id}`, letter),
    ...section('message', fields),
    ...section('headers', { ...(headers as object), ...(customHeaders as object) }),
    ...section('extensions', extensions as object),
    paint(
      'bold',
      `payload${record.payloadBytes === undefined ? ': none (a tombstone)' : `, ${record.payloadBytes} bytes`}`,
    ),
    ...payloadLines(payloadText, payloadBase64),
  ].join('\n')
}

function section(title: string, fields: object): string[] {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined)
  if (given.length === 0) return []
  const width = Math.max(...given.map(([name]) => plain(name).length))
  const lines = given.map(([name, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    return `  ${paint('dim', plain(name).padEnd(width))}  ${plain(text)}`
  })
  return [paint('bold', title), ...lines]
}

function payloadLines(text: unknown, base64: unknown): string[] {
  if (typeof text === 'string') {
    const shown = visibleLines(text.slice(0, shownBytes))
    return text.length > shownBytes ? [shown, paint('dim', '… cut; --payload writes all of it')] : [shown]
  }
  if (typeof base64 !== 'string') return []
  const bytes = Buffer.from(base64, 'base64')
  const lines: string[] = []
  for (let start = 0; start < Math.min(bytes.length, shownHexBytes); start += hexPerLine) {
    const part = bytes.subarray(start, start + hexPerLine)
    const hex = part.toString('hex').replaceAll(/..(?=.)/g, '$& ')
    const chars = part.toString('latin1').replaceAll(/[^\x20-\x7e]/g, '.')
    lines.push(`${start.toString(16).padStart(8, '0')}  ${hex.padEnd(3 * hexPerLine)} ${chars}`)
  }
  return bytes.length > shownHexBytes ? [...lines, paint('dim', '… cut; --payload writes all of it')] : lines
}
