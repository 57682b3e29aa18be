/**
 * What a binary message says beside its plain headers. `trvtypes` tags texts that stand for other types:
 * `name=tag;name=tag`, names percent-encoded; `:` is in front of a field's name, `@` of an extension's, `^` of a header's with
 * its types in AMQP. `trvheaders` is JSON with the headers that cannot be written under their own name.
 */
import { addHeader, type Draft } from './draft.ts'
import { Envelope, type ExtensionValue, type HeaderValue } from './envelope.ts'
import { isExtensionValue } from './extensions.ts'
import { epochMs } from './time.ts'
import { fromJson, fromText, type Tag, toJson, toText } from './typed.ts'

const joined = (types: string | undefined, entry: string): string => (types ? `${types};${entry}` : entry)

/** Tags of fields. */
export const tombstone = ':payload=0'
export const bytesKey = ':key=b'

/** Gathers `trvtypes` and `trvheaders` while headers are written. */
export class Extras {
  types = ''
  #spilled: Record<string, unknown> | undefined

  /** `entry` is one of the fields' tags. */
  tagField(entry: string): void {
    this.types = joined(this.types, entry)
  }

  tag(name: string, tag: Tag): void {
    this.tagField(`${encodeURIComponent(name.toWellFormed())}=${tag}`)
  }

  /** Of a header named as an extension may be, which needs no encoding. */
  tagHeader(name: string): void {
    this.tagField(`${name}=h`)
  }

  /** An extension as a carrier of text has it. */
  extensionText(name: string, value: ExtensionValue): string {
    if (typeof value === 'string') return value
    const { text, tag } = toText(value)
    this.tagField(`@${name}=${tag}`)
    return text
  }

  /** Throws a PermanentError for a value nested too deep. */
  spill(name: string, value: HeaderValue): void {
    this.#spilled ??= Object.create(null) as Record<string, unknown>
    this.#spilled[name] = toJson(value)
  }

  /** JSON of the spilled headers; undefined: there are none. */
  get spilled(): string | undefined {
    return this.#spilled === undefined ? undefined : JSON.stringify(this.#spilled)
  }
}

/** The envelope of a draft whose attributes and headers are all read. */
export function finish(draft: Draft): Envelope {
  if (draft.types !== undefined) retype(draft, draft.types)
  if (draft.spilled !== undefined) unspill(draft, draft.spilled)
  if (draft.expires !== undefined && draft.ttlMs === undefined) draft.ttlMs = ttlOf(draft.timestamp, draft.expires)
  return new Envelope(draft)
}

function retype(draft: Draft, types: string): void {
  for (const entry of types.split(';')) {
    const equals = entry.lastIndexOf('=')
    const tag = entry.slice(equals + 1)
    if (entry === tombstone) draft.payload = draft.payload?.byteLength ? draft.payload : null
    else if (entry === bytesKey)
      draft.key = typeof draft.key === 'string' ? Buffer.from(draft.key, 'base64') : draft.key
    else if (entry.startsWith('^')) draft.headerTypes = joined(draft.headerTypes, entry)
    else if (entry.startsWith('@')) retypeExtension(draft, entry.slice(1, equals), tag)
    else retypeHeader(draft, nameOf(entry.slice(0, equals)), tag)
  }
}

function retypeExtension({ extensions }: Draft, name: string, tag: string): void {
  const value = extensions?.[name]
  const typed = typeof value === 'string' ? fromText(value, tag) : undefined
  if (extensions !== undefined && isExtensionValue(typed)) extensions[name] = typed
}

/** What has a tag is a header, where extensions have no prefix either. */
function retypeHeader(draft: Draft, name: string, tag: string): void {
  const extension = draft.extensions?.[name]
  if (extension !== undefined && draft.headers?.[name] === undefined) {
    delete draft.extensions?.[name]
    addHeader(draft, name, extension)
  }
  const value = draft.headers?.[name]
  if (draft.headers !== undefined && typeof value === 'string') draft.headers[name] = fromText(value, tag)
}

function nameOf(encoded: string): string {
  try {
    return decodeURIComponent(encoded)
  } catch {
    return encoded
  }
}

/**
 * A header that stands under its own name was put there since, such as RabbitMQ's `x-death`: it is the newer one. What is
 * no JSON object of ours stays a header, so that nothing is lost.
 */
function unspill(draft: Draft, json: string): void {
  try {
    const table: unknown = JSON.parse(json)
    if (typeof table !== 'object' || table === null || Array.isArray(table)) return addHeader(draft, 'trvheaders', json)
    const entries = Object.entries(table).map(([name, value]) => [name.toWellFormed(), fromJson(value)] as const)
    for (const [name, value] of entries) if (draft.headers?.[name] === undefined) addHeader(draft, name, value)
  } catch {
    addHeader(draft, 'trvheaders', json)
  }
}

function ttlOf(timestamp: string, expires: string): number | undefined {
  const start = epochMs(timestamp)
  const end = epochMs(expires)
  return start === undefined || end === undefined ? undefined : Math.max(0, end - start)
}
