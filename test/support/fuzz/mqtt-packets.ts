/**
 * MQTT 3.1.1 packets by the grammar, and what remains of them after one to three mutations. Mutated valid packets get
 * further than random bytes: most are framed anew, so that the parser sees a whole packet with odd contents, and goes on.
 */
import { createHash } from 'node:crypto'
import type { Random } from '../random.ts'

export type Packet = Buffer

const below = (random: Random, limit: number) => Math.floor(random.between(0, limit))
const isLucky = (random: Random, chance: number) => random.between(0, 1) < chance
function oneOf<T>(random: Random, values: readonly T[]): T {
  return values[below(random, values.length)] as T
}
const pool = createHash('shake256', { outputLength: 64 * 1024 })
  .update('bytes without a pattern')
  .digest()
function bytes(random: Random, count: number): Buffer {
  const from = below(random, pool.length - count)
  return pool.subarray(from, from + count)
}
const many = <T>(random: Random, most: number, make: () => T) => Array.from({ length: 1 + below(random, most) }, make)

const levels = ['fuzz', 'a', 'b', '', ' ', 'ä€😀', '0', 'x'.repeat(200)]

export function framed(first: number, body: Uint8Array): Packet {
  const header = [first]
  let left = body.length
  do {
    header.push((left & 0x7f) | (left > 0x7f ? 0x80 : 0))
    left >>>= 7
  } while (left > 0)
  return Buffer.concat([Buffer.from(header), body])
}

function uint16(value: number): Buffer {
  return Buffer.of((value >> 8) & 0xff, value & 0xff)
}

function field(value: string | Uint8Array): Buffer {
  const content = Buffer.from(value as string)
  return Buffer.concat([uint16(content.length), content])
}

const packetId = (random: Random) => uint16(oneOf(random, [1, 2, 3, 65_535, 1 + below(random, 65_535)]))
const topic = (random: Random) => `fuzz/${many(random, 4, () => oneOf(random, levels)).join('/')}`
function filter(random: Random): string {
  const first = oneOf(random, ['fuzz', 'fuzz', 'a'])
  const middle = many(random, 3, () => oneOf(random, [...levels, '+'])).slice(1)
  return [first, ...middle, ...oneOf(random, [[], ['#'], ['+'], ['b']])].join('/')
}
const payload = (random: Random) => bytes(random, oneOf(random, [0, 1, 2, 16, 16, 100, 100, 2_000]))

/** A CONNECT the broker accepts. */
export function connectPacket(clientId: string, { clean = true, keepalive = 0, will = Buffer.alloc(0) } = {}): Packet {
  const flags = (clean ? 2 : 0) | (will.length > 0 ? 0x2c : 0) // a will is retained, QoS 1
  return framed(0x10, Buffer.concat([field('MQTT'), Buffer.of(4, flags), uint16(keepalive), field(clientId), will]))
}

/** Of few client ids, so that sessions meet again. */
export function anyConnect(random: Random): Packet {
  const will = isLucky(random, 0.3) ? Buffer.concat([field(topic(random)), field(payload(random))]) : Buffer.alloc(0)
  return connectPacket(`fuzz-${below(random, 300)}`, {
    clean: isLucky(random, 0.5),
    keepalive: oneOf(random, [0, 1, 60]),
    will,
  })
}

const grammar: readonly { readonly weight: number; readonly make: (random: Random) => Packet }[] = [
  { weight: 50, make: publish },
  { weight: 15, make: subscribe },
  { weight: 8, make: unsubscribe },
  { weight: 20, make: (random) => framed(oneOf(random, [0x40, 0x50, 0x62, 0x70]), packetId(random)) },
  { weight: 4, make: () => framed(0xc0, Buffer.alloc(0)) },
  { weight: 1, make: () => framed(0xe0, Buffer.alloc(0)) },
  { weight: 1, make: anyConnect },
  // not for a client to send
  { weight: 1, make: (random) => framed(oneOf(random, [0x00, 0x20, 0x90, 0xb0, 0xd0, 0xf0]), packetId(random)) },
]
const makers = grammar.flatMap(({ weight, make }) => Array.from({ length: weight }, () => make))

function publish(random: Random): Packet {
  const qos = below(random, 3)
  const first = 0x30 | (qos << 1) | (isLucky(random, 0.3) ? 1 : 0) | (isLucky(random, 0.3) ? 8 : 0)
  const id = qos === 0 ? Buffer.alloc(0) : packetId(random)
  return framed(first, Buffer.concat([field(topic(random)), id, payload(random)]))
}

