/** What a machine runs out of: room on its disk, memory, the patience of one target; and a clock that is set. */

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, expect, test } from '@jest/globals'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { startProxy, type TcpProxy } from '../support/brokers/proxy.ts'
import { memoryLimit } from '../support/fault/cgroup.ts'
import { Rig, type RoadPlan, type RoadVerdict } from '../support/fault/rig.ts'
import { verdictText } from '../support/fault/shaky.ts'
import { smallDisk } from '../support/fault/small-disk.ts'
import { portOf } from '../support/places/connections.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

const mebibyte = 1024 * 1024
const limitBytes = 256 * mebibyte

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
}, 120_000)

const table: string[] = []
afterAll(() => {
  process.stdout.write(table.join(''))
})

const rabbitProxy = () => madeProxy(portOf(brokerAddresses().amqp))

async function madeProxy(port: number): Promise<TcpProxy> {
  const proxy = await startProxy(port)
  cleanups.push(() => proxy.close())
  return proxy
}

async function made(plans: readonly RoadPlan[], options: Parameters<typeof Rig.build>[1] = {}): Promise<Rig> {
  const rig = await Rig.build(plans, options)
  cleanups.push(() => rig.close())
  return rig
}

const devices = async () => ({ address: `mqtt://127.0.0.1:${await freePort()}` })

/** All has arrived, the gateway has ended well, and the verdict is clean. */
async function verdictOf(title: string, rig: Rig, restarts: number, withinMs = 120_000): Promise<void> {
  await rig.drain(withinMs)
  expect(await rig.deadLetters()).toEqual([])
  const peakMiB = Math.ceil(rig.gateway.peakBytes() / mebibyte)
  expect(await rig.gateway.stop()).toEqual({ code: 0, signal: null })
  const verdicts: RoadVerdict[] = rig.verdicts(restarts)
  table.push(verdictText(`${title}, at most ${peakMiB} MiB`, verdicts))
  for (const verdict of verdicts) expect(verdict).toMatchObject({ defects: [], examples: [] })
}

/** Resolves when no producer has been told anything for so long. */
async function isHeldBack(rig: Rig, quietMs: number): Promise<void> {
  const { log } = rig.roads[0]!
  let [acked, since] = [log.acked, performance.now()]
  const isQuiet = () => {
    if (log.acked !== acked) [acked, since] = [log.acked, performance.now()]
    return performance.now() - since > quietMs
  }
  await eventually(isQuiet, { withinMs: 120_000, what: 'the sources are held back' })
}

/** Undefined where the machine does not let us mount one. */
const disk = smallDisk(24)
afterAll(() => disk?.remove())
const onSmallDisk = disk === undefined ? test.skip : test

onSmallDisk(
  'a full disk holds the sources back, and all goes on when there is room again',
  async () => {
    const proxy = await rabbitProxy()
    const feed = { ...(await devices()), bytes: 4_000, keys: 12 }
    const outletOf = { amqp: { port: proxy.port } }
    const rig = await made([{ from: 'embedded', to: ['amqp'], feed, outletOf, perSecond: 1_500 }], {
      dataDir: disk!.folder,
    })
    await rig.gateway.start()
    proxy.cut()
    rig.run()
    await eventually(() => rig.roads[0]!.log.acked > 1_000, { withinMs: 60_000, what: 'load' }) // about 4,000 fit
    await isHeldBack(rig, 3_000)
    expect(rig.gateway.isAlive).toBe(true)
    expect(rig.issued - rig.roads[0]!.log.acked).toBeGreaterThan(0)
    await rig.gateway.kill() // what is on the full disk is read again from it
    await rig.gateway.launch()
    const before = rig.roads[0]!.log.acked
    proxy.restore()
    await eventually(() => rig.roads[0]!.log.acked > before + 100, { withinMs: 60_000, what: 'it accepts again' })
    await verdictOf('disk full', rig, 2)
  },
  300_000,
)

