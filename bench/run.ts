/**
 * `npm run bench [-- --messages 200000 --runs 3 --only mqtt-kafka,stored,mqtt-amqp-stored,fan-out,deduplicate,devices,backlog,store-loop,routes,start,idle,fields,http-publish]`: the
 * gateway beside the bare loop on real brokers, road by road, in turn; then what the store costs. `--profile DIR` writes a
 * CPU profile of each gateway, `--data DIR` says which disk the stores are on. See docs/benchmarks.md.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { brokerAddresses } from '../test/support/brokers/addresses.ts'
import { startBrokers } from '../test/support/brokers/start.ts'
import { type CallCost, measureBarePublish, measurePublish } from './calls.ts'
import { measureBacklog, measureDevices } from './devices.ts'
import type { Shape } from './gateway-yaml.ts'
import { measureIdle } from './idle.ts'
import { type Cost, median } from './measure.ts'
import { Runner } from './runner.ts'
import { installedLauncher, measureStart } from './start.ts'
import { type Road, roads } from './task.ts'
import { startWeb } from './web.ts'

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '200000' },
    runs: { type: 'string', default: '1' },
    only: { type: 'string' },
    profile: { type: 'string' },
    data: { type: 'string', default: tmpdir() },
  },
})
const count = Number(values.messages)
const runs = Number(values.runs)
const only = values.only?.split(',')
const isWanted = (name: string) => only?.includes(name) ?? true
const nameOf = ({ from, to }: Road) => `${from}-${to}`

const mqttKafka: Road = { from: 'mqtt', to: 'kafka' }

const brokers = await startBrokers()
Object.assign(process.env, brokers.env)
const { kafka, amqp, mqtt } = brokerAddresses()
const folder = mkdtempSync(join(values.data, 'trivium-bench-'))
const web = await startWeb()
const addresses = { kafka, amqp, mqtt, http: web.url }
const runner = new Runner({ addresses, folder, count, profile: values.profile, web })
try {
  const chosen = roads.filter((road) => isWanted(nameOf(road)))
  if (chosen.length > 0) await compareRoads(chosen)
  if (isWanted('fields')) await compareFields()
  const stored = roads.filter((road) => isWanted('stored') || isWanted(`${nameOf(road)}-stored`))
  if (stored.length > 0) await compareStored(stored)
  if (isWanted('fan-out')) await compareStored([mqttKafka], { targets: 2 }, 'two targets')
  if (isWanted('deduplicate')) await compareStored([mqttKafka], { deduplicate: true }, 'deduplicate')
  if (isWanted('devices')) await reportDevices()
  if (isWanted('http-publish')) await reportPublish()
  if (isWanted('backlog')) await reportBacklog()
  if (isWanted('store-loop')) await runStoreLoop()
  if (isWanted('routes')) await compareRoutes()
  if (isWanted('start')) await reportStart()
  if (isWanted('idle')) await reportIdle()
} finally {
  rmSync(folder, { recursive: true })
  web.stop()
  await brokers.stop()
}

/** Each road by the gateway and by the bare loop in turn, on fresh places; the median of the runs. */
async function compareRoads(chosen: readonly Road[]): Promise<void> {
  console.log(`\n${count} messages a run, median of ${runs} run(s); a ratio is gateway : bare loop\n`)
  console.log('| road | CPU µs/msg | bare | ratio | msg/s | bare | ratio | peak MiB | bare |')
  console.log('|---|--:|--:|--:|--:|--:|--:|--:|--:|')
  for (const road of chosen) {
    const [gateway, bare] = await inTurn(
      () => runner.gateway(road),
      () => runner.bare(road),
    )
    console.log(row(nameOf(road), gateway, bare))
  }
}

