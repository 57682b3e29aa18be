/**
 * What a device's bytes pass before the parser sees them: the parser keeps a packet of up to 256 MB in memory until it is
 * whole, even before CONNECT. The gate reads fixed headers only and keeps nothing.
 */
import type { Duplex } from 'node:stream'

const maxConnectBytes = 64 * 1024
const connectHeadBytes = 14 // fixed header (2 to 5), protocol name (2 + 4 or 6), version (1)
const connectByte = 0x10
const [subscribeType, unsubscribeType] = [8, 10]
const pingResponse = Buffer.from([0xd0, 0])
/** [MQTT-3.1.2-2]: return code 1, unacceptable protocol version. */
const versionRefused = Buffer.from([0x20, 2, 0, 1])
/** MQTT 5, 3.2.2.2: reason 0x84, in the form a 5 client can read; clients then fall back to 3.1.1. */
const version5Refused = Buffer.from([0x20, 3, 0, 0x84, 0])

/** Follows the packets of one connection; `admit` says what is wrong with a chunk, or nothing. */
export class Gate {
  readonly #maxPacketBytes: number
  readonly #maxSubscribeBytes: number
  #head: Buffer | undefined = Buffer.alloc(0)
  #packets = 0
  #bodyLeft = 0
  /** Bytes of the remaining-length field seen so far; -1: a packet starts next. */
  #lengthBytes = -1
  #length = 0
  #type = 0

  /** `maxSubscribeBytes`: of a SUBSCRIBE or UNSUBSCRIBE, whose filters the parser makes objects of. */
  constructor(maxPacketBytes: number, maxSubscribeBytes = maxPacketBytes) {
    this.#maxPacketBytes = maxPacketBytes
    this.#maxSubscribeBytes = Math.min(maxSubscribeBytes, maxPacketBytes)
  }

  /** True between two packets. */
  get isAtBoundary(): boolean {
    return this.#bodyLeft === 0 && this.#lengthBytes === -1
  }

  /** Bytes so far of a packet whose rest is still to come. */
  get unfinishedBytes(): number {
    return this.#bodyLeft === 0 ? 0 : this.#length - this.#bodyLeft
  }

  admit(chunk: Buffer): Refusal | undefined {
    return (this.#head && this.#admitConnect(chunk)) ?? this.#admitLengths(chunk)
  }

  #admitConnect(chunk: Buffer): Refusal | undefined {
    const head = Buffer.concat([this.#head ?? Buffer.alloc(0), chunk.subarray(0, connectHeadBytes)])
    const version = connectVersion(head)
    if (version === undefined && head.length < connectHeadBytes && head[0] === connectByte) {
      this.#head = head
      return undefined
    }
    this.#head = undefined
    if (version === undefined) return { problem: 'the first packet is no CONNECT' }
    if (version === 5) return { problem: 'the device speaks MQTT 5', answer: version5Refused }
    if (version !== 3 && version !== 4) return { problem: 'the device speaks no known version', answer: versionRefused }
    return undefined
  }

  #admitLengths(chunk: Buffer): Refusal | undefined {
    let at = 0
    while (at < chunk.length) {
      if (this.#bodyLeft > 0) {
        const step = Math.min(this.#bodyLeft, chunk.length - at)
        this.#bodyLeft -= step
        at += step
      } else if (this.#lengthBytes === -1) {
        this.#lengthBytes = 0
        this.#length = 0
        this.#type = (chunk[at] ?? 0) >> 4
        at += 1
      } else {
        const problem = this.#addLengthByte(chunk[at] ?? 0)
        if (problem !== undefined) return { problem }
        at += 1
      }
    }
    return undefined
  }

  #addLengthByte(byte: number): string | undefined {
    this.#length += (byte & 127) * 128 ** this.#lengthBytes
    this.#lengthBytes += 1
    if ((byte & 128) !== 0) return this.#lengthBytes < 4 ? undefined : 'the length of a packet is malformed'
    const max = this.#maxLength()
    if (this.#length > max) return `a packet announces ${this.#length} bytes, ${max} are allowed`
    this.#packets += 1
    this.#bodyLeft = this.#length
    this.#lengthBytes = -1
    return undefined
  }

  #maxLength(): number {
    if (this.#packets === 0) return Math.min(maxConnectBytes, this.#maxPacketBytes)
    const isAboutSubscriptions = this.#type === subscribeType || this.#type === unsubscribeType
    return isAboutSubscriptions ? this.#maxSubscribeBytes : this.#maxPacketBytes
  }
}

export interface Refusal {
  readonly problem: string
  readonly answer?: Uint8Array
}

/** The protocol version of a CONNECT, as soon as its bytes are there. */
function connectVersion(head: Buffer): number | undefined {
  if (head[0] !== connectByte) return undefined
  let at = 1
  while (((head[at] ?? 0) & 128) !== 0 && at < 5) at += 1
  at += 1
  const nameBytes = head.length >= at + 2 ? head.readUInt16BE(at) : 0
  const name = head.toString('latin1', at + 2, at + 2 + nameBytes)
  if (name !== 'MQTT' && name !== 'MQIsdp') return undefined
  const version = head[at + 2 + nameBytes]
  return version === undefined ? undefined : version & 0x7f // the top bit marks a bridge
}

/** What the gate tells of a connection, and what it is told. */
export interface Gatekeeper {
  readonly maxPacketBytes: number
  readonly maxSubscribeBytes?: number
  /** True while no further packet may reach the broker; it asks again when one of those before is done. */
  isHeld(): boolean
  /** True while packets wait for their settlement: pings are then answered here. */
  isBusy(): boolean
  onBytes(): void
  /** So much of a packet has come in whose rest is still to come. */
  onUnfinished?(bytes: number): void
  onRefused(problem: string): void
}

/**
 * Puts a gate into `conn`: whoever reads from it (the broker calls `read` when it is ready for more) gets only what was
 * admitted. While the broker is busy a lone PINGREQ is answered here, so that a device outlives a slow settlement.
 */
export function guardReads(conn: Duplex, keeper: Gatekeeper): void {
  const gate = new Gate(keeper.maxPacketBytes, keeper.maxSubscribeBytes)
  const read = conn.read.bind(conn)
  let isRefused = false
  let hasPutBack = false

  conn.read = (size?: number) => {
    if (isRefused || keeper.isHeld()) return null
    hasPutBack = false
    const chunk: Buffer | null = read(size)
    if (chunk === null) return null
    keeper.onBytes()
    const refusal = gate.admit(chunk)
    if (refusal === undefined) {
      keeper.onUnfinished?.(gate.unfinishedBytes)
      return chunk
    }
    isRefused = true
    keeper.onRefused(refusal.problem)
    refuse(conn, refusal.answer)
    return null
  }

  conn.on('readable', () => {
    if (isRefused || hasPutBack || !keeper.isBusy() || !gate.isAtBoundary) return
    const chunk: Buffer | null = read()
    if (chunk === null) return
    keeper.onBytes()
    if (isPings(chunk)) {
      conn.write(pingResponse)
    } else {
      hasPutBack = true
      conn.unshift(chunk)
    }
  })
}

function isPings(chunk: Buffer): boolean {
  for (let i = 0; i < chunk.length; i += 2) if (chunk[i] !== 0xc0 || chunk[i + 1] !== 0) return false
  return true
}

function refuse(conn: Duplex, answer: Uint8Array | undefined): void {
  if (answer === undefined) {
    conn.destroy()
    return
  }
  conn.end(answer)
  setTimeout(() => conn.destroy(), 500).unref()
}