test('500,000 messages of 1 KiB wait for a target that is away in less than 256 MiB of memory', async () => {
  const messages = 500_000
  const proxy = await rabbitProxy()
  const feed = { ...(await devices()), bytes: 1_024, keys: 20, window: 64 }
  const outletOf = { amqp: { port: proxy.port } }
  const rig = await made([{ from: 'embedded', to: ['amqp'], feed, outletOf, perSecond: 100_000 }])
  const limit = memoryLimit(limitBytes)
  await rig.gateway.start()
  limit?.admit(rig.gateway.pid)
  if (limit !== undefined) cleanups.unshift(() => limit.remove())
  proxy.cut()
  rig.run()
  await eventually(() => rig.roads[0]!.log.acked >= messages, { withinMs: 400_000, what: `${messages} messages` })
  await rig.roads[0]!.feed.pause()
  proxy.restore()
  await verdictOf(`${messages} waiting${limit === undefined ? '' : ', limited by the kernel'}`, rig, 1, 300_000)
  expect(limit?.kills() ?? 0).toBe(0)
  expect(rig.gateway.peakBytes()).toBeLessThanOrEqual(limitBytes)
}, 1_200_000)

test('a slow target holds up neither its devices nor another target', async () => {
  const proxy = await rabbitProxy()
  const feed = await devices()
  const slow: RoadPlan = { from: 'embedded', to: ['amqp'], feed, outletOf: { amqp: { port: proxy.port } } }
  const fast: RoadPlan = { from: 'embedded', to: ['kafka'], feed }
  const rig = await made([slow, fast])
  await rig.gateway.start()
  proxy.slow(8)
  rig.run()
  await eventually(() => rig.roads[0]!.log.acked >= 4_000, { withinMs: 60_000, what: 'load' })
  const [slowOracle, fastOracle] = rig.roads.map(({ branches }) => branches[0]!.oracle)
  const keepsUp = () => fastOracle!.delivered > rig.roads[1]!.log.acked * 0.8
  await eventually(keepsUp, { withinMs: 30_000, what: 'the quick target keeps up' })
  expect(slowOracle!.delivered).toBeLessThan(rig.roads[0]!.log.acked / 2)
  proxy.restore()
  await verdictOf('a slow target', rig, 1)
  expect(rig.gateway.peakBytes()).toBeLessThanOrEqual(limitBytes)
}, 300_000)

test('a clock that is set back delays nothing and loses nothing', async () => {
  const hour = 3_600_000
  const clock = `--import ${join(import.meta.dirname, '../support/fault/clock.mjs')}`
  const env = { NODE_OPTIONS: clock, TRIVIUM_TEST_JUMP: String(-hour) }
  const route = ['retry: { attempts: 100000 }'] // refused for a while, not until it is given up
  const rig = await made([{ from: 'embedded', to: ['amqp'], feed: await devices(), route }], { env })
  const { oracle, outlet } = rig.roads[0]!.branches[0]!
  const flows = async (when: string) => {
    const before = oracle.delivered
    const what = `messages flow ${when}`
    await eventually(() => oracle.delivered > before + 200, { withinMs: 30_000, what })
  }
  /** Long enough that messages have been refused, and wait for their next attempt. */
  const refuse = async () => {
    await outlet.refuse!('nack')
    await sleep(1_500)
  }
  await rig.gateway.start()
  rig.run()
  await flows('in the beginning')
  process.kill(rig.gateway.pid, 'SIGUSR2')
  await flows('when the clock was set back')
  await refuse()
  process.kill(rig.gateway.pid, 'SIGUSR2')
  await outlet.admit!()
  await flows('when the clock was set back between two attempts')
  await refuse()
  await rig.gateway.kill()
  await outlet.admit!()
  await rig.gateway.start({ env: { TRIVIUM_TEST_CLOCK: String(-4 * hour) } })
  await flows('when the clock was set back before a restart')
  await verdictOf('clock set back', rig, 2, 60_000)
}, 300_000)