function subscribe(random: Random): Packet {
  const filters = many(random, 5, () => Buffer.concat([field(filter(random)), Buffer.of(below(random, 3))]))
  return framed(0x82, Buffer.concat([packetId(random), ...filters]))
}

function unsubscribe(random: Random): Packet {
  return framed(0xa2, Buffer.concat([packetId(random), ...many(random, 5, () => field(filter(random)))]))
}

export function validPacket(random: Random): Packet {
  return oneOf(random, makers)(random)
}

/** A valid packet after one to three mutations. */
export function mutatedPacket(random: Random): Packet {
  return mutated(validPacket(random), random)
}

export function mutated(valid: Packet, random: Random): Packet {
  let packet = valid
  for (let left = 1 + below(random, 3); left > 0; left -= 1) packet = oneOf(random, mutations)(packet, random)
  const framing = random.between(0, 1)
  if (framing < 0.25) return packet
  const first = (framing < 0.4 ? packet[0] : valid[0]) ?? 0
  return framed(first, packet.subarray(headerBytes(packet)))
}

/** How far a broker is likely to get with it: 0, its length is wrong, so that nothing behind it is understood; 1; 2. */
export function plausibility(packet: Packet): 0 | 1 | 2 {
  const header = headerBytes(packet)
  let length = 0
  for (let at = 1; at < header; at += 1) length += ((packet[at] ?? 0) & 0x7f) * 128 ** (at - 1)
  if (header > packet.length || header + length !== packet.length) return 0
  const first = packet[0] ?? 0
  const isPublish = first >> 4 === 3 && (first & 6) !== 6
  return isPublish || [0x40, 0x50, 0x62, 0x70, 0x82, 0xa2, 0xc0].includes(first) ? 2 : 1
}

type Mutation = (packet: Packet, random: Random) => Packet

const brokenTexts = ['00', 'ff', 'c080', 'eda080', 'f4908080', 'efbfbd', 'e282', '2b', '23', '24', '2f2f2f2f']

const mutations: readonly Mutation[] = [
  function remainingLength(packet, random) {
    const lengths = ['00', '7f', '8001', 'ff7f', 'ffff7f', 'ffffff7f', 'ffffffff', '80808000', '01']
    return Buffer.concat([
      packet.subarray(0, 1),
      Buffer.from(oneOf(random, lengths), 'hex'),
      packet.subarray(headerBytes(packet)),
    ])
  },
  function flags(packet, random) {
    return changed(packet, 0, ((packet[0] ?? 0) & 0xf0) | below(random, 16))
  },
  function type(packet, random) {
    return changed(packet, 0, ((packet[0] ?? 0) & 0x0f) | (below(random, 16) << 4))
  },
  function utf8(packet, random) {
    const at = inBody(packet, random)
    const text = Buffer.from(oneOf(random, brokenTexts), 'hex')
    return Buffer.concat([packet.subarray(0, at), text, packet.subarray(Math.min(packet.length, at + text.length))])
  },
  function fieldLength(packet, random) {
    const at = inBody(packet, random)
    const length = uint16(oneOf(random, [0, 1, 255, 256, 32_767, 65_535, below(random, 65_536)]))
    return Buffer.concat([packet.subarray(0, at), length, packet.subarray(Math.min(packet.length, at + 2))])
  },
  function truncation(packet, random) {
    return packet.subarray(0, 1 + below(random, packet.length))
  },
  function splice(packet, random) {
    const other = validPacket(random)
    const from = below(random, other.length)
    const at = inBody(packet, random)
    const piece = other.subarray(from, from + 1 + below(random, other.length - from))
    return Buffer.concat([packet.subarray(0, at), piece, packet.subarray(at)])
  },
  function bitFlip(packet, random) {
    const at = below(random, packet.length)
    return changed(packet, at, (packet[at] ?? 0) ^ (1 << below(random, 8)))
  },
  function doubled(packet) {
    return Buffer.concat([packet, packet.subarray(headerBytes(packet))])
  },
]

function changed(packet: Packet, at: number, byte: number): Packet {
  const copy = Buffer.from(packet)
  copy[at] = byte
  return copy
}

/** A place behind the fixed header. */
function inBody(packet: Packet, random: Random): number {
  const header = Math.min(headerBytes(packet), packet.length)
  return header + below(random, packet.length - header + 1)
}

/** Bytes of the fixed header: the first, and the remaining length as far as it says that it goes on. */
function headerBytes(packet: Packet): number {
  let at = 1
  while (at < 5 && ((packet[at] ?? 0) & 0x80) !== 0) at += 1
  return at + 1
}
