import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import type { ScatterSettings } from '../../../../src/config/schema/types.ts'
import { Dispatcher } from '../../../../src/delivery/dispatcher.ts'
import { PermanentError } from '../../../../src/errors.ts'
import { lost, refused } from '../scripted.ts'
import { breaking, World } from './world.ts'

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask', 'nextTick'] })
})
afterEach(() => void jest.useRealTimers())

const pass = async (world: World, ms: number) => {
  await jest.advanceTimersByTimeAsync(ms)
  await world.flush()
}

describe('a request', () => {
  test('with a time longer than a timer can be set for waits without being looked at all the time', async () => {
    const set = jest.spyOn(globalThis, 'setTimeout')
    const world = new World({ timeoutMs: 30 * 86_400_000 })
    const asking = world.ask('open')
    await pass(world, 1_000)
    expect(asking.answers).toEqual([])
    expect(set.mock.calls.length).toBeLessThan(10)
    set.mockRestore()
    await world.stop()
  })

  test('whose reply address its protocol chokes on is a dead letter with a code', async () => {
    const world = new World()
    const asking = world.ask('mailed', undefined, breaking)
    await pass(world, 10)
    expect(world.letters.map(({ error }) => error.code)).toEqual(['DESTINATION_INVALID'])
    expect(asking.settlements).toEqual(['reject'])
  })

  test('is settled only once its asker has confirmed the answer, and so is the reply', async () => {
    const world = new World()
    const asking = world.ask('mailed')
    await world.flush()
    world.mailAway(true)
    world.reply(world.asked[0]!.token, 're:q0')
    await pass(world, 5_000)
    expect({ settlements: asking.settlements, reply: world.replySettlements }).toEqual({ settlements: [], reply: [[]] })
    world.mailAway(false)
    await world.flush()
    expect(asking).toMatchObject({ answers: ['re:q0'], settlements: ['accept'] })
    expect(world.replySettlements).toEqual([['accept']])
  })

  test('may be answered before its target has confirmed it', async () => {
    const world = new World()
    world.workers.isHolding = true
    const asking = world.ask('open')
    await world.flush()
    world.reply(world.workers.underWay[0]?.ask?.token, 'early')
    await world.flush()
    expect(asking).toMatchObject({ answers: ['early'], settlements: ['accept'] })
    world.workers.held[0]?.answer([lost])
    await world.flush()
    world.workersAway(false)
    await world.flush()
    expect(world.workers.batches).toHaveLength(1) // not again: nobody waits
    await world.stop()
    expect(asking.settlements).toEqual(['accept'])
  })

  test('is not asked while its reply would not be heard, nor after its time', async () => {
    const world = new World()
    world.closeChannel()
    await world.flush()
    world.ask('open')
    await pass(world, 900)
    expect(world.asked).toEqual([])
    const second = world.ask('open')
    await pass(world, 200)
    world.openChannel()
    await world.flush()
    expect(world.askings[0]?.answers).toEqual(['REPLY_TIMEOUT'])
    expect(world.asked.map(({ question }) => question)).toEqual(['q1'])
    expect(second.answers).toEqual([])
    await world.stop()
  })

  test('that is over leaves nothing behind while its target is away, and is not sent when it is back', async () => {
    const world = new World({ maxOutstanding: 1_000 })
    world.workersAway(true)
    for (let n = 0; n < 100; n += 1) world.ask('open', n % 2 === 0 ? 'k' : undefined)
    await pass(world, 900)
    const last = world.ask('open')
    expect(world.size).toBe(101)
    await pass(world, 200)
    expect(world.size).toBe(1)
    world.workersAway(false)
    await world.flush()
    expect(world.asked.map(({ question }) => question)).toEqual([last.question])
    expect(world.askings.filter(({ answers }) => answers[0] === 'REPLY_TIMEOUT')).toHaveLength(100)
    await world.stop()
  })

  test('beyond maxOutstanding is turned away where its asker waits, and waits its turn elsewhere', async () => {
    const world = new World({ maxOutstanding: 2 })
    const askings = (['open', 'mailed', 'open', 'mailed'] as const).map((way) => world.ask(way))
    await world.flush()
    expect(askings.map(({ answers, settlements }) => [answers, settlements])).toEqual([
      ...[[], []].map(() => [[], []]),
      [['TARGET_BUSY'], ['release']],
      [[], []],
    ])
    for (const { token, question } of world.asked) world.reply(token, `re:${question}`)
    await world.flush()
    expect(world.asked.map(({ question }) => question)).toEqual(['q0', 'q1', 'q3'])
    await world.stop()
  })

  test('that its target refuses for good is a dead letter; its asker hears why, and it is rejected after both', async () => {
    const world = new World()
    world.workers.answerOf = () => refused
    const asking = world.ask('mailed')
    await world.flush()
    expect(asking).toMatchObject({ answers: ['MESSAGE_REFUSED'], settlements: ['reject'] })
    expect(world.letters).toMatchObject([{ reason: 'rejected', target: 'mailed://workers/w0' }])
  })

  test('whose reply is broken ends with an error, and the reply is kept', async () => {
    const world = new World()
    const asking = world.ask('open')
    await world.flush()
    world.reply(world.asked[0]!.token, 'x', { malformed: new PermanentError('MESSAGE_MALFORMED', 'no envelope') })
    await world.flush()
    expect(asking).toMatchObject({ answers: ['PEER_FAILED'], settlements: ['accept'] })
    expect(world.letters).toMatchObject([{ reason: 'schema' }])
  })

  test('whose reply its asker cannot be given ends with an error, and the reply is kept', async () => {
    const world = new World()
    world.mail.answerOf = () => {
      world.mail.answerOf = undefined
      return refused
    }
    const asking = world.ask('mailed')
    await world.flush()
    world.reply(world.asked[0]!.token, 'far too large')
    await world.flush()
    expect(asking).toMatchObject({ answers: ['MESSAGE_REFUSED'], settlements: ['accept'] })
    expect(world.letters).toMatchObject([{ reason: 'rejected' }])
    expect(world.replySettlements).toEqual([['reject']])
  })

  test.each([
    ['deadLetter', ['unanswered'], ['reject']],
    ['drop', [], ['accept']],
  ] as const)('whose asker is gone when its time is over: late: %s', async (late, reasons, settlements) => {
    const world = new World({ late })
    const asking = world.ask('open')
    world.gone.add(asking.question)
    await pass(world, 1_100)
    expect(world.letters.map(({ reason }) => reason)).toEqual(reasons)
    expect(asking.settlements).toEqual(settlements)
  })

  test('of a hundred thousand is found at once', async () => {
    const world = new World({ maxOutstanding: 200_000 })
    for (let n = 0; n < 100_000; n += 1) world.ask('open')
    await world.flush()
    const { asked } = world
    const startedMs = process.hrtime.bigint()
    for (let n = 0; n < 1_000; n += 1) world.reply(asked[n * 97]!.token, 're')
    expect(Number(process.hrtime.bigint() - startedMs) / 1e6).toBeLessThan(1_000) // one by one it would be a minute
    await world.flush()
    expect(world.stats.exchange).toMatchObject({ returned: 1_000, outstanding: 99_000 })
    await world.stop()
  }, 60_000)
})

