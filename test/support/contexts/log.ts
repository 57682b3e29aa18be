import type { Log } from '../../../src/adapter/contract.ts'

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** A log that remembers its lines. */
export function recordingLog(lines: LogLine[] = []): { readonly log: Log; readonly lines: LogLine[] } {
  const write =
    (level: LogLine['level']) =>
    (message: string, fields: LogLine['fields'] = {}): void =>
      void lines.push({ level, message, fields })
  return { log: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }, lines }
}

/** Lines about what does not work. */
export const complaints = (lines: readonly LogLine[]): LogLine[] =>
  lines.filter(({ level }) => level === 'warn' || level === 'error')