/** Into RabbitMQ the same work for the broker: both with the fields of a message, both without. */
async function compareFields(): Promise<void> {
  console.log(`\n${count} messages a run, median of ${runs} run(s); a ratio is gateway : bare loop, fields alike\n`)
  console.log('| road | CPU µs/msg | bare | ratio | msg/s | bare | ratio | peak MiB | bare |')
  console.log('|---|--:|--:|--:|--:|--:|--:|--:|--:|')
  for (const road of roads.filter(({ to }) => to === 'amqp')) {
    for (const withFields of [true, false]) {
      const [gateway, bare] = await inTurn(
        () => runner.gateway(road, { format: withFields ? 'binary' : 'raw' }),
        () => runner.bare(road, { withFields }),
      )
      console.log(row(`${nameOf(road)}, ${withFields ? 'fields' : 'body alone'}`, gateway, bare))
    }
  }
}

/** Each road acknowledged by the store, and by its target. */
async function compareStored(chosen: readonly Road[], shape: Shape = {}, what = 'stored'): Promise<void> {
  console.log(`\n${count} messages a run, median of ${runs} run(s); a ratio is stored : delivered\n`)
  console.log('| road | CPU µs/msg | delivered | ratio | msg/s | delivered | ratio | peak MiB | delivered |')
  console.log('|---|--:|--:|--:|--:|--:|--:|--:|--:|')
  for (const road of chosen) {
    const [stored, delivered] = await inTurn(
      () => runner.gateway(road, { ...shape, acknowledge: 'stored' }),
      () => runner.gateway(road, { targets: shape.targets, acknowledge: 'delivered' }),
    )
    console.log(row(`${nameOf(road)} ${what}`, stored, delivered))
  }
}

async function reportDevices(): Promise<void> {
  console.log('\n1,000 devices at the embedded broker, QoS 1, one message in flight each, into Kafka\n')
  console.log(
    '| acknowledged | msg/s | p50 ms | p99 ms | max ms | CPU µs/msg | load | in Kafka at the last PUBACK | peak MiB |',
  )
  console.log('|---|--:|--:|--:|--:|--:|--:|--:|--:|')
  for (const acknowledge of ['stored', 'delivered'] as const) {
    const cost = await measureDevices({ addresses: { kafka, amqp, mqtt }, folder, count }, acknowledge)
    const cells = [
      ...[count / cost.wallSecs, cost.p50Ms, cost.p99Ms, cost.maxMs].map((figure) => figure.toFixed(0)),
      ...[micros(cost.gatewayCpuSecs), micros(cost.cpuSecs), cost.deliveredByThen, cost.peakMib.toFixed(0)],
    ]
    console.log(`| ${acknowledge} | ${cells.join(' | ')} |`)
  }
}

/** 64 callers, each with one call in flight; then 5,000 calls a second by the clock. */
async function reportPublish(): Promise<void> {
  const job = { addresses: { kafka, amqp, mqtt }, folder, count }
  console.log(
    `\n${count} calls over 64 keep-alive connections, \`stored\`, into Kafka; the bare handler is express and kafkajs\n`,
  )
  console.log('| server | calls/s | p50 ms | p99 ms | max ms | CPU µs/call | load | peak MiB |')
  console.log('|---|--:|--:|--:|--:|--:|--:|--:|')
  console.log(callRow('gateway', await measurePublish(job), count))
  console.log(callRow('bare', await measureBarePublish(job), count))
  const paced = Math.min(count, 50_000)
  console.log(callRow('gateway at 5,000/s', await measurePublish({ ...job, count: paced, perSec: 5_000 }), paced))
}

function callRow(name: string, cost: CallCost, calls: number): string {
  const perCall = (cpuSecs: number) => ((cpuSecs / calls) * 1e6).toFixed(1)
  const cells = [
    (calls / cost.wallSecs).toFixed(0),
    ...[cost.p50Ms, cost.p99Ms, cost.maxMs].map((figure) => figure.toFixed(1)),
    ...[perCall(cost.serverCpuSecs), perCall(cost.cpuSecs), cost.peakMib.toFixed(0)],
  ]
  return `| ${name} | ${cells.join(' | ')} |`
}

async function reportBacklog(): Promise<void> {
  const { perSec, cpuSecs, peakMib } = await measureBacklog({ addresses: { kafka, amqp, mqtt }, folder, count })
  console.log(
    `\nbacklog of ${count} stored messages, once Kafka is back: ${perSec.toFixed(0)} msg/s,` +
      ` ${micros(cpuSecs)} µs/msg of CPU, peak ${peakMib.toFixed(0)} MiB with the filling before`,
  )
}

