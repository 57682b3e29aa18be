import type { PermanentError } from '../errors.ts'
import { type EnvelopeFields, type ExtensionValue, HeaderBag, type HeaderValue } from './envelope.ts'
import { isExtensionName, isExtensionValue } from './extensions.ts'
import { isShallow, tooDeep } from './typed.ts'

/** The fields of an envelope as a decoder gathers them. Always of one shape, which keeps `new Envelope` fast. */
export class Draft implements EnvelopeFields {
  messageId: string
  timestamp: string
  source: string
  destination: string | undefined = undefined
  eventType: string | undefined = undefined
  version: string | undefined = undefined
  correlationId: string | undefined = undefined
  contentType: string | undefined = undefined
  priority: number | undefined = undefined
  ttlMs: number | undefined = undefined
  retryCount: number | undefined = undefined
  headers: Record<string, HeaderValue> | undefined = undefined
  headerTypes: string | undefined = undefined
  extensions: Record<string, ExtensionValue> | undefined = undefined
  payload: Uint8Array | null
  key: string | Uint8Array | undefined = undefined
  replyTo: string | undefined = undefined
  retain: boolean | undefined = undefined
  hops: string | undefined = undefined
  malformed: PermanentError | undefined = undefined
  /** A binary event: it came with the attributes of one. */
  isEvent = false
  /** `trvtypes`, `trvheaders` and `expirytime`, understood when all else is read. */
  types: string | undefined = undefined
  spilled: string | undefined = undefined
  expires: string | undefined = undefined

  constructor(messageId: string, timestamp: string, source: string, payload: Uint8Array | null) {
    this.messageId = messageId
    this.timestamp = timestamp
    this.source = source
    this.payload = payload
  }
}

/** Adds an attribute that no field stands for, as a custom header where CloudEvents knows no such name or type. */
export function addExtension(draft: Draft, name: string, value: HeaderValue): void {
  if (!isExtensionName(name) || !isExtensionValue(value)) return addHeader(draft, name, value)
  draft.extensions ??= new HeaderBag() as Record<string, ExtensionValue>
  draft.extensions[name] = value
}

/**
 * Adds a custom header; a name that is there already becomes a repeated header. Where its values would then be nested too
 * deep, the first stays and the message is malformed.
 */
export function addHeader(draft: Draft, name: string, value: HeaderValue): void {
  draft.headers ??= new HeaderBag()
  const earlier = draft.headers[name]
  if (earlier === undefined) {
    draft.headers[name] = value
    return
  }
  const both = [...valuesOf(earlier), ...valuesOf(value)]
  if (isShallow(both)) draft.headers[name] = both
  else draft.malformed ??= tooDeep()
}

const valuesOf = (value: HeaderValue): readonly HeaderValue[] => (Array.isArray(value) ? value : [value])
