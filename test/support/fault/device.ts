/**
 * A device as simple as they are built: MQTT 3.1.1, QoS 1, no clean session, a few messages in flight. After a lost
 * connection it comes back and sends again, in order, what was not acknowledged. It shares no code with any MQTT library.
 */
import { connect, type Socket } from 'node:net'
import type { MessageId } from './message.ts'
import type { IssueLog } from './oracle.ts'

export interface DeviceOptions {
  readonly port: number
  readonly clientId: string
  readonly key: string
  readonly topic: string
  /** Size of a message. */
  readonly bytes: number
  /** Unacknowledged messages at once. */
  readonly window: number
}

const againAfterMs = { least: 30, most: 150 }
const pingMs = 5_000
/** A connection that owes an acknowledgement and says nothing for so long is given up. */
const silenceMs = 15_000

export class Device {
  readonly #options: DeviceOptions
  readonly #log: IssueLog
  /** By packet id, in the order of sending. */
  readonly #inFlight = new Map<number, MessageId & { payload: Buffer }>()
  #packetId = 0
  #socket: Socket | undefined
  #isConnected = false
  #isClosed = false
  #heardAt = 0
  #again: NodeJS.Timeout | undefined
  readonly #ping: NodeJS.Timeout
  /** Connections that were made, beyond the first. */
  reconnects = -1

  constructor(options: DeviceOptions, log: IssueLog) {
    this.#options = options
    this.#log = log
    this.#ping = setInterval(() => this.#beat(), pingMs)
    this.#connect()
  }

  get isConnected(): boolean {
    return this.#isConnected
  }

  get isIdle(): boolean {
    return this.#inFlight.size === 0
  }

  /** How many messages it may send now. */
  get room(): number {
    return this.#isConnected ? this.#options.window - this.#inFlight.size : 0
  }

  /** Issues that many messages, at most as many as there is room for, and sends them in one write. */
  send(count: number): void {
    const packets: Buffer[] = []
    for (let left = Math.min(count, this.room); left > 0; left -= 1) {
      const message = this.#log.issue(this.#options.key, this.#options.bytes)
      this.#packetId = (this.#packetId % 65_535) + 1
      this.#inFlight.set(this.#packetId, message)
      packets.push(publishPacket(this.#options.topic, this.#packetId, message.payload, false))
    }
    if (packets.length > 0) this.#socket?.write(Buffer.concat(packets))
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#ping)
    clearTimeout(this.#again)
    this.#socket?.destroy()
  }

  #connect(): void {
    const socket = connect(this.#options.port, '127.0.0.1').setNoDelay(true)
    let unread: Buffer = Buffer.alloc(0)
    this.#socket = socket
    this.#heardAt = performance.now()
    socket.on('connect', () => socket.write(connectPacket(this.#options.clientId)))
    socket.on('data', (bytes) => {
      this.#heardAt = performance.now()
      unread = this.#read(unread.length === 0 ? bytes : Buffer.concat([unread, bytes]))
    })
    socket.on('error', () => {}) // `close` follows
    socket.on('close', () => this.#onClose())
  }

  #onClose(): void {
    this.#isConnected = false
    if (this.#isClosed) return
    const { least, most } = againAfterMs
    this.#again = setTimeout(() => this.#connect(), least + Math.random() * (most - least))
  }

  #beat(): void {
    if (performance.now() - this.#heardAt > silenceMs) this.#socket?.destroy()
    else if (this.#isConnected) this.#socket?.write(pingPacket)
  }

  /** Handles whole packets; returns the rest. A broker's answers are shorter than 128 bytes. */
  #read(bytes: Buffer): Buffer {
    let at = 0
    while (bytes.length - at >= 2 && bytes.length - at >= 2 + bytes[at + 1]!) {
      const type = bytes[at]! >> 4
      if (type === 2) this.#onConnack(bytes[at + 3]!)
      if (type === 4) this.#onPuback(bytes.readUInt16BE(at + 2))
      at += 2 + bytes[at + 1]!
    }
    return bytes.subarray(at)
  }

  #onConnack(code: number): void {
    if (code !== 0) {
      this.#socket?.destroy()
      return
    }
    this.#isConnected = true
    this.reconnects += 1
    const { topic } = this.#options
    const packets = [...this.#inFlight].map(([id, { payload }]) => publishPacket(topic, id, payload, true))
    if (packets.length > 0) this.#socket?.write(Buffer.concat(packets))
  }

  #onPuback(id: number): void {
    const message = this.#inFlight.get(id)
    if (message === undefined) return
    this.#inFlight.delete(id)
    this.#log.acknowledge(message)
  }
}

const pingPacket = Buffer.of(0xc0, 0)

/** 3.1.1, no clean session, keep-alive of 20 s. */
function connectPacket(clientId: string): Buffer {
  const variable = Buffer.of(0, 4, ...Buffer.from('MQTT'), 4, 0, 0, 20)
  return packet(0x10, [variable, text(clientId)])
}

function publishPacket(topic: string, id: number, payload: Buffer, isAgain: boolean): Buffer {
  return packet(isAgain ? 0x3a : 0x32, [text(topic), Buffer.of(id >> 8, id & 0xff), payload])
}

function packet(first: number, parts: readonly Buffer[]): Buffer {
  let length = parts.reduce((sum, part) => sum + part.length, 0)
  const header = [first]
  do {
    header.push((length & 0x7f) | (length > 0x7f ? 0x80 : 0))
    length >>= 7
  } while (length > 0)
  return Buffer.concat([Buffer.from(header), ...parts])
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 0xff), bytes])
}
