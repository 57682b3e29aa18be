/**
 * `npm run bench [-- --messages 200000 --runs 3 --only mqtt-kafka,amqp-kafka]`: the gateway beside the bare loop on real
 * brokers, road by road, in turn. `--profile DIR` writes a CPU profile of each gateway. See docs/benchmarks.md.
 */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { brokerAddresses } from '../test/support/brokers/addresses.ts'
import { startBrokers } from '../test/support/brokers/start.ts'
import { gatewayYaml } from './gateway-yaml.ts'
import { type Cost, measure } from './measure.ts'
import { type Filler, fillers } from './places.ts'
import { type Place, type ProtocolName, type Road, roads, type Task } from './task.ts'

interface Row {
  readonly road: string
  readonly gateway: Cost
  readonly bare: Cost
}

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '200000' },
    runs: { type: 'string', default: '1' },
    only: { type: 'string' },
    routes: { type: 'string', default: '1' },
    profile: { type: 'string' },
  },
})
const count = Number(values.messages)
const withinMs = 180_000
const main = join(import.meta.dirname, '../bin/trivium.js')
const bare = join(import.meta.dirname, 'bare.ts')

const brokers = await startBrokers()
Object.assign(process.env, brokers.env)
const { kafka, amqp, mqtt } = brokerAddresses()
const addresses = { kafka, amqp, mqtt }
const filler = fillers(addresses)
const folder = mkdtempSync(join(tmpdir(), 'trivium-bench-'))

try {
  const wanted = values.only?.split(',')
  const rows: Row[] = []
  for (const road of roads.filter(({ from, to }) => wanted?.includes(`${from}-${to}`) ?? true)) {
    for (let run = 0; run < Number(values.runs); run += 1) {
      const row = await compare(road, run % 2 === 0)
      rows.push(row)
      printRow(row, rows.length === 1)
    }
  }
} finally {
  rmSync(folder, { recursive: true })
  await brokers.stop()
}

/** Both in turn on fresh places, so that neither profits from the other's. */
async function compare(road: Road, isGatewayFirst: boolean): Promise<Row> {
  const first = await runOne(road, isGatewayFirst ? gatewayArgs : bareArgs)
  const second = await runOne(road, isGatewayFirst ? bareArgs : gatewayArgs)
  const name = `${road.from}-${road.to}`
  return isGatewayFirst ? { road: name, gateway: first, bare: second } : { road: name, gateway: second, bare: first }
}

async function runOne(road: Road, argsOf: (task: Task) => readonly string[]): Promise<Cost> {
  const from = await placeFor(road.from)
  const to = await placeFor(road.to)
  await filler[road.from].fill(from.name, count)
  const counter = await filler[road.to].counter(to.name)
  try {
    return await measure(argsOf({ from, to, addresses }), async () => (await counter.count()) >= count, withinMs)
  } finally {
    await counter.close()
    await Promise.all([remove(from), remove(to)])
  }
}

async function placeFor(protocol: ProtocolName): Promise<Place> {
  const place: Place = { protocol, name: `bench-${randomUUID().slice(0, 8)}` }
  const prepared: Filler = filler[protocol]
  await prepared.prepare(place.name)
  return place
}

function remove({ protocol, name }: Place): Promise<void> {
  return filler[protocol].remove(name)
}

function bareArgs(task: Task): readonly string[] {
  return ['--no-warnings', bare, JSON.stringify(task)]
}

function gatewayArgs(task: Task): readonly string[] {
  const file = join(folder, `${task.from.name}.yaml`)
  writeFileSync(file, gatewayYaml(task, Number(values.routes)))
  const profiling = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`]
  return [...profiling, main, 'run', file, '--log-level', 'warn']
}

function printRow({ road, gateway, bare: loop }: Row, isFirst: boolean): void {
  if (isFirst) {
    console.log(`\n${count} messages a run, ${values.routes} route(s); a ratio is gateway : bare loop`)
    console.log('| road | CPU µs/msg | bare | ratio | msg/s | bare | ratio | peak MiB | bare |')
    console.log('|---|--:|--:|--:|--:|--:|--:|--:|--:|')
  }
  const micros = (cost: Cost) => (cost.cpuSecs / count) * 1e6
  const rate = (cost: Cost) => count / cost.wallSecs
  const cells = [
    ...[micros(gateway).toFixed(1), micros(loop).toFixed(1), (micros(gateway) / micros(loop)).toFixed(2)],
    ...[rate(gateway).toFixed(0), rate(loop).toFixed(0), (rate(gateway) / rate(loop)).toFixed(2)],
    ...[gateway.peakMib.toFixed(0), loop.peakMib.toFixed(0)],
  ]
  console.log(`| ${road} | ${cells.join(' | ')} |`)
}
