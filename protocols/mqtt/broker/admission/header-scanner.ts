/** Which bytes of a device may go on: reads fixed headers only and keeps nothing. */
const maxConnectBytes = 64 * 1024
const connectHeadBytes = 14 // fixed header (2 to 5), protocol name (2 + 4 or 6), version (1)
const connectByte = 0x10
const [subscribeType, unsubscribeType] = [8, 10]
/** [MQTT-3.1.2-2]: return code 1, unacceptable protocol version. */
const versionRefused = Buffer.from([0x20, 2, 0, 1])
/** MQTT 5, 3.2.2.2: reason 0x84, in the form a 5 client can read; clients then fall back to 3.1.1. */
const version5Refused = Buffer.from([0x20, 3, 0, 0x84, 0])

/** Follows the packets of one connection; `admit` says what is wrong with what comes next, or nothing. */
export class HeaderScanner {
  readonly #maxPacketBytes: number
  readonly #maxSubscribeBytes: number
  #head: Buffer | undefined = Buffer.alloc(0)
  #packets = 0
  #bodyLeft = 0
  /** Bytes of the remaining-length field seen so far; -1: a packet starts next. */
  #lengthBytes = -1
  #length = 0
  #type = 0
  #headBytes = 0
  #ended = 0
  #endedAt = 0

  /** `maxSubscribeBytes`: of a SUBSCRIBE or UNSUBSCRIBE, whose filters the parser makes objects of. */
  constructor(maxPacketBytes: number, maxSubscribeBytes = maxPacketBytes) {
    this.#maxPacketBytes = maxPacketBytes
    this.#maxSubscribeBytes = Math.min(maxSubscribeBytes, maxPacketBytes)
  }

  /** True between two packets. */
  get isAtBoundary(): boolean {
    return this.#bodyLeft === 0 && this.#lengthBytes === -1
  }

  /** Packets that ended in what was admitted last. */
  get ended(): number {
    return this.#ended
  }

  /** Where the last of them ended in it; 0: none did. */
  get endedAt(): number {
    return this.#endedAt
  }

  /** Bytes of the packet that has begun, as soon as it has announced them. */
  get packetBytes(): number | undefined {
    return this.#bodyLeft > 0 ? this.#headBytes + this.#length : undefined
  }

  /** Admits what ends the next `most` packets; what is behind them has to be given again. */
  admit(chunk: Buffer, most = Number.POSITIVE_INFINITY): Refusal | undefined {
    this.#ended = 0
    this.#endedAt = 0
    return (this.#head && this.#admitConnect(chunk)) ?? this.#admitLengths(chunk, most)
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

  #admitLengths(chunk: Buffer, most: number): Refusal | undefined {
    let at = 0
    while (at < chunk.length && this.#ended < most) {
      if (this.#bodyLeft > 0) {
        const step = Math.min(this.#bodyLeft, chunk.length - at)
        this.#bodyLeft -= step
        at += step
        if (this.#bodyLeft === 0) this.#end(at)
      } else if (this.#lengthBytes === -1) {
        this.#lengthBytes = 0
        this.#length = 0
        this.#type = (chunk[at] ?? 0) >> 4
        at += 1
      } else {
        const problem = this.#addLengthByte(chunk[at] ?? 0)
        if (problem !== undefined) return { problem }
        at += 1
        if (this.isAtBoundary) this.#end(at)
      }
    }
    return undefined
  }

  #end(at: number): void {
    this.#ended += 1
    this.#endedAt = at
  }

  #addLengthByte(byte: number): string | undefined {
    this.#length += (byte & 127) * 128 ** this.#lengthBytes
    this.#lengthBytes += 1
    if ((byte & 128) !== 0) return this.#lengthBytes < 4 ? undefined : 'the length of a packet is malformed'
    const max = this.#maxLength()
    if (this.#length > max) return `a packet announces ${this.#length} bytes, ${max} are allowed`
    this.#packets += 1
    this.#headBytes = 1 + this.#lengthBytes
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
