import { isUtf8 } from 'node:buffer'
import type { PermanentError } from '../errors.ts'
import { isEncoded } from './content-encoding.ts'
import { parseJson, textWithoutMark } from './json.ts'
import { ownBytes } from './own-bytes.ts'

/** A header's value. Repeated headers are an array; anything JSON can say is kept as it is. */
export type HeaderValue = string | number | bigint | boolean | null | Uint8Array | readonly HeaderValue[] | HeaderTable
export interface HeaderTable {
  readonly [name: string]: HeaderValue
}
/** Custom headers, without Object's prototype (see `HeaderBag`); names as the sender wrote them. */
export type CustomHeaders = Readonly<Record<string, HeaderValue>>

/** An extension attribute of a CloudEvent: its own types that JSON has too; numbers are integers of 32 bits. */
export type ExtensionValue = string | number | boolean
export type Extensions = Readonly<Record<string, ExtensionValue>>

/** An object to gather headers in: inherits nothing, so that any name is only a name; faster than `Object.create(null)`. */
export const HeaderBag = function HeaderBag() {} as unknown as new () => Record<string, HeaderValue>
HeaderBag.prototype = Object.freeze(Object.create(null))

/** How a message travels: see docs/formats.md. */
export const formats = ['binary', 'envelope', 'cloudevents', 'raw'] as const
export type Format = (typeof formats)[number]

/**
 * The canonical fields, as a codec knows them. Absent is undefined, never null; times and durations carry their unit.
 * In YAML, expressions and JSON the well-known headers are `headers.contentType, .priority, .ttl, .retryCount`.
 */
export interface EnvelopeFields {
  /** The sender's id where it gave one, for Kafka `topic/partition/offset`, else a UUIDv7. */
  messageId: string
  /** RFC 3339, kept verbatim. */
  timestamp: string
  /** Where it came from: `mqtt://plant/sensors/berlin/7/telemetry`; a CloudEvents sender's own `source` is kept. */
  source: string
  /** The logical destination its sender named. */
  destination?: string | undefined
  eventType?: string | undefined
  /** Version of the event's schema. */
  version?: string | undefined
  correlationId?: string | undefined
  contentType?: string | undefined
  /** 0 to 255, higher is more urgent. */
  priority?: number | undefined
  /** Time to live in milliseconds from `timestamp`. */
  ttlMs?: number | undefined
  /** Attempts counted by gateways before this one. */
  retryCount?: number | undefined
  headers?: CustomHeaders | undefined
  /** Types of an AMQP table that custom headers came with and do not show: `^count=l;^price=d`, see docs/formats.md. */
  headerTypes?: string | undefined
  /** CloudEvents attributes that no field stands for. */
  extensions?: Extensions | undefined
  /** The bytes as received; null is a tombstone (Kafka: no value). */
  payload: Uint8Array | null
  /** Ordering and partition key: the bytes of Kafka's key where it was not UTF-8. */
  key?: string | Uint8Array | undefined
  /** Where an answer is expected, e.g. `mqtt:devices/7/answers`. */
  replyTo?: string | undefined
  /** True where it was published to be kept as the last value of its topic (MQTT); for rules and targets, no format carries it. */
  retain?: boolean | undefined
  /** Ids of the gateways it passed, comma separated, oldest first. */
  hops?: string | undefined
  /** Set by a codec whose sender claimed a structured format and broke it: `payload` is then the whole body. */
  malformed?: PermanentError | undefined
}

/** One canonical message. Immutable: a rule that changes something makes a new one with `with`. */
export class Envelope implements Readonly<EnvelopeFields> {
  readonly messageId: string
  readonly timestamp: string
  readonly source: string
  readonly destination: string | undefined
  readonly eventType: string | undefined
  readonly version: string | undefined
  readonly correlationId: string | undefined
  readonly contentType: string | undefined
  readonly priority: number | undefined
  readonly ttlMs: number | undefined
  readonly retryCount: number | undefined
  readonly headers: CustomHeaders
  readonly headerTypes: string | undefined
  readonly extensions: Extensions
  readonly payload: Uint8Array | null
  readonly key: string | Uint8Array | undefined
  readonly replyTo: string | undefined
  readonly retain: boolean | undefined
  readonly hops: string | undefined
  readonly malformed: PermanentError | undefined
  #json: unknown = notParsed
  #tables: number | undefined
  /** A payload that is no JSON. */
  #text: string | undefined

