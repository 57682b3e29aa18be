/** Diagnostics as a compiler would print them: place, excerpt, caret, and what was probably meant. */
import { styleText } from 'node:util'
import type { Diagnostic } from './diagnostic.ts'

export interface RenderOptions {
  /** Default: false. */
  readonly color?: boolean
}

const widestExcerpt = 120

/** All diagnostics and a last line that counts them; empty when there are none. `sourceText` is the file they are about. */
export function renderDiagnostics(
  diagnostics: readonly Diagnostic[],
  sourceText: string,
  { color = false }: RenderOptions = {},
): string {
  if (diagnostics.length === 0) return ''
  const paint: StylePaint = color
    ? (style, text) => styleText(style, text, { validateStream: false })
    : (_, text) => text
  const lines = sourceText.split(/\r?\n/)
  const blocks = diagnostics.map((diagnostic) => renderOne(diagnostic, lines, paint))
  return `${[...blocks, summary(diagnostics)].join('\n\n')}\n`
}

type StylePaint = (style: ('red' | 'yellow' | 'blue' | 'cyan' | 'bold')[], text: string) => string

function renderOne(diagnostic: Diagnostic, lines: readonly string[], paint: StylePaint): string {
  const { severity, code, message, file, line, column, help, suggestion, allowed } = diagnostic
  const tone = severity === 'error' ? 'red' : 'yellow'
  const gutter = ' '.repeat(String(line).length)
  const edge = (text: string) => paint(['blue'], text)
  const out = [`${paint([tone, 'bold'], `${severity}[${code}]`)}: ${paint(['bold'], printable(message))}`]
  const label = suggestion === undefined ? '' : ` did you mean \`${suggestion}\`?`
  if (line === 0) out.push(edge(`${gutter} ┌─ `) + file)
  else {
    const { text, start, length } = excerpt(lines[line - 1] ?? '', diagnostic)
    const caret = `${' '.repeat(start)}${paint([tone, 'bold'], '^'.repeat(length))}${paint(['cyan'], label)}`
    out.push(`${edge(`${gutter} ┌─ `)}${file}:${line}:${column}`, edge(`${gutter} │`))
    out.push(`${edge(`${line} │ `)}${text}`, `${edge(`${gutter} │ `)}${caret}`)
  }
  if (allowed !== undefined && allowed.length > 0) out.push(`${gutter} ${edge('=')} allowed: ${allowed.join(', ')}`)
  if (help !== undefined) out.push(`${gutter} ${edge('=')} help: ${help}`)
  return out.join('\n')
}

/** The line, its secrets hidden, cut to a window around the caret when it is long. */
function excerpt(line: string, { column, length, masked = [] }: Diagnostic) {
  const shown = masked.reduce((text, { column: from, length: many }) => hide(text, from - 1, many), printable(line))
  const start = column - 1
  const from = Math.max(0, Math.min(start - 40, shown.length - widestExcerpt))
  const isCut = shown.length > widestExcerpt
  const window = isCut ? shown.slice(from, from + widestExcerpt) : shown
  const head = isCut && from > 0 ? '…' : ''
  const tail = isCut && from + widestExcerpt < shown.length ? '…' : ''
  const caretStart = (isCut ? start - from : start) + head.length
  const room = Math.max(1, window.length + head.length - caretStart)
  return { text: `${head}${window}${tail}`, start: caretStart, length: Math.max(1, Math.min(length, room)) }
}

function hide(text: string, from: number, length: number): string {
  return text.slice(0, from) + '*'.repeat(length) + text.slice(from + length)
}

/** A file may hold anything; a terminal must not obey it. One column stays one column. */
function printable(text: string): string {
  return text.replaceAll('\t', ' ').replaceAll(/\p{Cc}|\p{Cf}|\p{Zl}|\p{Zp}/gu, '�')
}

function summary(diagnostics: readonly Diagnostic[]): string {
  const errors = diagnostics.filter(({ severity }) => severity === 'error').length
  const warnings = diagnostics.length - errors
  const parts = [count(errors, 'error'), count(warnings, 'warning')].filter((part) => part !== '')
  return parts.join(', ')
}

function count(many: number, thing: string): string {
  return many === 0 ? '' : `${many} ${thing}${many === 1 ? '' : 's'}`
}
