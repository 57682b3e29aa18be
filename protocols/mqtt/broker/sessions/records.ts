/**
 * Keys and values of what the broker keeps. A key begins with a number, so that a client id or topic, which may hold any
 * character, is all that follows its first space. A value is one line of JSON and, behind it, a payload as it is.
 */
import { ownBytes } from '../../../../src/envelope/own-bytes.ts'
import type { StoredPacket } from '../driver.ts'

export const spaces = {
  /** A client id and the user it belongs to. */
  session: 'session',
  subscription: 'subscription',
  /** A message that waits for a device, by the broker's counter. */
  queued: 'queued',
  /** The packet id a queued message was sent with. */
  sent: 'sent',
  /** A packet id of a QoS 2 message whose PUBREL is awaited. */
  incoming: 'incoming',
  will: 'will',
  retained: 'retained',
} as const

const newline = 0x0a
const noBytes = new Uint8Array(0)

/** `0000000000000042 client`: sorted as text they are sorted by number. */
export function numberedKey(number: number, text: string): string {
  return `${String(number).padStart(16, '0')} ${text}`
}

export function parseNumberedKey(key: string): { readonly number: number; readonly text: string } {
  return { number: Number.parseInt(key, 10), text: key.slice(key.indexOf(' ') + 1) }
}

/** Two texts of any characters in one key: the length of the first stands before it. */
export function pairKey(first: string, second: string): string {
  return `${first.length} ${first}${second}`
}

export function parsePairKey(key: string): { readonly first: string; readonly second: string } {
  const { number, text } = parseNumberedKey(key)
  return { first: text.slice(0, number), second: text.slice(number) }
}

export function encodeRecord(fields: object, payload: Uint8Array | string = noBytes): Uint8Array {
  return Buffer.concat([Buffer.from(`${JSON.stringify(fields)}\n`), Buffer.from(payload as Uint8Array)])
}

/** The fields of a record that this program wrote, and its payload. */
export function decodeRecord<Fields>(value: Uint8Array): { readonly fields: Fields; readonly payload: Buffer } {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  const end = bytes.indexOf(newline)
  return { fields: JSON.parse(bytes.toString('utf8', 0, end)) as Fields, payload: bytes.subarray(end + 1) }
}

interface PacketFields {
  readonly topic: string
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  /** Milliseconds since the epoch. */
  readonly expiresAt?: number | undefined
  /** Of a retained message: who published it. */
  readonly username?: string | undefined
}

export function encodePacket(packet: StoredPacket, username?: string): Uint8Array {
  const { topic, qos, retain, payload, messageExpiry: expiresAt } = packet
  return encodeRecord({ topic, qos, retain, expiresAt, username } satisfies PacketFields, payload)
}

export function decodePacket(value: Uint8Array): StoredPacket {
  const { fields, payload } = decodeRecord<PacketFields>(value)
  const { topic, qos, retain, expiresAt } = fields
  const packet: StoredPacket = { cmd: 'publish', topic, payload: ownBytes(payload), qos, retain, dup: false }
  if (expiresAt !== undefined) packet.messageExpiry = expiresAt
  return packet
}

export function publisherOf(value: Uint8Array): string | undefined {
  return decodeRecord<PacketFields>(value).fields.username
}

/** True when its time to live is over. */
export function isExpired({ messageExpiry }: StoredPacket, nowMs: number): boolean {
  return messageExpiry !== undefined && messageExpiry <= nowMs
}