/** In a process of its own, so that nothing else waits in its event loop. */
async function runStoreLoop(): Promise<void> {
  const script = join(import.meta.dirname, 'store-loop.ts')
  const child = spawn(process.execPath, ['--no-warnings', script, '--data', folder], { stdio: 'inherit' })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`store-loop ended with ${code}`)
}

/** 1,000 routes of which one matches, beside that one alone: the work on messages, without reading the configuration. */
async function compareRoutes(): Promise<void> {
  const road = roads[0]!
  const costOf = async (routes: number) => {
    const total = median(await repeat(() => runner.gateway(road, { routes }))).cpuSecs
    const start = await runner.startCpuSecs(road, routes)
    return { start, perMessage: ((total - start) / count) * 1e6 }
  }
  const [one, thousand] = [await costOf(1), await costOf(1000)]
  console.log(
    `\n${nameOf(road)}: 1000 routes ${thousand.perMessage.toFixed(1)} µs/msg of CPU, one ${one.perMessage.toFixed(1)};` +
      ` ratio ${(thousand.perMessage / one.perMessage).toFixed(2)} (start: ${thousand.start} s and ${one.start} s, not counted)`,
  )
}

/** The first one fills Node's compile cache. */
async function reportStart(): Promise<void> {
  const launcher = installedLauncher(folder)
  const first = await measureStart(launcher, folder)
  const others: (typeof first)[] = []
  for (let n = 0; n < 8; n += 1) others.push(await measureStart(launcher, folder))
  const walls = others.map(({ wallMs }) => wallMs).sort((one, other) => one - other)
  const cpu = others.map(({ cpuSecs }) => cpuSecs * 1_000).sort((one, other) => one - other)
  console.log(
    `\nstart of the bundle with trivium.yaml until /readyz answers 200, of 8: ${walls[4]!.toFixed(0)} ms` +
      ` (${walls[0]!.toFixed(0)} to ${walls[7]!.toFixed(0)}; the first after the build ${first.wallMs.toFixed(0)}),` +
      ` ${cpu[4]!.toFixed(0)} ms of CPU, ${others[0]!.rssMib.toFixed(0)} MiB`,
  )
}

async function reportIdle(): Promise<void> {
  const { cpuSecs, wallSecs, rssMib } = await measureIdle({ kafka, amqp, mqtt }, folder, installedLauncher(folder))
  const share = ((cpuSecs / wallSecs) * 100).toFixed(2)
  console.log(`\nidle, all three connected, over ${wallSecs} s: ${share} % of a core, ${rssMib.toFixed(0)} MiB`)
}

/** Two ways of doing the same, run by run in changing order; the median of each. */
async function inTurn(first: () => Promise<Cost>, second: () => Promise<Cost>): Promise<[Cost, Cost]> {
  const costs: [Cost[], Cost[]] = [[], []]
  for (let run = 0; run < runs; run += 1) {
    const both = [async () => costs[0].push(await first()), async () => costs[1].push(await second())]
    for (const one of run % 2 === 0 ? both : both.reverse()) await one()
  }
  return [median(costs[0]), median(costs[1])]
}

async function repeat(run: () => Promise<Cost>): Promise<readonly Cost[]> {
  const costs: Cost[] = []
  for (let n = 0; n < runs; n += 1) costs.push(await run())
  return costs
}

function micros(cpuSecs: number): string {
  return ((cpuSecs / count) * 1e6).toFixed(1)
}

function row(name: string, gateway: Cost, other: Cost): string {
  const rate = (cost: Cost) => count / cost.wallSecs
  const cells = [
    ...[micros(gateway.cpuSecs), micros(other.cpuSecs), (gateway.cpuSecs / other.cpuSecs).toFixed(2)],
    ...[rate(gateway).toFixed(0), rate(other).toFixed(0), (rate(gateway) / rate(other)).toFixed(2)],
    ...[gateway.peakMib.toFixed(0), other.peakMib.toFixed(0)],
  ]
  return `| ${name} | ${cells.join(' | ')} |`
}
