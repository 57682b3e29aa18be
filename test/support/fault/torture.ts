/**
 * `npm run torture -- --messages 1000000 --kills 200`: the kill test for as long as you like, on every road or on those that
 * begin with `--road`. Ends with the table; 0: nothing was lost and both counts were reached.
 */
import { parseArgs } from 'node:util'
import { startBrokers } from '../brokers/start.ts'
import { randomOf } from '../random.ts'
import { type KillResult, killRun, type Progress, rowsOf } from './kill-run.ts'
import { type LoadSinkName, loadSinkNames } from './load-sinks.ts'
import { type LoadSourceName, loadSourceNames, ownFeed } from './load-sources.ts'
import { tableOf } from './table.ts'

const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '1000000' },
    kills: { type: 'string', default: '200' },
    seed: { type: 'string' },
    /** `embedded`, or `embedded-kafka`. */
    road: { type: 'string' },
    /** The wall clock ends it then, and it counts as not reached. */
    minutes: { type: 'string', default: '60' },
    acknowledge: { type: 'string' },
  },
})

const [onlyFrom, onlyTo] = (values.road ?? '').split('-')
const sources = loadSourceNames.filter((name) => !onlyFrom || name === onlyFrom)
const targets = loadSinkNames.filter((name) => !onlyTo || name === onlyTo)
if (sources.length === 0 || targets.length === 0) {
  console.error(
    `--road: one of ${loadSourceNames.flatMap((from) => loadSinkNames.map((to) => `${from}-${to}`)).join(', ')}`,
  )
  process.exit(64)
}
const messages = Math.ceil(Number(values.messages) / sources.length)
const kills = Math.ceil(Number(values.kills) / sources.length)
const random = randomOf(values.seed === undefined ? undefined : Number(values.seed))
const giveUpAfterMs = Number(values.minutes) * 60_000
const acknowledge = values.acknowledge as 'stored' | 'delivered' | undefined
/** About as many messages as the kills take time for. */
const perSecond = Math.min(2_000, Math.max(200, Math.ceil(messages / (kills * 2) / targets.length)))

const startedAt = performance.now()
const secs = () => (performance.now() - startedAt) / 1_000
const brokers = await startBrokers()
Object.assign(process.env, brokers.env)
console.log(`seed ${random.seed}; ${values.messages} messages, ${values.kills} kills; brokers: ${brokers.how}`)

const progress = new Map<LoadSourceName, Progress>()
let isFailed = false
const results: KillResult[] = []
for (let at = 0; at < sources.length; at += 2) {
  results.push(...(await Promise.all(sources.slice(at, at + 2).map(tortured))))
}
await brokers.stop()
report()

async function tortured(from: LoadSourceName): Promise<KillResult> {
  const feed = await ownFeed(from)
  const roads = targets.map((to: LoadSinkName) => ({ from, to: [to], feed, perSecond }))
  const onProgress = (now: Progress) => {
    progress.set(from, now)
    showProgress()
  }
  const left = giveUpAfterMs - secs() * 1_000
  const options = acknowledge === undefined ? {} : { acknowledge }
  return await killRun({ roads, kills, messages, random, options, onProgress, giveUpAfterMs: left })
}

/** One line that stays where it is, on a terminal; elsewhere none. */
function showProgress(): void {
  if (!process.stdout.isTTY) return
  const sumOf = (count: (one: Progress) => number) => [...progress.values()].reduce((sum, one) => sum + count(one), 0)
  const [done, issued, delivered] = [sumOf((p) => p.kills), sumOf((p) => p.issued), sumOf((p) => p.delivered)]
  const line = `${secs().toFixed(0)} s: ${done} of ${values.kills} kills, ${issued} sent, ${delivered} delivered`
  process.stdout.write(`\r\x1b[K${line}`)
}

function report(): void {
  const sumOf = (count: (result: KillResult) => number) => results.reduce((sum, result) => sum + count(result), 0)
  const verdicts = results.flatMap((result) => result.verdicts)
  const peakMiB = Math.max(...results.map(({ peakBytes }) => peakBytes)) / 2 ** 20
  if (process.stdout.isTTY) process.stdout.write('\r\x1b[K')
  console.log(tableOf(rowsOf(results)))
  console.log(
    `${sumOf(({ issued }) => issued)} messages, ${sumOf((result) => result.kills)} kills, ${secs().toFixed(0)} s, at most ${peakMiB.toFixed(0)} MiB, seed ${random.seed}`,
  )
  for (const { road, defects, examples } of verdicts)
    for (const text of [...defects, ...examples]) fail(`${road}: ${text}`)
  if (results.some(({ isReached }) => !isReached)) fail(`not reached within ${values.minutes} minutes`)
  for (const text of results.flatMap(({ deadLetters }) => deadLetters)) fail(`dead letter of ${text}`)
  const convicted = sumOf((result) => result.convicted)
  console.log(`${convicted} taken for poison, as five kills in a row hit them, and sent again`)
  if (convicted > 5) fail('that is more than chance')
  if (results.some(({ exitCode }) => exitCode !== 0)) fail('the gateway did not end well')
  if (verdicts.every(({ duplicates }) => duplicates === 0)) fail('nothing was ever sent twice: the kills did not hit')
  if (!isFailed) console.log('nothing was lost, changed or out of order')
  process.exit(isFailed ? 1 : 0)
}

function fail(text: string): void {
  isFailed = true
  console.log(`FAILED: ${text}`)
}
