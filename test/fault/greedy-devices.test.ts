/**
 * Devices that take more than their share of a real gateway, by raw sockets: what each test bounds is the memory of the
 * process, and how long its admin server and a healthy device wait meanwhile.
 */
import { once } from 'node:events'
import net from 'node:net'
import { afterEach, expect, test } from '@jest/globals'
import { connectAsync, type MqttClient } from 'mqtt'
import { packets } from '../support/contexts/mqtt-broker.ts'
import { GatewayProcess } from '../support/fault/gateway-process.ts'
import { eventually } from '../support/poll.ts'
import { freePorts } from '../support/ports.ts'

const mebibyte = 1024 ** 2
/** A busy machine takes long over anything; without the bounds each of these took from 10 to 80 s, or all the memory. */
const patienceMs = 5_000

let gateway: GatewayProcess | undefined
let healthy: MqttClient | undefined
let sockets: net.Socket[] = []

afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  sockets = []
  await healthy?.endAsync(true)
  await gateway?.remove()
})

interface Scene {
  readonly port: number
  readonly webPort: number
  /** Ends the watch: how much the gateway has grown, and the longest anybody waited. */
  measure(): Promise<{ grownBytes: number; slowestMs: number }>
}

async function scene(): Promise<Scene> {
  const [port, webPort] = (await freePorts(2)) as [number, number]
  gateway = await GatewayProcess.create(`
connections:
  d: { protocol: mqtt, listen: ["mqtt://127.0.0.1:${port}", "ws://127.0.0.1:${webPort}"] }
routes: [{ name: r, from: { connection: d, topic: "in/#" }, to: [{ connection: d, topic: out }] }]
`)
  await gateway.start()
  healthy = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, protocolVersion: 4 })
  const before = gateway.residentBytes()
  const watch = watching(gateway, healthy)
  return {
    port,
    webPort,
    measure: async () => ({ slowestMs: await watch(), grownBytes: (gateway?.peakBytes() ?? 0) - before }),
  }
}

/** Asks the admin server and publishes, again and again; the function given stops it and tells the longest wait. */
function watching(of: GatewayProcess, device: MqttClient): () => Promise<number> {
  let isOver = false
  let slowestMs = 0
  const ask = async () => {
    while (!isOver) {
      const startedAt = performance.now()
      await Promise.all([of.get('/livez'), device.publishAsync('healthy', 'x', { qos: 1 })])
      slowestMs = Math.max(slowestMs, performance.now() - startedAt)
    }
  }
  const asking = ask()
  asking.catch(() => {})
  return async () => {
    isOver = true
    await asking
    return slowestMs
  }
}

async function open(port: number, count: number, ...first: readonly Uint8Array[]): Promise<net.Socket[]> {
  const opened: net.Socket[] = []
  for (let i = 0; i < count; i += 1) {
    const socket = net.connect(port, '127.0.0.1').setNoDelay(true)
    sockets.push(socket)
    opened.push(socket)
    socket.on('error', () => {}).resume()
    await once(socket, 'connect')
    for (const bytes of first) socket.write(bytes)
  }
  return opened
}

const connected = async (port: number, count: number) => {
  const devices = await open(port, count)
  for (const device of devices) device.write(packets.connect())
  await Promise.all(devices.map((device) => once(device, 'data')))
  return devices
}

/** All the socket will take at once, on and on. */
function flood(socket: net.Socket, bytes: Uint8Array): void {
  const more = () => {
    while (!socket.destroyed && socket.write(bytes));
  }
  socket.on('drain', more)
  more()
}

/** Resolves when the gateway has had these sockets' bytes, or has cut them off. */
const allTaken = (of: readonly net.Socket[]) =>
  eventually(() => of.every(({ destroyed, writableLength }) => destroyed || writableLength === 0), {
    withinMs: 60_000,
    what: 'all bytes are taken or refused',
  })

