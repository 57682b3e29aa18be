/**
 * Malformed traffic at the embedded broker of a real gateway: mutated packets and hostile connections, while a healthy
 * client publishes. What the healthy client was told is safe arrives as it was sent; the broker stays, and stays small.
 */
import { afterEach, expect, test } from '@jest/globals'
import { GatewayProcess } from '../support/fault/gateway-process.ts'
import { anyConnect, mutated, mutatedPacket, plausibility } from '../support/fuzz/mqtt-packets.ts'
import { attack, attackOf, type Ending, HealthyClient, speak } from '../support/fuzz/mqtt-peers.ts'
import { freePort } from '../support/ports.ts'
import { type Random, randomOf } from '../support/random.ts'

const mutatedPackets = 200_000
const packetsPerConnection = 10
const hostileConnections = 5_000
const fuzzersAtOnce = 150
const hostileAtOnce = 500 // a connection that finds the listener's queue full is none, and does not hear of it
/** `connectTimeout` is 1 s here; what is half said ends with the keep-alive of 1 s. Busy machines take longer. */
const endedWithinMs = 30_000
/** What waits for kept sessions may take 128 MiB, what is retained 64 MiB. */
const growthBytes = 256 * 1024 ** 2

let gateway: GatewayProcess | undefined

afterEach(async () => {
  await gateway?.remove()
})

test('200,000 mutated packets and 5,000 hostile connections do not disturb a healthy client', async () => {
  const random = randomOf()
  process.stdout.write(`malformed mqtt, seed ${random.seed}\n`)
  const port = await freePort()
  const url = `mqtt://127.0.0.1:${port}`
  gateway = await GatewayProcess.create(`
connections:
  devices: { protocol: mqtt, listen: "${url}", connectTimeout: 1s }
routes:
  - name: healthy
    from: { connection: devices, topic: "healthy/in" }
    to: [{ connection: devices, topic: "healthy/out", qos: 1 }]
  - name: fuzz
    from: { connection: devices, topic: "fuzz/{x}" }
    to: [{ connection: devices, topic: "fuzzed/x", qos: 1 }]
`)
  await gateway.start()
  const healthy = await HealthyClient.connect(url, { publish: 'healthy/in', subscribe: 'healthy/out' })
  healthy.start(8)

  const startedAt = performance.now()
  const beforeBytes = gateway.residentBytes()
  const [endings] = await Promise.all([fuzz(port, random), besiege(port)])
  await healthy.finish(endedWithinMs)

  const fuzzed = (await gateway.routes()).find(({ name }) => name === 'fuzz')?.matched ?? 0
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10
  const grownBytes = gateway.peakBytes() - beforeBytes
  process.stdout.write(
    `malformed mqtt: ${JSON.stringify({
      seconds,
      endings,
      fuzzed,
      healthy: healthy.acknowledged,
      longestMs: Math.round(healthy.longestMs),
      mib: { before: mib(beforeBytes), grown: mib(grownBytes), after: mib(gateway.residentBytes()) },
    })}\n`,
  )
  expect(gateway.isAlive).toBe(true)
  expect(healthy.defects).toEqual([])
  expect(healthy.acknowledged).toBeGreaterThan(100)
  expect(healthy.longestMs).toBeLessThan(endedWithinMs)
  expect(endings.closed).toBeGreaterThan(1_000)
  expect(fuzzed).toBeGreaterThan(1_000) // they got as far as the routes
  expect(grownBytes).toBeLessThan(growthBytes)
  expect((await gateway.stop()).code).toBe(0)
}, 300_000)

async function fuzz(port: number, random: Random): Promise<Record<Ending, number>> {
  const endings = { answered: 0, closed: 0, silent: 0 }
  await atOnce(mutatedPackets / packetsPerConnection, fuzzersAtOnce, async (n) => {
    const packets = Array.from({ length: packetsPerConnection }, () => mutatedPacket(random))
    packets.sort((a, b) => plausibility(b) - plausibility(a)) // after a broken one the connection is at its end
    const opening = n % 2 === 0 ? anyConnect(random) : mutated(anyConnect(random), random)
    endings[await speak(port, opening, packets)] += 1
  })
  return endings
}

async function besiege(port: number): Promise<void> {
  await atOnce(hostileConnections, hostileAtOnce, (n) => attack(port, attackOf(n), endedWithinMs))
}

/** Runs `work` for 0 to `count` - 1, so many at a time. */
async function atOnce(count: number, limit: number, work: (n: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < count) {
      next += 1
      await work(next - 1)
    }
  }
  await Promise.all(Array.from({ length: limit }, worker))
}

function mib(bytes: number): number {
  return Math.round(bytes / 1024 ** 2)
}
