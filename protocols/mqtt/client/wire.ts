/**
 * The packets the gateway writes itself, many into one buffer: mqtt.js clones each publish for its store and corks the
 * socket per packet, which costs several times as much. MQTT 5, chapter 3; 3.1.1 is the same without properties.
 */
import { PermanentError } from '../../../src/errors.ts'
import type { MqttProperties } from '../codec.ts'

export const pingPacket = Buffer.from([0xc0, 0])
export const disconnectPacket = Buffer.from([0xe0, 0])

/** First bytes of the acknowledgements. PUBREL has the reserved bit. [MQTT-3.6.1-1] */
export const ackHeader = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const
export type AckHeader = (typeof ackHeader)[keyof typeof ackHeader]

/** Acknowledgements gathered into one write. All say success, so that both versions have the same four bytes. */
export class AckWriter {
  #bytes = Buffer.allocUnsafe(256)
  #length = 0

  get isEmpty(): boolean {
    return this.#length === 0
  }

  add(header: AckHeader, packetId: number): void {
    if (this.#length + 4 > this.#bytes.length) {
      this.#bytes = Buffer.concat([this.#bytes], this.#bytes.length * 2)
    }
    const at = this.#length
    this.#bytes[at] = header
    this.#bytes[at + 1] = 2
    this.#bytes[at + 2] = packetId >> 8
    this.#bytes[at + 3] = packetId & 0xff
    this.#length = at + 4
  }

  /** What has gathered, as a copy; the writer is empty after it. */
  take(): Buffer {
    const bytes = Buffer.from(this.#bytes.subarray(0, this.#length))
    this.#length = 0
    return bytes
  }
}

export interface Publish {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  /** MQTT 5 only. */
  readonly properties?: MqttProperties | undefined
}

const largestRemaining = 268_435_455
/** From here on a payload is a write of its own, not a copy. */
const largePayloadBytes = 16_384
const chunkBytes = 65_536

/** PUBLISH packets gathered into few writes. */
export class PublishWriter {
  readonly #version: 4 | 5
  readonly #maxPacketBytes: number
  #chunks: Uint8Array[] = []
  #buffer = Buffer.alloc(0)
  #start = 0
  #at = 0

  constructor(version: 4 | 5, maxPacketBytes: number) {
    this.#version = version
    this.#maxPacketBytes = maxPacketBytes
  }

  /** Throws a PermanentError where the message cannot be said in MQTT or to this broker; nothing is added then. */
  add(message: Publish, packetId: number): void {
    const { topic, payload, properties } = message
    const topicBytes = stringBytes(topic)
    const propertyBytes = this.#version === 5 && properties !== undefined ? sizeOfProperties(properties) : 0
    const propertyHead = this.#version === 5 ? sizeOfVarInt(propertyBytes) : 0
    const idBytes = message.qos === 0 ? 0 : 2
    const head = 2 + topicBytes + idBytes + propertyHead + propertyBytes
    const remaining = head + payload.byteLength
    const total = 1 + sizeOfVarInt(remaining) + remaining
    if (remaining > largestRemaining || total > this.#maxPacketBytes) throw tooLarge(total, this.#maxPacketBytes)
    const isLarge = payload.byteLength >= largePayloadBytes
    this.#reserve(isLarge ? total - payload.byteLength : total)
    this.#byte(0x30 | (message.qos << 1) | (message.retain ? 1 : 0))
    this.#varInt(remaining)
    this.#string(topic, topicBytes)
    if (idBytes > 0) this.#int16(packetId)
    if (this.#version === 5) this.#varInt(propertyBytes)
    if (propertyBytes > 0 && properties !== undefined) this.#properties(properties)
    if (isLarge) this.#push(payload)
    else this.#bytes(payload)
  }

  /** The writes that have gathered; the writer is empty after it. */
  take(): readonly Uint8Array[] {
    this.#cut()
    const chunks = this.#chunks
    this.#chunks = []
    return chunks
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return
    this.#cut()
    this.#buffer = Buffer.allocUnsafe(Math.max(chunkBytes, bytes))
    this.#start = 0
    this.#at = 0
  }

  #push(bytes: Uint8Array): void {
    this.#cut()
    this.#chunks.push(bytes)
  }

  #cut(): void {
    if (this.#at > this.#start) this.#chunks.push(this.#buffer.subarray(this.#start, this.#at))
    this.#start = this.#at
  }

  #properties(properties: MqttProperties): void {
    const { payloadFormatIndicator, messageExpiryInterval, contentType, responseTopic, correlationData } = properties
    if (payloadFormatIndicator !== undefined) {
      this.#byte(1)
      this.#byte(payloadFormatIndicator ? 1 : 0)
    }
    if (messageExpiryInterval !== undefined) {
      this.#byte(2)
      this.#at = this.#buffer.writeUInt32BE(messageExpiryInterval, this.#at)
    }
    if (contentType !== undefined) this.#textProperty(3, contentType)
    if (responseTopic !== undefined) this.#textProperty(8, responseTopic)
    if (correlationData !== undefined) {
      this.#byte(9)
      this.#int16(correlationData.byteLength)
      this.#bytes(correlationData)
    }
    const { userProperties } = properties
    if (userProperties === undefined) return
    for (const name of Object.keys(userProperties)) {
      const value = userProperties[name]
      if (typeof value === 'string') this.#pair(name, value)
      else for (const one of value ?? []) this.#pair(name, one)
    }
  }