const scattered = (settings: Partial<ScatterSettings> = {}) =>
  new World({ scatter: { complete: 'all', minimum: 1, aggregate: undefined, ...settings } }, 3)

describe('a scatter', () => {
  /** Workers answer in this order; `x` is one that refuses. */
  async function ask(world: World, order: readonly number[]) {
    const asking = world.ask('open')
    await world.flush()
    for (const worker of order) {
      world.reply(world.asked[worker]!.token, JSON.stringify({ price: 10 + worker }))
      await world.flush()
      if (asking.answers.length > 0) break
    }
    return asking
  }
  const resultOf = ({ answers: [text = ''] }: { answers: readonly string[] }) => JSON.parse(text)

  test('waits for all, and tells in the order of `to` what each said', async () => {
    const world = scattered()
    const asking = await ask(world, [2, 0])
    expect(asking.answers).toEqual([])
    world.reply(world.asked[1]!.token, 'text')
    await world.flush()
    expect(resultOf(asking)).toEqual({
      results: [{ price: 10 }, 'text', { price: 12 }].map((payload, n) => {
        return { target: `mailed://workers/w${n}`, ok: true, payload, durationMs: expect.any(Number) }
      }),
      ...{ success_count: 3, total_count: 3, partial: false },
    })
    expect(world.replySettlements).toEqual([['accept'], ['accept'], ['accept']])
    await world.stop()
  })

  test.each([
    ['first', [1], 1],
    ['quorum', [2, 1], 2],
    [2, [0, 2], 2],
  ] as const)('with complete: %p is answered after %j', async (complete, order, count) => {
    const world = scattered({ complete })
    const asking = await ask(world, order)
    expect(resultOf(asking)).toMatchObject({ success_count: count, total_count: 3, partial: true })
    expect(world.replySettlements).toHaveLength(count)
    await world.stop()
  })

  test('goes on where one fails, and says so', async () => {
    const world = scattered()
    world.workers.answerOf = () => {
      world.workers.answerOf = undefined
      return refused
    }
    const asking = world.ask('open')
    await world.flush()
    for (const { token } of world.asked) world.reply(token, '1')
    await world.flush()
    expect(resultOf(asking)).toMatchObject({
      results: [{ ok: false, error: { code: 'MESSAGE_REFUSED' } }, { ok: true }, { ok: true }],
      success_count: 2,
    })
    expect(world.letters).toEqual([])
  })

  test('with too few good replies is an error; another gateway’s error is no good reply', async () => {
    const world = scattered({ minimum: 2 })
    const asking = world.ask('open')
    await world.flush()
    const [a, b, c] = world.asked
    world.reply(a!.token, '1')
    world.reply(b!.token, '{}', { headers: { 'trivium-error': 'REPLY_TIMEOUT' } })
    world.reply(c!.token, '{}', { headers: { 'trivium-error': 'REPLY_TIMEOUT' } })
    await world.flush()
    expect(asking).toMatchObject({ answers: ['TOO_FEW_REPLIES'], settlements: ['accept'] })
  })

  test('ends with its time, with what there is', async () => {
    const world = scattered()
    const asking = await ask(world, [1])
    await pass(world, 1_100)
    const late = { ok: false, error: { code: 'REPLY_TIMEOUT' } }
    expect(resultOf(asking)).toMatchObject({ results: [late, { ok: true }, late], partial: true })
    world.reply(world.asked[0]!.token, 'too late')
    await world.flush()
    expect(world.stats.exchange).toMatchObject({ late: 1, returned: 1, timedOut: 1 })
  })

  test('that is over leaves little behind at a target that is away, long before its time', async () => {
    const scatter: ScatterSettings = { complete: 'first', minimum: 1, aggregate: undefined }
    const world = new World({ timeoutMs: 60_000, maxOutstanding: 1_000, scatter }, 3)
    const add = jest.spyOn(Dispatcher.prototype, 'add')
    world.workersAway(true)
    for (let n = 0; n < 250; n += 1) {
      world.ask('open')
      world.reply(add.mock.calls.at(-1)?.[0].outbound.ask?.token, '1') // as if one of the three were there
    }
    await world.flush()
    add.mockRestore()
    expect(world.stats.exchange).toMatchObject({ returned: 250, outstanding: 0 })
    expect(world.size).toBeLessThan(100)
    await world.stop()
  })

  test('gives what its aggregate makes of the results', async () => {
    const aggregate = "results.filter(r, r.ok).maxBy('payload.price').payload"
    const world = scattered({ aggregate })
    expect(resultOf(await ask(world, [0, 1, 2]))).toEqual({ price: 12 })
  })

  test('whose aggregate has no value is an error, and the replies are kept', async () => {
    const world = scattered({ aggregate: 'results.filter(r, r.ok).map(r, r.payload.colour).min()' })
    expect((await ask(world, [0, 1, 2])).answers).toEqual(['PEER_FAILED'])
    expect(world.letters).toMatchObject([1, 2, 3].map(() => ({ reason: 'transform' })))
  })
})
