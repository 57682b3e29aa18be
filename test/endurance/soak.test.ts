/**
 * Soak: for five minutes 100 devices come and go, topics are always new, a tenth of the messages are retained, sessions are
 * kept and commands wait in them, the target is away for a part, and one device sends what it can. After the first minute
 * memory grows by what the bounds allow for what is kept and no more, and all that was acknowledged arrives. The load is
 * modest, as other tests run beside it. TRIVIUM_SOAK_SECONDS makes it longer.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from '@jest/globals'
import mqtt, { type MqttClient } from 'mqtt'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { startProxy } from '../support/brokers/proxy.ts'
import { packets, raw } from '../support/contexts/mqtt-broker.ts'
import { GatewayProcess } from '../support/fault/gateway-process.ts'
import { unique } from '../support/names.ts'
import { portOf } from '../support/places/connections.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'
import { randomOf } from '../support/random.ts'

const seconds = Number(process.env.TRIVIUM_SOAK_SECONDS ?? 300)
const devices = 100
const messagesAVisit = 12
const payloadBytes = 300
const mebibyte = 1024 ** 2
const peakBytes = 256 * mebibyte
/** What one retained message, or one that waits for a device, holds: its bytes and topic, and objects around them. */
const keptBytes = 2 * 1024
/** What a heap differs by from one moment to the next. */
const noiseBytes = 32 * mebibyte

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

interface Tally {
  readonly acked: Set<string>
  readonly arrived: Set<string>
  retained: number
  visits: number
}

test(
  `memory stays within what the bounds allow, and nothing acknowledged is lost, over ${seconds} s`,
  async () => {
    const random = randomOf()
    const target = brokerAddresses().mqtt
    const proxy = await startProxy(portOf(target))
    cleanups.push(() => proxy.close())
    const [port, root] = [await freePort(), unique('t')]
    const gateway = await GatewayProcess.create(yamlOf({ port, root, targetPort: proxy.port }))
    cleanups.push(() => gateway.remove())
    const tally: Tally = { acked: new Set(), arrived: new Set(), retained: 0, visits: 0 }
    await receive(target, root, tally)
    await gateway.start()

    const endsMs = performance.now() + seconds * 1_000
    const isOver = () => performance.now() >= endsMs
    const lives = Array.from({ length: devices }, async (_, i) => {
      await sleep(random.between(0, 6_000))
      while (!isOver()) {
        await visit({ port, device: i, tally })
        await sleep(random.between(2_000, 10_000))
      }
    })
    const memory: number[] = []
    const watching = (async () => {
      while (!isOver()) {
        memory.push(gateway.residentBytes())
        await sleep(1_000)
      }
    })()
    const weather = (async () => {
      await sleep(seconds * 400)
      proxy.cut()
      await sleep(seconds * 200)
      proxy.restore()
    })()
    await gateway.whileAlive(Promise.all([...lives, watching, weather, rogue(port, isOver)]))

    await eventually(() => [...tally.acked].every((id) => tally.arrived.has(id)), {
      withinMs: 60_000,
      what: 'all acknowledged messages',
    })
    const [afterMinute, atEnd] = [median(memory.slice(55, 75)), median(memory.slice(-20))]
    const peak = gateway.peakBytes()
    const allowed = noiseBytes + keptBytes * tally.retained + keptBytes * devices * messagesAVisit
    process.stdout.write(
      `soak: ${seconds} s, ${tally.visits} visits, ${tally.acked.size} acknowledged, ${tally.retained} retained, ` +
        `${mib(afterMinute)} MiB after a minute, ${mib(atEnd)} at the end, at most ${mib(peak)}; ` +
        `${mib(allowed)} more are allowed\n`,
    )
    expect(tally.acked.size).toBeGreaterThan(devices * messagesAVisit)
    expect(peak).toBeLessThan(peakBytes)
    expect(atEnd - afterMinute).toBeLessThan(allowed)
    expect((await gateway.stop()).code).toBe(0)
  },
  (seconds + 180) * 1_000,
)

function yamlOf({ port, root, targetPort }: { port: number; root: string; targetPort: number }): string {
  return `
connections:
  devices: { protocol: mqtt, listen: "mqtt://127.0.0.1:${port}" }
  plant: { protocol: mqtt, url: "mqtt://127.0.0.1:${targetPort}", clientId: "${root}" }
routes:
  - name: up
    from: { connection: devices, topic: "in/{device}/{n}" }
    to:
      - { connection: plant, topic: "${root}/{params.device}" }
      - { connection: devices, topic: "cmd/{params.device}/{params.n}", qos: 1 }
`
}

async function receive(target: string, root: string, { arrived }: Tally): Promise<void> {
  const client = await mqtt.connectAsync(target, { protocolVersion: 4, reconnectPeriod: 0 })
  cleanups.push(() => client.endAsync(true))
  client.on('message', (_topic, payload) => arrived.add(idOf(payload)))
  await client.subscribeAsync(`${root}/#`, { qos: 1 })
}

/** A device is there for a moment: gets what waited for it, publishes to topics nobody has used, and is gone. */
async function visit({ port, device, tally }: { port: number; device: number; tally: Tally }): Promise<void> {
  tally.visits += 1
  const visit = tally.visits
  const options = { protocolVersion: 4, clientId: `soak-${device}`, clean: false, reconnectPeriod: 0 } as const
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, options, false)
  client.on('error', () => {})
  await client.subscribeAsync(`cmd/${device}/#`, { qos: 1 })
  await Promise.all(
    Array.from({ length: messagesAVisit }, async (_, n) => {
      const id = `${visit}-${n}`
      const retain = n % 10 === 0
      await publish(client, { topic: `in/${device}/${id}`, id, retain })
      tally.acked.add(id)
      if (retain) tally.retained += 1
    }),
  )
  await client.endAsync(visit % 2 === 0) // half of them without a word
}

async function publish(client: MqttClient, { topic, id, retain }: { topic: string; id: string; retain: boolean }) {
  const payload = Buffer.alloc(payloadBytes, 'x')
  payload.write(`${id} `)
  await client.publishAsync(topic, payload, { qos: 1, retain })
}

const idOf = (payload: Buffer): string => payload.toString('latin1', 0, payload.indexOf(0x20))

/** Everything it can think of, a moment's worth every second. */
async function rogue(port: number, isOver: () => boolean): Promise<void> {
  const large = Buffer.alloc(100_000, 'x')
  const filters = Array.from({ length: 100 }, (_, i) => `+/${i}/#`)
  for (let n = 0; !isOver(); n += 1) {
    const device = await raw(port)
    device.send(
      packets.connect({ clientId: `rogue-${n % 10}`, clean: n % 2 === 0, will: { topic: `in/w/${n}`, qos: 1 } }),
    )
    device.send(
      packets.subscribeAll([...filters.slice(1), '#'], 1),
      ...Array.from({ length: 10 }, (_, i) => packets.publish(`junk/${n}/${i}`, large, (i % 3) as 0 | 1 | 2, i + 1)),
      packets.publish('in/half', large, 1).subarray(0, 50_000),
    )
    await sleep(1_000)
    device.socket.destroy()
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

function mib(bytes: number): number {
  return Math.round(bytes / mebibyte)
}
