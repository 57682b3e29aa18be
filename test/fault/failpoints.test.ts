/** The gateway dies at each named place of its code, once, and loses nothing that it had acknowledged. */

import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import mqtt from 'mqtt'
import { withDeadline } from '../../src/adapter/deadline.ts'
import { type FailpointName, failpoints } from '../../src/failpoint.ts'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { startProxy, type TcpProxy } from '../support/brokers/proxy.ts'
import { Rig } from '../support/fault/rig.ts'
import { type Row, tableOf } from '../support/fault/table.ts'
import { portOf } from '../support/places/connections.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'
import { randomOf } from '../support/random.ts'

const diesWithinMs = 60_000
const random = randomOf()
let rig: Rig
let proxy: TcpProxy
let devices: string
const rows: Row[] = []

beforeAll(async () => {
  proxy = await startProxy(portOf(brokerAddresses().amqp))
  devices = `mqtt://127.0.0.1:${await freePort()}`
  const feed = { address: devices, bytes: 2_000, keys: 12 }
  const outletOf = { amqp: { port: proxy.port } }
  rig = await Rig.build([{ from: 'embedded', to: ['kafka', 'amqp'], feed, outletOf, perSecond: 1_500 }])
}, 60_000)

/** One that did not die where it should is not the next one's. */
afterEach(async () => {
  if (rig.gateway.isAlive) await rig.gateway.kill()
})

afterAll(async () => {
  process.stdout.write(`failpoints, seed ${random.seed}\n${tableOf(rows)}\n`)
  await rig.close()
  await proxy.close()
}, 60_000)

const refuser = () => rig.roads[0]!.branches[1]!.outlet
const log = () => rig.roads[0]!.log
const deadLetters = async () => ((await rig.gateway.get('/api/v1/dead-letters')) as { total: number }).total
const requeue = () => rig.gateway.post('/api/v1/dead-letters/requeue', { all: true }) as Promise<{ remaining: number }>

/** What leads a gateway that is armed by `arm` to the failpoint, and what has to be put right afterwards. */
interface Scenario {
  /** Hits of which one is chosen. */
  readonly hits: readonly [least: number, most: number]
  lead(arm: () => void): Promise<void>
  mend?(): Promise<void>
  /** Dead letters that are sent again come behind what they stood before. */
  readonly mayReorder?: true
}

/** Ordinary traffic. */
const load = (least: number, most: number): Scenario => ({
  hits: [least, most],
  async lead(arm) {
    arm()
    rig.run()
  },
})

/** Leaves a few hundred messages in the store of a gateway that was killed. */
async function leaveBacklog(): Promise<void> {
  proxy.cut()
  rig.gateway.launch()
  rig.run()
  const before = log().acked
  await eventually(() => log().acked > before + 500, { withinMs: 30_000, what: 'a backlog' })
  await rig.gateway.kill()
  proxy.restore()
}

const backlog = (most: number): Scenario => ({
  hits: [1, most],
  async lead(arm) {
    await leaveBacklog()
    arm()
  },
})

/** Messages that a target refuses for good. */
const refused: Scenario = {
  mayReorder: true,
  hits: [1, 6],
  async lead(arm) {
    await refuser().refuse!('unroutable')
    arm()
    rig.run()
  },
  async mend() {
    await refuser().admit!()
  },
}

/** Dead letters that are to be sent again. */
const requeued: Scenario = {
  mayReorder: true,
  hits: [1, 1],
  async lead(arm) {
    await refuser().refuse!('unroutable')
    await rig.gateway.start()
    rig.run()
    await eventually(async () => (await deadLetters()) > 300, { withinMs: 30_000, what: 'dead letters' })
    await rig.gateway.kill()
    await refuser().admit!()
    arm()
    await rig.gateway.ready()
    const before = await deadLetters().catch(String)
    let answer: unknown
    const hasDied = async () => {
      answer = await requeue().catch(String)
      return !rig.gateway.isAlive
    }
    await eventually(hasDied, { withinMs: 30_000, what: 'its end' }).catch((cause: unknown) => {
      const { log: lines } = rig.gateway
      throw new Error(`it lives on: ${JSON.stringify({ before, answer, lines })}`, { cause })
    })
  },
}

