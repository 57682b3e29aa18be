import { styleText } from 'node:util'
import winston from 'winston'
import { hideAddresses } from '../adapter/address.ts'
import type { Log } from '../adapter/contract.ts'
import { visible } from './visible.ts'

export const logLevels = ['error', 'warn', 'info', 'debug'] as const
export type LogLevel = (typeof logLevels)[number]
export type LogFormat = 'auto' | 'text' | 'json'

/** Longest text of one field; what a peer sends must not fill the disk. */
const maxFieldLength = 2_000

/** A log on standard error: one coloured line on a terminal, JSON otherwise. Payloads are never given to it. */
export function createLog(options: { level: LogLevel; format: LogFormat; stream?: NodeJS.WritableStream }): Log {
  const stream = options.stream ?? process.stderr
  const isText = options.format === 'text' || (options.format === 'auto' && (stream as NodeJS.WriteStream).isTTY)
  const logger = winston.createLogger({
    level: options.level,
    format: isText ? textFormat : jsonFormat,
    transports: [new winston.transports.Stream({ stream })],
  })
  return {
    debug: (message, fields) => void logger.debug(message, fields),
    info: (message, fields) => void logger.info(message, fields),
    warn: (message, fields) => void logger.warn(message, fields),
    error: (message, fields) => void logger.error(message, fields),
  }
}

type Line = { level: string; message: unknown } & Record<string, unknown>

const jsonFormat = winston.format.printf((info) => {
  const { level, message, ...fields } = info as Line
  return JSON.stringify({ time: new Date().toISOString(), level, message: clean(message), ...cleaned(fields) })
})

const textFormat = winston.format.printf((info) => {
  const { level, message, ...fields } = info as Line
  const time = new Date().toISOString().slice(11, 23)
  const rest = Object.entries(cleaned(fields)).map(([name, value]) => ` ${name}=${text(value)}`)
  return `${styleText('dim', time)} ${coloured(level)} ${clean(message)}${styleText('dim', rest.join(''))}`
})

const colours = { error: 'red', warn: 'yellow', info: 'green', debug: 'blue' } as const

function coloured(level: string): string {
  return styleText(colours[level as LogLevel] ?? 'white', level.padEnd(5))
}

function text(value: unknown): string {
  return typeof value === 'string' && !/[\s"]/.test(value) ? value : JSON.stringify(value)
}

/** On one line, without what is secret in an address: what a peer sent can neither forge a line nor turn its direction. */
function clean(value: unknown): string {
  return visible(
    hideAddresses(String(value))
      .slice(0, maxFieldLength)
      .replaceAll(/[\t\n\r]+/g, ' '),
  )
}

const secretName = /password|secret|token|passphrase/i

function cleaned(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const entries = Object.entries(fields).map(([name, value]) => {
    if (secretName.test(name)) return [name, '***']
    return [name, typeof value === 'number' || typeof value === 'boolean' ? value : clean(jsonText(value))]
  })
  return Object.fromEntries(entries)
}

function jsonText(value: unknown): string {
  if (typeof value === 'string') return value
  return value instanceof Error ? value.message : (JSON.stringify(value) ?? 'undefined')
}
