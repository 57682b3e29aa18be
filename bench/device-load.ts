/**
 * Devices as one lean process: raw sockets and hand-made MQTT 3.1.1 packets, QoS 1, one message in flight each. Argument:
 * JSON of `DeviceLoad`; prints JSON of `DeviceFigures` when the last PUBACK has come.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { messageOf } from './message.ts'

export interface DeviceLoad {
  readonly port: number
  readonly devices: number
  readonly messages: number
  /** Device n publishes to `topic/device-n`. */
  readonly topic: string
}

export interface DeviceFigures {
  /** From the first PUBLISH to the last PUBACK, in seconds. */
  readonly wallSecs: number
  /** User and system time of this process meanwhile, in seconds. */
  readonly cpuSecs: number
  /** From a PUBLISH to its PUBACK, in milliseconds. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

const atOnce = 50
const acknowledgementBytes = 4 // of CONNACK and PUBACK alike
const [connackType, pubackType] = [0x20, 0x40]

const load = JSON.parse(process.argv[2] ?? '') as DeviceLoad
const latencies = new Float32Array(load.messages)
const finished = Promise.withResolvers<void>()
let sent = 0
let acknowledged = 0

const devices = await connectAll()
const startedAt = performance.now()
const cpuBefore = process.cpuUsage()
for (const device of devices) run(device)
await finished.promise
console.log(JSON.stringify(figures()))
for (const { socket } of devices) socket.destroy()

interface Device {
  readonly socket: Socket
  readonly publish: Buffer
}

async function connectAll(): Promise<Device[]> {
  const numbers = Array.from({ length: load.devices }, (_, n) => n)
  const connected: Device[] = []
  while (numbers.length > 0) connected.push(...(await Promise.all(numbers.splice(0, atOnce).map(connectDevice))))
  return connected
}

async function connectDevice(n: number): Promise<Device> {
  const socket = connect({ port: load.port, host: '127.0.0.1', noDelay: true })
  socket.once('close', () => finished.reject(new Error(`device ${n} was disconnected`)))
  await once(socket, 'connect')
  socket.write(connectPacket(`${load.topic}-${n}`))
  const [answer] = (await once(socket, 'data')) as [Buffer]
  if (answer[0] !== connackType || answer[3] !== 0) throw new Error(`device ${n} was refused`)
  return { socket, publish: publishPacket(`${load.topic}/device-${n}`, messageOf(n).body) }
}

/** Sends the next message when the one before is acknowledged, until all devices together have sent enough. */
function run({ socket, publish }: Device): void {
  let sentAt = 0
  let received = 0
  const send = () => {
    if (sent === load.messages) return
    sent += 1
    sentAt = performance.now()
    socket.write(publish)
  }
  socket.on('data', (bytes) => {
    if (received === 0 && bytes[0] !== pubackType) finished.reject(new Error('a device got something but a PUBACK'))
    received += bytes.length
    if (received < acknowledgementBytes) return
    received = 0
    latencies[acknowledged] = performance.now() - sentAt
    acknowledged += 1
    if (acknowledged === load.messages) finished.resolve()
    else send()
  })
  send()
}

function figures(): DeviceFigures {
  const wallSecs = (performance.now() - startedAt) / 1000
  const { user, system } = process.cpuUsage(cpuBefore)
  latencies.sort()
  const quantile = (share: number) => latencies[Math.floor((latencies.length - 1) * share)] ?? 0
  return { wallSecs, cpuSecs: (user + system) / 1e6, p50Ms: quantile(0.5), p99Ms: quantile(0.99), maxMs: quantile(1) }
}

/** Clean session, no keep-alive. */
function connectPacket(clientId: string): Buffer {
  return packet(0x10, Buffer.concat([text('MQTT'), Buffer.of(4, 2, 0, 0), text(clientId)]))
}

/** QoS 1; the packet id may be the same again, as one is acknowledged before the next is sent. */
function publishPacket(topic: string, body: string): Buffer {
  return packet(0x32, Buffer.concat([text(topic), Buffer.of(0, 1), Buffer.from(body)]))
}

function packet(type: number, rest: Buffer): Buffer {
  const length = rest.length < 128 ? [rest.length] : [(rest.length % 128) + 128, rest.length >> 7]
  return Buffer.concat([Buffer.of(type, ...length), rest])
}

function text(value: string): Buffer {
  return Buffer.concat([Buffer.of(value.length >> 8, value.length & 255), Buffer.from(value)])
}
