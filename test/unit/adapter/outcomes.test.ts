import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { delivered, type Outcome } from '../../../src/adapter/contract.ts'
import { again, Flight, type Landing, unsendable } from '../../../src/adapter/outcomes.ts'
import { Pace } from '../../../src/adapter/pace.ts'
import { PermanentError, RetryableError } from '../../../src/errors.ts'

const busy = new RetryableError('TARGET_BUSY', 'later')
const lost = new RetryableError('PEER_LOST', 'gone')
const refused = new PermanentError('MESSAGE_REFUSED', 'never')
const never = new AbortController().signal
const landing = (pace: Pace, wish: Partial<Landing> = {}): Landing => ({
  pace,
  signal: never,
  abandoned: () => lost,
  late() {},
  ...wish,
})
const kinds = (outcomes: readonly Outcome[]) => outcomes.map(({ kind }) => kind)

test.each([
  ['a refusal', refused, { kind: 'rejected', error: refused }],
  ['what may pass', busy, { kind: 'retryable', error: busy }],
  ['anything else', new TypeError('no'), { kind: 'rejected', error: { code: 'INTERNAL', retryable: false } }],
])('of a message that cannot be sent: %s', (_, error, outcome) => {
  expect(unsendable(error)).toMatchObject(outcome)
})

test.each([
  ['what may pass', lost, { kind: 'retryable', error: lost }],
  ['a refusal of the peer', refused, { kind: 'retryable', error: { code: 'PEER_FAILED', cause: refused } }],
  ['anything else', new TypeError('no'), { kind: 'retryable', error: { code: 'PEER_FAILED' } }],
])('of a message that was on its way: %s', (_, error, outcome) => {
  expect(again(error)).toMatchObject(outcome)
})

describe('flight', () => {
  beforeEach(() => void jest.useFakeTimers())
  afterEach(() => void jest.useRealTimers())

  test('resolves when each message has its outcome, and the first of a message counts', async () => {
    const flight = new Flight(3)
    flight.settle(2, delivered)
    flight.settle(2, { kind: 'rejected', error: refused })
    flight.settle(0, { kind: 'rejected', error: refused })
    expect([flight.answered, flight.isDone, flight.isAnswered(1)]).toEqual([2, false, false])
    flight.fail(lost)
    flight.settle(1, delivered)
    expect(kinds(await flight.outcomes)).toEqual(['rejected', 'retryable', 'delivered'])
    expect(flight.isCutShort).toBe(true)
  })

  test('of no messages is done', async () => {
    expect(await new Flight(0).land(landing(new Pace(10)))).toEqual([])
  })

  test('tells the pace how long it took where all was answered', async () => {
    const pace = new Pace(100)
    const flight = new Flight(pace.batch)
    const outcomes = flight.land(landing(pace))
    const before = pace.batch
    for (let index = 0; index < before; index += 1) flight.settle(index, delivered)
    await outcomes
    expect(pace.batch).toBe(2 * before)
    expect(jest.getTimerCount()).toBe(0)
  })

  test('whose peer says nothing is late, and what it has by then stays', async () => {
    const flight = new Flight(2)
    const late = jest.fn((ms: number) => flight.fail(new RetryableError('PEER_TIMEOUT', `${ms} ms`)))
    const outcomes = flight.land(landing(new Pace(10), { late: late }))
    flight.settle(1, delivered)
    jest.advanceTimersByTime(60_000)
    expect(kinds(await outcomes)).toEqual(['retryable', 'delivered'])
    expect(late).toHaveBeenCalledTimes(1)
  })

  test('that is given up fails, also before it began, and leaves the signal alone', async () => {
    const giving = new AbortController()
    const pace = new Pace(100)
    const before = pace.batch
    const flight = new Flight(before)
    const outcomes = flight.land(landing(pace, { signal: giving.signal }))
    flight.settle(0, delivered)
    giving.abort()
    const [first, ...others] = await outcomes
    expect(first).toBe(delivered)
    for (const outcome of others) expect(outcome).toMatchObject({ kind: 'retryable', error: { code: 'PEER_LOST' } })
    expect(pace.batch).toBe(before) // nobody knows how long they would have taken
    expect(kinds(await new Flight(1).land(landing(new Pace(10), { signal: giving.signal })))).toEqual(['retryable'])
    expect(jest.getTimerCount()).toBe(0)
  })
})