  #pair(name: string, value: string): void {
    this.#textProperty(38, name)
    this.#string(value, Buffer.byteLength(value))
  }

  #textProperty(id: number, text: string): void {
    this.#byte(id)
    this.#string(text, Buffer.byteLength(text))
  }

  #string(text: string, bytes: number): void {
    this.#int16(bytes)
    this.#buffer.write(text, this.#at, bytes)
    this.#at += bytes
  }

  #bytes(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.#at)
    this.#at += bytes.byteLength
  }

  #int16(value: number): void {
    this.#byte(value >> 8)
    this.#byte(value & 0xff)
  }

  #varInt(value: number): void {
    let rest = value
    while (rest > 127) {
      this.#byte((rest & 127) | 128)
      rest >>= 7
    }
    this.#byte(rest)
  }

  #byte(value: number): void {
    this.#buffer[this.#at] = value
    this.#at += 1
  }
}

function sizeOfProperties(properties: MqttProperties): number {
  const { contentType, responseTopic, correlationData, userProperties } = properties
  let bytes = 0
  if (properties.payloadFormatIndicator !== undefined) bytes += 2
  if (properties.messageExpiryInterval !== undefined) bytes += 5
  if (contentType !== undefined) bytes += 3 + stringBytes(contentType)
  if (responseTopic !== undefined) bytes += 3 + stringBytes(responseTopic)
  if (correlationData !== undefined) bytes += 3 + within16Bits(correlationData.byteLength)
  if (userProperties === undefined) return bytes
  for (const name of Object.keys(userProperties)) {
    const value = userProperties[name]
    const nameBytes = 5 + stringBytes(name)
    if (typeof value === 'string') bytes += nameBytes + stringBytes(value)
    else for (const one of value ?? []) bytes += nameBytes + stringBytes(one)
  }
  return bytes
}

function sizeOfVarInt(value: number): number {
  if (value < 128) return 1
  if (value < 16_384) return 2
  return value < 2_097_152 ? 3 : 4
}

// A broker ends the connection at NUL and may do so at the others [MQTT-1.5.4-2]: one such message would end it for ever.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const unspeakable = /[\0-\x1f\x7f-\x9f]/

function stringBytes(text: string): number {
  if (unspeakable.test(text)) {
    throw new PermanentError('MESSAGE_REFUSED', 'a topic or property holds a control character, which MQTT forbids')
  }
  return within16Bits(Buffer.byteLength(text))
}

function within16Bits(bytes: number): number {
  if (bytes <= 65_535) return bytes
  throw new PermanentError('MESSAGE_TOO_LARGE', `a topic or property has ${bytes} bytes; MQTT carries 65535`)
}

function tooLarge(bytes: number, limit: number): PermanentError {
  const most = Math.min(limit, largestRemaining)
  return new PermanentError('MESSAGE_TOO_LARGE', `the message has ${bytes} bytes as MQTT; the broker takes ${most}`)
}
