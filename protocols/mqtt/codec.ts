/** MQTT packets and envelopes, by the CloudEvents binding for MQTT: docs/formats.md. */
import { isUtf8 } from 'node:buffer'
import type { IPublishPacket } from 'mqtt'
import type { Outbound } from '../../src/adapter/contract.ts'
import { markedBytes, textOfBytes } from '../../src/envelope/binary-text.ts'
import { Draft } from '../../src/envelope/draft.ts'
import type { Envelope, Format } from '../../src/envelope/envelope.ts'
import { remainingMs } from '../../src/envelope/expiry.ts'
import { finish } from '../../src/envelope/extras.ts'
import {
  decodeStructured,
  encodeStructured,
  isStructured,
  mediaTypes,
  type StructuredFormat,
  structuredFormat,
} from '../../src/envelope/formats.ts'
import { epochMs, isoText } from '../../src/envelope/time.ts'
import { bytesOf } from '../../src/envelope/typed.ts'
import { uuidv7 } from '../../src/envelope/uuid.ts'
import { readUserProperties, responseTopicOf, type UserProperties, writeUserProperties } from './user-properties.ts'

export type MqttProperties = NonNullable<IPublishPacket['properties']>
/** The parts of a PUBLISH that a codec reads; `properties` only with MQTT 5. */
export interface MqttPacket {
  readonly topic: string
  readonly payload: Buffer | string
  readonly properties?: MqttProperties | undefined
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  readonly dup: boolean
}

/** Where a packet was read; `format` is the user's, undefined: detect, which MQTT 3.1.1 cannot. */
export interface MqttPlace {
  readonly connection: string
  readonly version: 4 | 5
  readonly format?: Format | undefined
  /** Each message answers a request: its correlation data say which, whatever the format. */
  readonly isOfReplies?: boolean | undefined
}

/**
 * `nowMs`: when it arrived, where it has waited since. Never throws: a body that breaks its claimed format gives an envelope
 * with `malformed`.
 */
export function decode(packet: MqttPacket, at: MqttPlace, nowMs = Date.now()): Envelope {
  const { properties } = packet
  const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
  const draft = new Draft(uuidv7(nowMs), isoText(nowMs), `mqtt://${at.connection}/${packet.topic}`, payload)
  if (packet.retain) draft.retain = true
  if (at.format !== 'raw') readFields(draft, properties, at.format, nowMs)
  if (at.isOfReplies || draft.replyTo !== undefined) readCorrelation(draft, properties)
  return finish(draft)
}

function readFields(draft: Draft, properties: MqttProperties | undefined, wanted: Format | undefined, nowMs: number) {
  if (properties !== undefined) readProperties(draft, properties, nowMs)
  const format = structuredFormat(wanted, draft)
  if (format !== undefined) decodeStructured(draft, format)
}

/** Who asks or replies goes by the property, whatever an attribute or the body says. */
function readCorrelation(draft: Draft, { correlationData }: MqttProperties = {}): void {
  if (correlationData)
    draft.correlationId = typeof correlationData === 'string' ? correlationData : textOfBytes(correlationData)
}

function readProperties(draft: Draft, properties: MqttProperties, nowMs: number): void {
  const { contentType, messageExpiryInterval, responseTopic, userProperties } = properties
  if (typeof contentType === 'string') draft.contentType = contentType
  readCorrelation(draft, properties)
  if (typeof responseTopic === 'string') draft.replyTo = `mqtt:${responseTopic}`
  if (userProperties) readUserProperties(draft, userProperties as UserProperties)
  if (typeof messageExpiryInterval !== 'number' || draft.ttlMs !== undefined || draft.expires !== undefined) return
  // brokers subtract the time a message waited: the interval counts from now, the field from the timestamp
  draft.ttlMs = messageExpiryInterval * 1000 + Math.max(0, nowMs - (epochMs(draft.timestamp) ?? nowMs))
}

/** Whether the broker is asked to keep it: as the target says, or as the message came. */
export function retains({ target, envelope }: Outbound<{ readonly retain: boolean | 'source' }>): boolean {
  return target.retain === 'source' ? envelope.retain === true : target.retain
}

interface Encoded {
  readonly payload: Buffer
  readonly properties?: MqttProperties
}

/**
 * Throws a PermanentError and nothing else. Version 4 carries the payload alone unless a structured format is asked for.
 * With version 5, what its properties cannot hold sends the message in the `envelope` format.
 */
export function encode(outbound: Outbound, version: 4 | 5, nowMs = Date.now()): Encoded {
  const encoded = encodeMessage(outbound, version, nowMs)
  const { ask } = outbound
  if (ask?.replyTo === undefined || version === 4) return encoded
  const correlation = { responseTopic: ask.replyTo, correlationData: Buffer.from(ask.token) }
  return { payload: encoded.payload, properties: { ...encoded.properties, ...correlation } }
}

function encodeMessage(outbound: Outbound, version: 4 | 5, nowMs: number): Encoded {
  const { envelope, format } = outbound
  const hops = outbound.hops ?? envelope.hops
  const remaining = remainingMs(envelope, nowMs)
  if (version === 4)
    return { payload: isStructured(format) ? encodeStructured(envelope, format, hops) : payloadOf(envelope) }
  if (format === 'raw') return { payload: payloadOf(envelope) }
  if (isStructured(format)) return encodeBody(envelope, format, hops, remaining)
  const userProperties = writeUserProperties(envelope, hops)
  if (userProperties === undefined) return encodeBody(envelope, 'envelope', hops, remaining)
  const isTextual = envelope.contentType !== undefined && isTextType(envelope.contentType)
  return {
    payload: payloadOf(envelope),
    properties: propertiesOf(envelope, {
      contentType: envelope.contentType,
      payloadFormatIndicator: isTextual && envelope.payload !== null && isUtf8(envelope.payload) ? true : undefined,
      remaining,
      userProperties,
    }),
  }
}

const nothing = Buffer.alloc(0)

function payloadOf({ payload }: Envelope): Buffer {
  return payload === null ? nothing : bytesOf(payload)
}

function isTextType(contentType: string): boolean {
  return contentType.startsWith('text/') || /^[^;]*[/+](json|xml)\s*(;|$)/i.test(contentType)
}

function encodeBody(
  envelope: Envelope,
  format: StructuredFormat,
  hops: string | undefined,
  remaining: number | undefined,
) {
  return {
    payload: encodeStructured(envelope, format, hops),
    properties: propertiesOf(envelope, {
      contentType: mediaTypes[format],
      payloadFormatIndicator: true,
      remaining,
      userProperties: undefined,
    }),
  }
}

function propertiesOf(
  { correlationId, replyTo }: Envelope,
  parts: {
    contentType: string | undefined
    payloadFormatIndicator: true | undefined
    remaining: number | undefined
    userProperties: UserProperties | undefined
  },
): MqttProperties {
  const { contentType, payloadFormatIndicator, remaining, userProperties } = parts
  return {
    payloadFormatIndicator,
    messageExpiryInterval: remaining === undefined ? undefined : Math.min(Math.ceil(remaining / 1000), 0xffff_ffff),
    contentType,
    responseTopic: replyTo === undefined ? undefined : responseTopicOf(replyTo),
    correlationData: correlationId === undefined ? undefined : correlationDataOf(correlationId),
    userProperties,
  } as MqttProperties
}

function correlationDataOf(correlationId: string): Buffer | undefined {
  const data = markedBytes(correlationId) ?? Buffer.from(correlationId)
  return data.length <= 65_535 ? data : undefined
}
