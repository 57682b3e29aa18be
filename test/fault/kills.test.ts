/**
 * The gateway dies by SIGKILL at random times while messages flow on every road there is. What a source was told is safe
 * must be at its target afterwards: all of it, unchanged, in the order of its key.
 */
import { afterAll, expect, test } from '@jest/globals'
import { type KillResult, killRun, rowsOf } from '../support/fault/kill-run.ts'
import { loadSinkNames } from '../support/fault/load-sinks.ts'
import { type LoadSourceName, loadSourceNames, ownFeed } from '../support/fault/load-sources.ts'
import { tableOf } from '../support/fault/table.ts'
import { randomOf } from '../support/random.ts'

const usual = { kills: 25, messages: 25_000 }
/** A request at a time of each key is slow. */
const fewer = { kills: 6, messages: 3_000 }
const results: KillResult[] = []
const random = randomOf()

/** One gateway with a road from this source to every target. */
async function killed(from: LoadSourceName, much = usual): Promise<KillResult> {
  const feed = await ownFeed(from)
  const roads = loadSinkNames.map((to) => ({ from, to: [to], feed, perSecond: 300 }))
  return await killRun({ roads, ...much, random })
}

afterAll(() => {
  process.stdout.write(`kills, seed ${random.seed}\n${tableOf(rowsOf(results))}\n`)
})

test.each([[['embedded', 'kafka']], [['mqtt', 'amqp']]] satisfies [LoadSourceName[]][])(
  'from %j to every target: nothing is lost, changed or out of order over 25 kills each',
  async (sources) => {
    for (const result of await Promise.all(sources.map((source) => killed(source)))) check(result)
  },
  600_000,
)

test('from "http" to every target: nothing that was answered 202 is lost, changed or out of order over 6 kills', async () => {
  check(await killed('http', fewer))
}, 600_000)

function check(result: KillResult): void {
  results.push(result)
  const { verdicts, isReached, exitCode, deadLetters, convicted } = result
  expect(deadLetters).toEqual([])
  expect(convicted).toBeLessThanOrEqual(1) // chance has it that kills hit one message five times in a row
  for (const verdict of verdicts) expect(verdict).toMatchObject({ defects: [], examples: [] })
  expect({ isReached, exitCode }).toEqual({ isReached: true, exitCode: 0 })
}

test('the kills have hit: at least 100 over 100,000 messages on every road, and some were sent twice', () => {
  const sumOf = (count: (result: KillResult) => number) => results.reduce((sum, result) => sum + count(result), 0)
  const duplicates = sumOf(({ verdicts }) => verdicts.reduce((sum, verdict) => sum + verdict.duplicates, 0))
  expect(results.flatMap(({ verdicts }) => verdicts)).toHaveLength(loadSourceNames.length * loadSinkNames.length)
  expect(sumOf(({ kills }) => kills)).toBeGreaterThanOrEqual(100)
  expect(sumOf(({ issued }) => issued)).toBeGreaterThanOrEqual(100_000)
  expect(duplicates).toBeGreaterThan(0)
})