test('500 packets of 1 MB that never end, and 500 CONNECTs of 60 KB', async () => {
  const { port, measure } = await scene()
  const begun = packets.publish('in/x', Buffer.alloc(1_000_000)).subarray(0, 999_000)
  const devices = await connected(port, 500)
  for (const device of devices) device.write(begun)
  const connect = Buffer.concat([
    Buffer.from([0x10, 0xff, 0xff, 3]),
    Buffer.from('\0\x04MQTT\x04\x02\0\0\xff\0', 'latin1'),
  ])
  const strangers = await open(port, 500, Buffer.concat([connect, Buffer.alloc(60_000, 'a')]))
  await allTaken([...devices, ...strangers])
  const { grownBytes, slowestMs } = await measure()
  expect(grownBytes).toBeLessThan(220 * mebibyte)
  expect(slowestMs).toBeLessThan(patienceMs)
})

test('a packet in single bytes takes the memory of its bytes, not of its reads', async () => {
  const { port, measure } = await scene()
  const packet = packets.publish('in/x', Buffer.alloc(20_000))
  const devices = await connected(port, 200)
  for (const byte of packet.subarray(0, 2_000)) {
    for (const device of devices) device.write(Buffer.from([byte]))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await allTaken(devices)
  expect((await measure()).grownBytes).toBeLessThan(48 * mebibyte)
})

test('50 devices that send pings without end, and read no answer', async () => {
  const { port, measure } = await scene()
  const pings = Buffer.alloc(65_536, packets.ping)
  for (const device of await connected(port, 50)) flood(device.pause(), pings)
  await seconds(4)
  const { grownBytes, slowestMs } = await measure()
  expect(grownBytes).toBeLessThan(128 * mebibyte)
  expect(slowestMs).toBeLessThan(patienceMs)
})

test('websocket messages of 16,000 fragments that never end', async () => {
  const { webPort, measure } = await scene()
  const upgrade = ['GET / HTTP/1.1', 'Host: localhost', 'Upgrade: websocket', 'Connection: Upgrade']
  const key = [
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Protocol: mqtt',
  ]
  const head = Buffer.from(`${[...upgrade, ...key].join('\r\n')}\r\n\r\n`)
  const devices = await open(webPort, 200, head, fragment(0x82, packets.connect()))
  const connackBytes = 4
  const isAnswered = ({ bytesRead }: net.Socket) => bytesRead > head.length / 2 + connackBytes
  await eventually(() => devices.every(isAnswered), { what: 'the handshakes' })
  const rest = Buffer.concat(Array(16_000).fill(fragment(0x00, Buffer.alloc(60))))
  for (const device of devices) device.write(Buffer.concat([fragment(0x02, Buffer.alloc(60)), rest]))
  await allTaken(devices)
  const { grownBytes, slowestMs } = await measure()
  await eventually(() => devices.every(({ destroyed }) => destroyed), { what: 'the end of all' })
  expect(grownBytes).toBeLessThan(160 * mebibyte)
  expect(slowestMs).toBeLessThan(patienceMs)
})

test('a flood of small messages to 500 subscribers that read nothing', async () => {
  const { port, measure } = await scene()
  const subscribers = await connected(port, 500)
  for (const one of subscribers) one.write(packets.subscribe('flood'))
  await Promise.all(subscribers.map((one) => once(one, 'data')))
  for (const one of subscribers) one.pause()
  const [publisher] = (await connected(port, 1)) as [net.Socket]
  flood(publisher, Buffer.concat(Array(1_000).fill(packets.publish('flood', 'twenty bytes or less'))))
  await seconds(5)
  const { grownBytes, slowestMs } = await measure()
  expect(grownBytes).toBeLessThan(300 * mebibyte)
  expect(slowestMs).toBeLessThan(patienceMs)
})

test('2,000 connections with one client id at once leave one', async () => {
  const { port, measure } = await scene()
  const devices = await open(port, 2_000, packets.connect({ clientId: 'same' }))
  await eventually(() => devices.filter(({ destroyed }) => !destroyed).length <= 1, { what: 'the last one' })
  const { grownBytes, slowestMs } = await measure()
  expect(grownBytes).toBeLessThan(128 * mebibyte)
  expect(slowestMs).toBeLessThan(patienceMs)
})

/** A frame of a client, masked with zeros. */
function fragment(first: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([first, 0x80 | body.length, 0, 0, 0, 0]), body])
}

/** As long as an attack goes on; nothing is waited for. */
async function seconds(count: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, count * 1_000))
}
