/**
 * `npm run bench [-- --messages 200000 --runs 3 --only mqtt-kafka,routes,idle]`: the gateway beside the bare loop on real
 * brokers, road by road, in turn. `--profile DIR` writes a CPU profile of each gateway. See docs/benchmarks.md.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { brokerAddresses } from '../test/support/brokers/addresses.ts'
import { startBrokers } from '../test/support/brokers/start.ts'
import { measureIdle } from './idle.ts'
import { type Cost, median } from './measure.ts'
import { Runner } from './runner.ts'
import { type Road, roads } from './task.ts'

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '200000' },
    runs: { type: 'string', default: '1' },
    only: { type: 'string' },
    profile: { type: 'string' },
  },
})
const count = Number(values.messages)
const runs = Number(values.runs)
const only = values.only?.split(',')
const isWanted = (name: string) => only?.includes(name) ?? true
const nameOf = ({ from, to }: Road) => `${from}-${to}`

const brokers = await startBrokers()
Object.assign(process.env, brokers.env)
const { kafka, amqp, mqtt } = brokerAddresses()
const folder = mkdtempSync(join(tmpdir(), 'trivium-bench-'))
const runner = new Runner({ addresses: { kafka, amqp, mqtt }, folder, count, profile: values.profile })
try {
  const chosen = roads.filter((road) => isWanted(nameOf(road)))
  if (chosen.length > 0) await compareRoads(chosen)
  if (isWanted('routes')) await compareRoutes()
  if (isWanted('idle')) await reportIdle()
} finally {
  rmSync(folder, { recursive: true })
  await brokers.stop()
}

/** Each road by the gateway and by the bare loop in turn, on fresh places; the median of the runs. */
async function compareRoads(chosen: readonly Road[]): Promise<void> {
  console.log(`\n${count} messages a run, median of ${runs} run(s); a ratio is gateway : bare loop\n`)
  console.log('| road | CPU µs/msg | bare | ratio | msg/s | bare | ratio | peak MiB | bare |')
  console.log('|---|--:|--:|--:|--:|--:|--:|--:|--:|')
  for (const road of chosen) {
    const gateway: Cost[] = []
    const bare: Cost[] = []
    for (let run = 0; run < runs; run += 1) {
      const both = [
        async () => gateway.push(await runner.gateway(road)),
        async () => bare.push(await runner.bare(road)),
      ]
      for (const one of run % 2 === 0 ? both : both.reverse()) await one()
    }
    console.log(row(nameOf(road), median(gateway), median(bare)))
  }
}

/** 1,000 routes of which one matches, beside that one alone: the work on messages, without reading the configuration. */
async function compareRoutes(): Promise<void> {
  const road = roads[0]!
  const costOf = async (routes: number) => {
    const total = median(await repeat(() => runner.gateway(road, routes))).cpuSecs
    const start = await runner.startCpuSecs(road, routes)
    return { start, perMessage: ((total - start) / count) * 1e6 }
  }
  const [one, thousand] = [await costOf(1), await costOf(1000)]
  console.log(
    `\n${nameOf(road)}: 1000 routes ${thousand.perMessage.toFixed(1)} µs/msg of CPU, one ${one.perMessage.toFixed(1)};` +
      ` ratio ${(thousand.perMessage / one.perMessage).toFixed(2)} (start: ${thousand.start} s and ${one.start} s, not counted)`,
  )
}

async function reportIdle(): Promise<void> {
  const { cpuSecs, wallSecs, rssMib } = await measureIdle({ kafka, amqp, mqtt }, folder)
  const share = ((cpuSecs / wallSecs) * 100).toFixed(2)
  console.log(`\nidle, all three connected, over ${wallSecs} s: ${share} % of a core, ${rssMib.toFixed(0)} MiB`)
}

async function repeat(run: () => Promise<Cost>): Promise<readonly Cost[]> {
  const costs: Cost[] = []
  for (let n = 0; n < runs; n += 1) costs.push(await run())
  return costs
}

function micros(cost: Cost): string {
  return ((cost.cpuSecs / count) * 1e6).toFixed(1)
}

function row(name: string, gateway: Cost, bare: Cost): string {
  const rate = (cost: Cost) => count / cost.wallSecs
  const cells = [
    ...[micros(gateway), micros(bare), (gateway.cpuSecs / bare.cpuSecs).toFixed(2)],
    ...[rate(gateway).toFixed(0), rate(bare).toFixed(0), (rate(gateway) / rate(bare)).toFixed(2)],
    ...[gateway.peakMib.toFixed(0), bare.peakMib.toFixed(0)],
  ]
  return `| ${name} | ${cells.join(' | ')} |`
}
