/** A scripted MQTT broker on a socket: what a real one does not do on demand, and what crosses the wire, in order. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { eventually } from '../poll.ts'

/** One packet from the client: its first byte's upper half, and the bytes behind the length. */
export interface Heard {
  readonly type: number
  readonly body: Buffer
}
export const types = {
  connect: 1,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  unsubscribe: 10,
  ping: 12,
}

export class FakeBroker {
  readonly heard: Heard[] = []
  readonly sockets: Socket[] = []
  readonly url: string
  /** Bytes of CONNACK by the version asked for; undefined: silence. */
  connackFor: (version: number) => Buffer | undefined = () => Buffer.from([0x20, 3, 0, 0, 0])
  answersPings = true
  suback = (body: Buffer) => Buffer.from([0x90, 4, body[0]!, body[1]!, 0, 1])
  /** Undefined: silence. */
  unsuback = (body: Buffer): Buffer | undefined => Buffer.from([0xb0, 4, body[0]!, body[1]!, 0, 0])
  onPublish: (body: Buffer, socket: Socket) => void = () => {}
  readonly #server

  static async start(): Promise<FakeBroker> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new FakeBroker(server)
  }

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server
    this.url = `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('connection', (socket) => this.#serve(socket))
  }

  get socket(): Socket {
    return this.sockets.at(-1)!
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** Packet ids of one type, in the order of their arrival. */
  ids(type: number): number[] {
    return this.heard.filter((packet) => packet.type === type).map(({ body }) => body.readUInt16BE(0))
  }

  count(type: number): number {
    return this.heard.filter((packet) => packet.type === type).length
  }

  has(type: number, count: number): Promise<unknown> {
    return eventually(() => this.count(type) >= count, { what: `${count} packets of type ${type}` })
  }

  /** A PUBLISH to the client, without properties. */
  publish(topic: string, text: string, { qos = 1, id = 1, dup = false, version = 5 } = {}): void {
    const head = Buffer.alloc(2)
    head.writeUInt16BE(topic.length)
    const packetId = Buffer.from([id >> 8, id & 255])
    const properties = Buffer.alloc(version === 5 ? 1 : 0)
    const body = Buffer.concat([head, Buffer.from(topic), ...(qos ? [packetId] : []), properties, Buffer.from(text)])
    this.socket.write(Buffer.concat([Buffer.from([0x30 | (dup ? 8 : 0) | (qos << 1), body.length]), body]))
  }

  #serve(socket: Socket): void {
    this.sockets.push(socket)
    let rest: Buffer = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      rest = Buffer.concat([rest, bytes])
      for (let packet = split(rest); packet !== undefined; packet = split(rest)) {
        rest = packet.rest
        this.#answer(packet.heard, socket)
      }
    })
  }

  #answer(packet: Heard, socket: Socket): void {
    this.heard.push(packet)
    if (packet.type === types.connect) socket.write(this.connackFor(packet.body[6]!) ?? '')
    if (packet.type === types.subscribe) socket.write(this.suback(packet.body))
    if (packet.type === types.unsubscribe) socket.write(this.unsuback(packet.body) ?? '')
    if (packet.type === types.ping && this.answersPings) socket.write(Buffer.from([0xd0, 0]))
    if (packet.type === types.publish) this.onPublish(packet.body, socket)
  }
}

function split(bytes: Buffer): { heard: Heard; rest: Buffer } | undefined {
  let length = 0
  let at = 1
  for (let scale = 1; ; scale *= 128) {
    if (at >= bytes.length) return undefined
    const byte = bytes[at]!
    at += 1
    length += (byte & 127) * scale
    if (byte < 128) break
  }
  if (at + length > bytes.length) return undefined
  return { heard: { type: bytes[0]! >> 4, body: bytes.subarray(at, at + length) }, rest: bytes.subarray(at + length) }
}