  constructor(fields: Readonly<EnvelopeFields>) {
    this.messageId = fields.messageId
    this.timestamp = fields.timestamp
    this.source = fields.source
    this.destination = fields.destination
    this.eventType = fields.eventType
    this.version = fields.version
    this.correlationId = fields.correlationId
    this.contentType = fields.contentType
    this.priority = fields.priority
    this.ttlMs = fields.ttlMs
    this.retryCount = fields.retryCount
    this.headers = fields.headers ?? noHeaders
    this.headerTypes = fields.headerTypes
    this.extensions = fields.extensions ?? noExtensions
    this.payload = fields.payload
    this.key = fields.key
    this.replyTo = fields.replyTo
    this.retain = fields.retain
    this.hops = fields.hops
    this.malformed = fields.malformed
  }

  /**
   * The payload as JSON, parsed at most once; undefined where it is absent, encoded (`content-encoding`) or no JSON. Never
   * throws. Whole numbers a double cannot hold are bigint: `stringifyJson` writes them.
   */
  get json(): unknown {
    if (this.#json === notParsed) this.#json = isEncoded(this.headers) ? undefined : parseJson(this.payload)
    return this.#json
  }

  /**
   * The payload as rules see it, read at most once: JSON, else text where it is UTF-8, else its bytes; undefined where it is
   * absent. An encoded payload is bytes. A byte order mark is no part of the text.
   */
  get content(): unknown {
    const json = this.json
    if (json !== undefined || this.payload === null) return json
    if (this.#text !== undefined) return this.#text
    if (isEncoded(this.headers) || !isUtf8(this.payload)) return this.payload
    this.#text = textWithoutMark(this.payload)
    return this.#text
  }

  /** Lets the parsed payload go once the rules have seen it; what waits for its target is the bytes alone. */
  forgetJson(): void {
    this.#json = notParsed
    this.#text = undefined
  }

  /**
   * To be called where it begins to wait: from now on its bytes are its own, and the chunk they were read in may go.
   * `original` is the envelope it was made of, whose payload it may share.
   */
  ownBytes(original?: Envelope): void {
    const own = this as { -readonly [Field in keyof EnvelopeFields]: Envelope[Field] }
    const isShared = original !== undefined && original !== this && original.payload === this.payload
    if (this.payload !== null) own.payload = ownBytes(this.payload)
    if (this.key instanceof Uint8Array) own.key = ownBytes(this.key)
    if (this.headers !== noHeaders) own.headers = mapTable(this.headers, ownHeader)
    if (isShared) (original as { payload: Uint8Array | null }).payload = this.payload
    if (original !== this) original?.ownBytes()
  }

  /** Size for budgets: the payload, the headers, and a flat charge for the other fields. */
  get sizeBytes(): number {
    const hasNone = this.headers === noHeaders && this.extensions === noExtensions
    return (this.payload?.byteLength ?? 0) + fieldsCostBytes + (hasNone ? 0 : this.#tablesBytes())
  }

  #tablesBytes(): number {
    this.#tables ??= bytesIn([this.headers, this.extensions])
    return this.#tables
  }

  /** A copy with some fields replaced; the parsed payload is carried over unless the payload changes. */
  with(changes: Partial<EnvelopeFields>): Envelope {
    const copy = new Envelope(this)
    Object.assign(copy, changes)
    if (copy.headers === undefined) Object.assign(copy, { headers: noHeaders })
    if (copy.extensions === undefined) Object.assign(copy, { extensions: noExtensions })
    if ('payload' in changes) return copy
    copy.#json = this.#json
    copy.#text = this.#text
    return copy
  }
}

/** Names and values of tables, and of what is nested in them, however deep. */
function bytesIn(tables: HeaderTable[]): number {
  let bytes = 0
  for (let table = tables.pop(); table !== undefined; table = tables.pop()) {
    for (const name in table) {
      const value = table[name]
      bytes += name.length
      if (typeof value === 'string') bytes += value.length
      else if (value instanceof Uint8Array) bytes += value.byteLength
      else if (typeof value === 'object' && value !== null) tables.push(value as HeaderTable)
      else bytes += numberBytes
    }
  }
  return bytes
}

function ownHeader(value: HeaderValue): HeaderValue {
  if (value instanceof Uint8Array) return ownBytes(value)
  if (Array.isArray(value)) return value.map(ownHeader)
  return typeof value === 'object' && value !== null ? mapTable(value as HeaderTable, ownHeader) : value
}

function mapTable(table: HeaderTable, map: (value: HeaderValue) => HeaderValue): CustomHeaders {
  const mapped = new HeaderBag()
  for (const [name, value] of Object.entries(table)) mapped[name] = map(value)
  return mapped
}

const notParsed = Symbol('not parsed')
const noHeaders: CustomHeaders = Object.freeze(new HeaderBag())
const noExtensions = noHeaders as Extensions
const fieldsCostBytes = 512
const numberBytes = 8
