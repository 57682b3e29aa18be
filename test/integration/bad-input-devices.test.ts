/** Clients of the embedded broker that misbehave while messages flow: they are closed, nobody else notices. */

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect } from '@jest/globals'
import mqtt from 'mqtt'
import { withDeadline } from '../../src/adapter/deadline.ts'
import type { TestGateway } from '../support/gateway/gateway.ts'
import { arrived, checkNothingLost, type Scope, scenario, setKey, texts } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import { amqpPlace } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

/** MQTT 3.1.1 CONNECT, clean session, keep-alive 60 s, no client id. */
const connectPacket = Uint8Array.of(0x10, 12, 0, 4, ...Buffer.from('MQTT'), 4, 2, 0, 60, 0, 0)
/** The head of a PUBLISH of QoS 1 that announces 256 MB, the most MQTT can say. */
const hugePublish = Uint8Array.of(0x32, 0xff, 0xff, 0xff, 0x7f, 0, 5, ...Buffer.from('dev/x'))

const misbehaviours: Readonly<Record<string, readonly Uint8Array[]>> = {
  'say nothing after connecting': [],
  'send garbage': [Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  'announce 256 MB as their first packet': [Uint8Array.of(0x10, 0xff, 0xff, 0xff, 0x7f)],
  'announce 256 MB after CONNECT': [connectPacket, hugePublish],
  'send garbage after CONNECT': [connectPacket, Uint8Array.of(0xf7, 3, 1, 2, 3)],
  'publish to a wildcard': [connectPacket, Uint8Array.of(0x32, 9, 0, 5, ...Buffer.from('dev/#'), 0, 1)],
}

async function misbehave(scope: Scope, port: number, packets: readonly Uint8Array[]): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  scope.after(() => socket.destroy())
  socket.on('error', () => {}).resume()
  await once(socket, 'connect')
  for (const packet of packets) socket.write(packet)
  return socket
}

interface Device {
  readonly confirmed: string[]
  stop(): Promise<void>
}

/** A well-behaved device that publishes one message after the other. */
async function goodDevice(scope: Scope, port: number): Promise<Device> {
  const options = { protocolVersion: 4, reconnectPeriod: 0 } as const
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, options)
  scope.after(() => client.endAsync(true))
  const confirmed: string[] = []
  let isWanted = true
  const run = async () => {
    while (isWanted) {
      const [text] = texts(1) as [string]
      await client.publishAsync('dev/good', text, { qos: 1 })
      confirmed.push(text)
    }
  }
  const running = run()
  running.catch(() => {})
  const stop = async () => {
    isWanted = false
    await running
  }
  return { confirmed, stop }
}

async function embedded(
  scope: Scope,
  connectTimeout: string,
): Promise<{ gateway: TestGateway; port: number; target: Awaited<ReturnType<typeof amqpPlace>> }> {
  const port = await freePort()
  const target = await amqpPlace()
  const gateway = await scope
    .gateway(`
gateway: { id: ${unique('t')}, drain: 5s, admin: false }
connections:
  devices: { protocol: mqtt, listen: "mqtt://127.0.0.1:${port}", connectTimeout: ${connectTimeout} }
  target: ${target.connection}
routes: [{ name: road, from: { connection: devices, topic: "dev/+" }, ${setKey}, to: [{ connection: target, ${target.to} }] }]
`)
    .ready()
  return { gateway, port, target }
}

for (const [what, packets] of Object.entries(misbehaviours)) {
  scenario(`20 clients that ${what} are closed while messages flow, and none is lost or held up`, async (scope) => {
    const { gateway, port, target } = await embedded(scope, packets.length === 0 ? '1s' : '1m')
    const reader = await scope.use(target.reader())
    const device = await goodDevice(scope, port)
    await eventually(() => device.confirmed.length > 20, { what: 'messages flow' })
    const bad = await Promise.all(Array.from({ length: 20 }, () => misbehave(scope, port, packets)))
    const closed = bad.map((socket) => (socket.closed ? undefined : once(socket, 'close')))
    await withDeadline(Promise.all(closed), 30_000, 'closing the misbehaving')
    const before = device.confirmed.length
    await eventually(() => device.confirmed.length > before + 20, { what: 'messages flow on' })
    await device.stop()
    await arrived(reader, device.confirmed)
    checkNothingLost(reader.got, device.confirmed)
    expect(reader.got).toHaveLength(device.confirmed.length)
    expect(gateway.link('devices', 'source')).toMatchObject({ state: 'up', reconnects: 0 })
  })
}
