import { expect, test } from '@jest/globals'
import type { ConsumeMessage } from 'amqplib'
import { StreamPosition, StreamReading } from '../../../protocols/amqp/stream.ts'
import { testContext } from '../../support/contexts/context.ts'
import { FakeKept } from '../../support/contexts/kept.ts'

const at = (offset: number) => ({ properties: { headers: { 'x-stream-offset': offset } } }) as unknown as ConsumeMessage
const positionOf = (kept: FakeKept) => new StreamPosition('log', 'first', testContext('orders', { kept }))

test('the position is behind the last message before which all are settled', async () => {
  const kept = new FakeKept()
  const position = positionOf(kept)
  const reading = new StreamReading(position)
  const places = [0, 1, 2].map((offset) => {
    expect(reading.isNew(at(offset))).toBe(true)
    return reading.add(at(offset))
  })
  reading.settled(places[1]!)
  reading.settled(places[2]!)
  expect(position.next).toBeUndefined()
  reading.settled(places[0]!)
  expect(position.next).toBe(3)
  position.keep()
  await kept.flushed()
  const next = positionOf(kept.crash())
  expect(next.start).toEqual({ 'x-stream-offset': 2 })
  const again = new StreamReading(next)
  expect([2, 3, 4, 4, 3, 5].map((offset) => again.isNew(at(offset)))).toEqual([false, true, true, false, false, true])
  expect(again.arguments).toEqual({ 'x-stream-offset': 6 })
})

test('what an earlier reading settles late moves the position only forward', () => {
  const position = positionOf(new FakeKept())
  const [former, latter] = [new StreamReading(position), new StreamReading(position)]
  const late = former.add(at(0))
  for (const offset of [0, 1]) latter.settled(latter.add(at(offset)))
  former.settled(late)
  expect(position.next).toBe(2)
})

test.each([
  ['next', 'next'],
  [5_000, 5_000],
  ['2026-02-03T04:05:06+01:00', { '!': 'timestamp', value: 1_770_087_906 }],
])('startFrom: %s is an offset of the broker', (startFrom, offset) => {
  const position = new StreamPosition('log', startFrom, testContext('orders', { kept: new FakeKept() }))
  expect(position.start).toEqual({ 'x-stream-offset': offset })
})

test('a message whose headers cannot be read is taken, and moves no position of others', () => {
  const position = positionOf(new FakeKept())
  const reading = new StreamReading(position)
  const broken = { properties: {} } as unknown as ConsumeMessage
  for (const message of [broken, at(0), broken, at(2)]) {
    expect(reading.isNew(message)).toBe(true)
    reading.settled(reading.add(message))
  }
  expect(position.next).toBe(3)
  expect(reading.isNew(at(2))).toBe(false)
})

test('a stream that begins behind what was read of it has lost messages, which is said', () => {
  const context = testContext('orders', { kept: new FakeKept() })
  const position = new StreamPosition('log', 'first', context)
  position.settledUpTo(9)
  const whole = new StreamReading(position)
  for (const offset of [9, 10]) whole.isNew(at(offset))
  expect(context.lines).toEqual([])
  new StreamReading(position).isNew(at(40))
  const message = expect.stringMatching(/stream log begins at offset 40 now, and was read up to 10: /)
  expect(context.lines).toEqual([expect.objectContaining({ level: 'error', message })])
})

test.each(['next', 'last'])(
  'a reading from %s begins where it began, though nothing was settled',
  async (startFrom) => {
    const kept = new FakeKept()
    const context = testContext('orders', { kept })
    const position = new StreamPosition('log', startFrom, context)
    const first = new StreamReading(position)
    for (const offset of [7, 8]) expect(first.isNew(at(offset))).toBe(true)
    const again = new StreamReading(position)
    expect(again.arguments).toEqual({ 'x-stream-offset': 6 })
    expect([6, 7, 8].map((offset) => again.isNew(at(offset)))).toEqual([false, true, true])
    await kept.flushed()
    const afterCrash = new StreamPosition('log', startFrom, testContext('orders', { kept: kept.crash() }))
    expect(afterCrash.start).toEqual({ 'x-stream-offset': 6 })
  },
)

test('what is settled late of a stream that was made anew since moves no position of the new one', () => {
  const position = positionOf(new FakeKept())
  const former = new StreamReading(position)
  const late = former.add(at(100))
  position.forget()
  const latter = new StreamReading(position)
  latter.settled(latter.add(at(0)))
  former.settled(late)
  expect(position.next).toBe(1)
})