/** Messages that a target refuses for now. */
const nacked: Scenario = {
  hits: [1, 20],
  async lead(arm) {
    await refuser().refuse!('nack')
    arm()
    rig.run()
  },
  async mend() {
    await refuser().admit!()
  },
}

const drained: Scenario = {
  hits: [1, 1],
  async lead(arm) {
    arm()
    await rig.gateway.ready()
    rig.run()
    const before = log().acked
    await eventually(() => log().acked > before + 100, { withinMs: 30_000, what: 'load' })
    await rig.gateway.stop()
  },
}

/** A device with a session that is kept. */
const session: Scenario = {
  hits: [1, 1],
  async lead(arm) {
    arm()
    rig.run()
    const client = mqtt.connect(devices, { clientId: 'keeper', clean: false, protocolVersion: 4, reconnectPeriod: 100 })
    client.on('error', () => {}).on('connect', () => client.subscribe('elsewhere/#', { qos: 1 }, () => {}))
    await rig.gateway.ended
    await client.endAsync(true)
  },
}

const scenarios: Record<FailpointName, Scenario> = {
  'store.before-commit': load(1, 40),
  'store.after-commit': load(1, 40),
  'store.before-finish-commit': load(1, 40),
  'store.checkpoint': load(1, 2),
  'dead-letter.before-commit': refused,
  'dead-letter.after-commit': refused,
  'requeue.before-commit': requeued,
  'requeue.after-commit': requeued,
  'start.marked': backlog(3),
  'source.acknowledged': load(1, 300),
  'send.before': load(1, 100),
  'send.sent': load(1, 100),
  'send.confirmed': load(1, 300),
  'feed.read': backlog(2),
  'drain.begun': drained,
  'attempt.noted': nacked,
  'session.before-commit': session,
}

/** Every producer is told that all is safe, all is at both targets, dead letters by way of being sent again. */
async function heal(): Promise<void> {
  await rig.gateway.start()
  const before = log().acked // it may have died before the first message was issued
  await eventually(() => log().acked > before, { withinMs: 30_000, what: 'load after the restart' })
  await Promise.all(rig.roads.map(({ feed }) => feed.pause()))
  const isAllThere = async () => {
    if ((await deadLetters()) > 0) await requeue()
    return rig.roads[0]!.branches.every(({ oracle }) => oracle.isComplete)
  }
  await eventually(isAllThere, { withinMs: 60_000, what: 'all messages' }).catch(() => {})
}

let crashes = 0
const inversionsSoFar: number[] = []

test.each(failpoints)(
  '%s: dies there, and nothing is lost',
  async (name) => {
    const { hits, lead, mend, mayReorder } = scenarios[name]
    const hit = Math.floor(random.between(hits[0], hits[1] + 1))
    await lead(() => rig.gateway.launch({ env: { TRIVIUM_FAILPOINT: `${name}:${hit}` } }))
    const exit = await withDeadline(rig.gateway.ended, diesWithinMs, `the end of the gateway at ${name}`)
    expect(exit).toEqual({ code: null, signal: 'SIGKILL' })
    crashes += 2
    await mend?.()
    await heal()
    for (const [at, verdict] of rig.verdicts(crashes).entries()) {
      const { road, issued, acked, delivered, missing, spurious, corrupted, duplicates } = verdict
      const inversions = verdict.inversions - (inversionsSoFar[at] ?? 0)
      inversionsSoFar[at] = verdict.inversions
      rows.push({
        ...{ failpoint: `${name}:${hit}`, road, issued, acked, delivered, missing, spurious, corrupted, inversions },
        duplicates,
      })
      expect(verdict.defects.filter((defect) => !defect.endsWith('inversions'))).toEqual([])
      if (mayReorder !== true) expect(inversions).toBe(0)
    }
  },
  180_000,
)

test('there are at least twelve of them', () => {
  expect(failpoints.length).toBeGreaterThanOrEqual(12)
})
