import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from '@jest/globals'
import { acceptAll, freshName, makeContext, makeTopic, openSink, outbound, produce, read } from './kafka-support.ts'

const watchedMs = 3000
/** What earlier tests left in this process is collected at some time, by the second. */
const mostWatches = 4

const isIdle = (part: number) => part < 0.01

async function partOfCore(): Promise<number> {
  const before = process.cpuUsage()
  await sleep(watchedMs) // the only thing under test is that nothing happens
  const used = process.cpuUsage(before)
  return (used.user + used.system) / 1000 / watchedMs
}

it('costs less than 1 % of a core while a connected sink and source are idle', async () => {
  const warnings: Error[] = []
  const note = (warning: Error) => warnings.push(warning)
  process.on('warning', note)
  const context = makeContext()
  const topic = await makeTopic()
  const sink = await openSink({}, context)
  await produce(sink, [outbound({ topic })])
  const reading = await read({ topic, group: freshName('group') }, { onBatch: acceptAll, context })
  await reading.atLeast(1)
  await sleep(1000) // the commit and the compiler come to rest
  const parts: number[] = []
  while (parts.length < mostWatches && !parts.some(isIdle)) parts.push(await partOfCore())
  process.off('warning', note)
  expect(Math.min(...parts)).toBeLessThan(0.01)
  expect(warnings.map(({ name }) => name)).not.toContain('TimeoutNegativeWarning')
  expect(context.lines.filter(({ level }) => level !== 'debug')).toEqual([])
  await reading.stop()
})
