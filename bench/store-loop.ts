/**
 * What commits on the main thread do to the event loop: messages are handed to a store at a steady rate while a timer of
 * 1 ms is watched. `node bench/store-loop.ts [--rate 20000] [--secs 10] [--data DIR]`; docs/decisions/0009 quotes it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Envelope } from '../src/envelope/envelope.ts'
import type { Store } from '../src/store/contract.ts'
import { openStore } from '../src/store/store.ts'
import { messageOf } from './message.ts'

const { values } = parseArgs({
  options: {
    rate: { type: 'string', default: '20000' },
    secs: { type: 'string', default: '10' },
    data: { type: 'string', default: tmpdir() },
  },
})
const ratePerSec = Number(values.rate)
const durationMs = Number(values.secs) * 1000
const betweenMs = 1
const warmUpMs = 1000

type Take = (n: number, safe: (latencyMs: number) => void) => void

const folder = mkdtempSync(join(values.data, 'trivium-store-loop-'))
const store = openStore({
  directory: folder,
  maxBytes: 4 * 1024 ** 3,
  log: console,
  onFatal(error) {
    throw error
  },
})
const takes: Readonly<Record<string, Take>> = {
  'none (the timer alone)': (_n, safe) => safe(0),
  appended: taking(store, false),
  'appended and finished': taking(store, true),
}
try {
  console.log(
    `\n${ratePerSec} messages of 300 bytes a second for ${values.secs} s; in the delay is the 1 ms of the timer itself\n`,
  )
  console.log('| messages | a second | loop delay p50 ms | p99 | max | on disk after p50 ms | p99 | max | commits |')
  console.log('|---|--:|--:|--:|--:|--:|--:|--:|--:|')
  for (const [name, take] of Object.entries(takes)) {
    await run(take, warmUpMs)
    console.log(row(name, await run(take, durationMs)))
  }
} finally {
  store.close()
  rmSync(folder, { recursive: true })
}

/** Hands messages to the store; with `isFinished` a target is done with each as soon as it is safe. */
function taking({ outbox }: Store, isFinished: boolean): Take {
  const { route, bits } = outbox.route(`loop-${isFinished}`, ['kafka://events/loop'])
  const [wanted = 1] = bits
  const ended = () => {}
  return (n, safe) => {
    const { key, body } = messageOf(n)
    const at = performance.now()
    outbox.append({
      route,
      envelope: envelopeOf(n, body),
      params: { device: key },
      wanted,
      key,
      safe(id) {
        safe(performance.now() - at)
        if (isFinished) outbox.finish({ id, route, wanted, bits: wanted, ended })
      },
      duplicate() {},
      released() {},
    })
  }
}

function envelopeOf(n: number, body: string): Envelope {
  return new Envelope({
    messageId: `loop-${n}-${Date.now()}`,
    timestamp: new Date().toISOString(),
    source: `mqtt://devices/loop/${n % 1000}`,
    payload: Buffer.from(body),
  })
}

interface Figures {
  readonly perSec: number
  readonly delay: ReturnType<typeof monitorEventLoopDelay>
  readonly latenciesMs: Float64Array
  readonly commits: number
}

/** As many messages in each turn as are due by then. */
async function run(take: Take, forMs: number): Promise<Figures> {
  const count = Math.round((ratePerSec * forMs) / 1000)
  const latenciesMs = new Float64Array(count)
  const commitsBefore = store.stats.commits
  const allSafe = Promise.withResolvers<void>()
  let safe = 0
  const onSafe = (latencyMs: number) => {
    latenciesMs[safe] = latencyMs
    safe += 1
    if (safe === count) allSafe.resolve()
  }
  const delay = monitorEventLoopDelay({ resolution: betweenMs })
  delay.enable()
  const startedAt = performance.now()
  for (let taken = 0; taken < count; ) {
    await sleep(betweenMs)
    const due = Math.min(count, Math.floor(((performance.now() - startedAt) * ratePerSec) / 1000))
    for (; taken < due; taken += 1) take(taken, onSafe)
  }
  await allSafe.promise
  delay.disable()
  const perSec = (count / (performance.now() - startedAt)) * 1000
  return { perSec, delay, latenciesMs: latenciesMs.sort(), commits: store.stats.commits - commitsBefore }
}

function row(name: string, { perSec, delay, latenciesMs, commits }: Figures): string {
  const delays = [delay.percentile(50), delay.percentile(99), delay.max].map((ns) => ns / 1e6)
  const cells = [...delays, ...threeOf(latenciesMs)].map((ms) => ms.toFixed(2))
  return `| ${[name, perSec.toFixed(0), ...cells, commits].join(' | ')} |`
}

/** Median, 99th percentile and the largest of what is sorted. */
function threeOf(sorted: ArrayLike<number>): number[] {
  return [0.5, 0.99, 1].map((share) => sorted[Math.floor((sorted.length - 1) * share)] ?? 0)
}
