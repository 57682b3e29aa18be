/** What the commands of `trivium dead-letters` are told, understood. All of it throws DeskError. */
import { isUtf8 } from 'node:buffer'
import { mostPayloadBytes, readBounded } from '../../adapter/small-file.ts'
import type { Changes } from '../../admin/dead-letters-edit.ts'
import type { Filter } from '../../admin/dead-letters-request.ts'
import { unreadableText } from '../../config/report/unreadable.ts'
import { exitCodes } from '../exit-codes.ts'
import { quoted } from '../words.ts'
import { DeskError, type PlaceOptions } from './desk.ts'

export interface FilterOptions extends PlaceOptions {
  readonly route?: string
  readonly reason?: string
  readonly olderThan?: string
  readonly youngerThan?: string
  readonly where?: string
}

export interface ListOptions extends FilterOptions {
  readonly limit?: string
  readonly after?: string
  readonly json?: boolean
}

export interface WorkOptions extends FilterOptions {
  readonly all?: boolean
  readonly limit?: string
  readonly dryRun?: boolean
  readonly json?: boolean
}

export interface RequeueOptions extends WorkOptions {
  readonly delay?: string
  readonly rate?: string
  readonly force?: boolean
}

export interface EditOptions extends PlaceOptions {
  readonly payload?: string
  readonly payloadFile?: string
  readonly setHeader: readonly string[]
  readonly removeHeader: readonly string[]
  readonly contentType?: string
  readonly key?: string
  readonly type?: string
  readonly priority?: string
  readonly ttl?: string
}

export function filterOf({ route, reason, olderThan, youngerThan, where }: FilterOptions): Filter {
  return { route, reason, olderThan, youngerThan, where }
}

/** Undefined where no option says what to change. */
export function changesOf(options: EditOptions): Changes | undefined {
  const { payload, payloadFile, contentType, key, type, ttl, setHeader, removeHeader } = options
  const changes: Changes = {
    ...(payload === undefined ? {} : { payloadText: payload }),
    ...(payloadFile === undefined ? {} : payloadOf(payloadFile)),
    ...(contentType === undefined ? {} : { contentType: contentType || null }),
    ...(key === undefined ? {} : { key: key || null }),
    ...(type === undefined ? {} : { eventType: type || null }),
    ...(options.priority === undefined ? {} : { priority: numberOf('--priority', options.priority, 0, 255) }),
    ...(ttl === undefined ? {} : { ttl: ttl === 'none' ? null : numberOf('--ttl', ttl, 0) }),
    ...(setHeader.length === 0 ? {} : { setHeaders: Object.fromEntries(setHeader.map(headerOf)) }),
    ...(removeHeader.length === 0 ? {} : { removeHeaders: [...removeHeader] }),
  }
  return Object.keys(changes).length === 0 ? undefined : changes
}

function payloadOf(file: string): Changes {
  let bytes: Buffer
  try {
    bytes = readBounded(file, mostPayloadBytes)
  } catch (error) {
    throw new DeskError(exitCodes.noInput, unreadableText(file, error))
  }
  return isUtf8(bytes) ? { payloadText: bytes.toString('utf8') } : { payloadBase64: bytes.toString('base64') }
}

function headerOf(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) throw usage(`--set-header ${text}: expected name=value`)
  return [text.slice(0, at), text.slice(at + 1)]
}

export function idsOf(texts: readonly string[]): number[] | undefined {
  return texts.length === 0 ? undefined : texts.map(idOf)
}

export function idOf(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
  throw usage(`${text}: expected a dead letter id, as "trivium dead-letters list" shows it`)
}

export function numberOf(option: string, text: string | undefined, least = 1, most?: number): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= least && value <= (most ?? value)) return value
  throw usage(`${option} ${text}: must be a number, ${least} ${most === undefined ? 'or more' : `to ${most}`}`)
}

/** What the API or the store says of a field, said of the option the user gave: `olderThan: …` is `--older-than 1x: …`. */
export function aboutOption(text: string, options: Readonly<Record<string, unknown>>): string {
  const [begin = '', name = ''] = /^(\w+): /.exec(text) ?? []
  const value = options[name]
  if (typeof value !== 'string') return text
  const option = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  return `--${option} ${quoted(value)}: ${text.slice(begin.length)}`
}

export const usage = (problem: string) => new DeskError(exitCodes.usage, problem)
