import type { Outbound } from '../../src/adapter/contract.ts'
import { Draft } from '../../src/envelope/draft.ts'
import type { Envelope, EnvelopeFields } from '../../src/envelope/envelope.ts'
import { remainingMs } from '../../src/envelope/expiry.ts'
import { finish } from '../../src/envelope/extras.ts'
import {
  decodeStructured,
  encodeStructured,
  isStructured,
  mediaTypes,
  structuredFormat,
} from '../../src/envelope/formats.ts'
import { uuidv7 } from '../../src/envelope/uuid.ts'

/** A message on the bus. Its properties are the envelope's own fields: nothing is translated, so nothing is lost. */
export interface MemoryMessage {
  readonly topic: string
  readonly fields: MemoryFields
  /** Place in the order of publishing. */
  readonly sequence: number
}
export type MemoryFields = Partial<EnvelopeFields> & Pick<EnvelopeFields, 'payload'>

/** Throws a PermanentError and nothing else. */
export function encode(outbound: Outbound, nowMs = Date.now()): MemoryFields {
  const { envelope, format, hops = envelope.hops } = outbound
  remainingMs(envelope, nowMs) // throws where nothing is left
  if (format === 'raw') return { payload: envelope.payload }
  if (!isStructured(format)) return { ...envelope, hops }
  return { payload: encodeStructured(envelope, format, hops), contentType: mediaTypes[format] }
}

/** Never throws; what the sender left out is filled in. */
export function decode({ topic, fields }: MemoryMessage, connection: string): Envelope {
  const draft = new Draft(uuidv7(), new Date().toISOString(), `memory://${connection}/${topic}`, fields.payload)
  Object.assign(draft, fields)
  const format = structuredFormat(undefined, draft)
  if (format !== undefined) decodeStructured(draft, format)
  return finish(draft)
}
