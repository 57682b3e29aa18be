import {
  Envelope,
  type EnvelopeFields,
  type ExtensionValue,
  HeaderBag,
  type HeaderValue,
} from '../envelope/envelope.ts'
import { isExtensionName, isExtensionValue } from '../envelope/extensions.ts'
import { stringifyJson } from '../envelope/json.ts'
import { PermanentError } from '../errors.ts'
import { compileValue, constantOf, type Scope } from './expression.ts'
import { forbiddenNames, isKnownHeader, type KnownHeader } from './fields.ts'
import { spliceJson } from './json-splice.ts'
import { chargeText, exhausted } from './meter.ts'
import { didYouMean } from './nearest.ts'
import { RuleError } from './rule-error.ts'
import type { Subject } from './subject.ts'
import { textOf } from './template.ts'

/** Makes the changed message of `set`. Throws PermanentError TRANSFORM_FAILED. */
export type Transform = (subject: Subject) => Envelope

/** Which half of an entry of `set` is at fault. */
export class SetError extends RuleError {
  readonly path: string
  readonly isPath: boolean
  constructor(path: string, isPath: boolean, error: RuleError) {
    super(error.message, { offset: error.offset, length: error.length, hint: error.hint })
    this.path = path
    this.isPath = isPath
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What one entry changes; throws an Error that says why it cannot. */
type Write = (draft: Draft, value: unknown) => void

/** The changes gathered so far. */
class Draft {
  readonly changes: { -readonly [Field in keyof EnvelopeFields]?: EnvelopeFields[Field] } = {}
  readonly #envelope: Envelope
  /** The payload's text while paths in it are being written. */
  #text: string | undefined

  constructor(envelope: Envelope) {
    this.#envelope = envelope
  }

  set<Field extends keyof EnvelopeFields>(field: Field, value: EnvelopeFields[Field]): void {
    this.changes[field] = value
  }

  setHeader(name: string, value: HeaderValue): void {
    const headers = Object.assign(new HeaderBag(), this.changes.headers ?? this.#envelope.headers)
    headers[name] = value
    this.changes.headers = headers
  }

  setExtension(name: string, value: ExtensionValue): void {
    const extensions = Object.assign(new HeaderBag(), this.changes.extensions ?? this.#envelope.extensions)
    extensions[name] = value
    this.changes.extensions = extensions as Record<string, ExtensionValue>
  }

  setPayload(payload: Uint8Array): void {
    this.changes.payload = payload
    this.#text = undefined
  }

  setPayloadPath(path: readonly string[], value: unknown): void {
    const text = this.#payloadText()
    chargeText(text.length)
    const spliced = spliceJson(text, path, jsonTextOf(value))
    if (spliced === undefined)
      throw new Error(`payload.${path.join('.')} leads through something that is not an object`)
    this.#text = spliced
  }

  finish(): Envelope {
    if (this.#text !== undefined) this.changes.payload = Buffer.from(this.#text)
    return this.#envelope.with(this.changes)
  }

  #payloadText(): string {
    if (this.#text !== undefined) return this.#text
    const current =
      this.changes.payload === undefined ? this.#envelope : this.#envelope.with({ payload: this.changes.payload })
    if (current.json === undefined || current.payload === null) throw new Error('the payload is not JSON')
    return utf8.decode(current.payload) // throws where the bytes are no text: they would not come out as they went in
  }
}

/**
 * Compiles `set`: path -> expression. All expressions see the message as it came; the changes are made in the order of the
 * file. Throws SetError. Undefined where nothing is set.
 */
export function compileTransform(set: ReadonlyMap<string, string>, scope: Scope): Transform | undefined {
  if (set.size === 0) return undefined
  const steps = [...set].map(([path, text]) => compileEntry(path, text, scope))
  return (subject) => {
    const draft = new Draft(subject.envelope)
    for (const step of steps) step(subject, draft)
    return draft.finish()
  }
}

function compileEntry(path: string, text: string, scope: Scope): (subject: Subject, draft: Draft) => void {
  const write = placed(path, true, () => writerFor(path))
  const value = placed(path, false, () => compileValue(text, scope))
  const constant = constantOf(text, scope)
  if (constant !== undefined && !path.startsWith('payload'))
    placed(path, false, () => tryConstant(write, constant, text))
  return (subject, draft) => {
    const found = value(subject)
    if (found === undefined) throw failed(path, `'${text}' has no value for this message: ${value.why(subject)}`)
    try {
      write(draft, found)
    } catch (error) {
      if (error === exhausted) throw error
      throw failed(path, (error as Error).message)
    }
  }
}

const failed = (path: string, reason: string) => new PermanentError('TRANSFORM_FAILED', `set ${path}: ${reason}`)

function placed<T>(path: string, isPath: boolean, compile: () => T): T {
  try {
    return compile()
  } catch (error) {
    throw error instanceof RuleError ? new SetError(path, isPath, error) : error
  }
}

const anyEnvelope = new Envelope({ messageId: '', timestamp: '', source: '', payload: null })

/** A value that is wrong for every message is a mistake in the file. */
function tryConstant(write: Write, value: unknown, text: string): void {
  try {
    write(new Draft(anyEnvelope), value)
  } catch (error) {
    throw new RuleError((error as Error).message, { offset: 0, length: text.length })
  }
}

const textFields = ['eventType', 'version', 'correlationId', 'destination', 'replyTo', 'messageId'] as const
type TextField = (typeof textFields)[number]
const isTextField = (path: string): path is TextField => (textFields as readonly string[]).includes(path)
const settable = [
  ...textFields,
  'key',
  'payload',
  'headers.contentType',
  'headers.priority',
  'headers.ttl',
  'headers.retryCount',
]

const settableText = `settable: ${textFields.join(', ')}, key, payload, payload.…, headers.…, extensions.…`

function writerFor(path: string): Write {
  const names = path.split('.')
  const bad = names.find((name) => name === '' || forbiddenNames.has(name))
  if (bad !== undefined) throw pathError(path, bad === '' ? 'a name is missing' : `'${bad}' cannot be set`)
  if (isTextField(path)) return (draft, value) => draft.set(path, text(value))
  if (path === 'key') return (draft, value) => draft.set('key', value instanceof Uint8Array ? value : text(value))
  if (names[0] === 'headers' && names.length > 1) return headerWriter(path.slice('headers.'.length))
  if (names[0] === 'extensions' && names.length > 1) return extensionWriter(path, path.slice('extensions.'.length))
  if (names[0] === 'payload') return payloadWriter(names.slice(1))
  throw pathError(path, `'${path}' cannot be set`, didYouMean(path, settable) ?? settableText)
}

const pathError = (path: string, message: string, hint?: string) =>
  new RuleError(message, { offset: 0, length: path.length, hint })

function payloadWriter(path: readonly string[]): Write {
  if (path.length > 0) return (draft, value) => draft.setPayloadPath(path, value)
  return (draft, value) => draft.setPayload(value instanceof Uint8Array ? value : Buffer.from(jsonTextOf(value)))
}

/** At any depth: left to itself, a Buffer becomes an object with a list of numbers. */
function jsonTextOf(value: unknown): string {
  if (holdsBytes(value)) throw new Error('JSON cannot hold bytes; encode them with base64(…)')
  return stringifyJson(value)
}

function holdsBytes(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (value instanceof Uint8Array) return true
  return Array.isArray(value) ? value.some(holdsBytes) : Object.values(value).some(holdsBytes)
}

const knownWriters: Readonly<Record<KnownHeader, Write>> = {
  contentType: (draft, value) => draft.set('contentType', text(value)),
  priority: (draft, value) => draft.set('priority', whole(value, 255)),
  ttl: (draft, value) => draft.set('ttlMs', whole(value, Number.MAX_SAFE_INTEGER)),
  retryCount: (draft, value) => draft.set('retryCount', whole(value, Number.MAX_SAFE_INTEGER)),
}

function headerWriter(name: string): Write {
  if (isKnownHeader(name)) return knownWriters[name]
  return (draft, value) => draft.setHeader(name, value as HeaderValue)
}

function extensionWriter(path: string, name: string): Write {
  if (!isExtensionName(name)) {
    const rule = 'lower-case letters and digits, and no name that CloudEvents or the gateway uses itself'
    throw pathError(path, `'${name}' cannot be an extension: ${rule}`)
  }
  return (draft, value) => draft.setExtension(name, isExtensionValue(value) ? value : text(value))
}

function text(value: unknown): string {
  const found = value instanceof Uint8Array ? undefined : textOf(value)
  if (found === undefined) throw new Error('expected a string')
  return found
}

function whole(value: unknown, most: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most) return value
  throw new Error(`expected an integer from 0 to ${most}`)
}
