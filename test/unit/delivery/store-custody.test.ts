import { afterEach, describe, expect, jest, test } from '@jest/globals'
import type { Delivery } from '../../../src/adapter/contract.ts'
import { DeadLetterOffice } from '../../../src/delivery/dead-letters/office.ts'
import { Dispatcher } from '../../../src/delivery/dispatcher.ts'
import { Outlet } from '../../../src/delivery/outlet.ts'
import { Route } from '../../../src/delivery/route.ts'
import { Residence } from '../../../src/delivery/stored/residence.ts'
import { StoreCustody } from '../../../src/delivery/stored/store-custody.ts'
import type { Envelope } from '../../../src/envelope/envelope.ts'
import { PermanentError } from '../../../src/errors.ts'
import type { CompiledRoute } from '../../../src/routing/router.ts'
import type { Subject } from '../../../src/routing/subject.ts'
import type { Store } from '../../../src/store/contract.ts'
import { LinkStats, RouteStats, TargetStats } from '../../../src/telemetry/stats.ts'
import { message, open, readAll, silent, temporaryDirectory } from '../store/stores.ts'
import { busyFor, ScriptedSink } from './scripted.ts'

afterEach(() => void jest.useRealTimers())

/** What is due in a while is not tried again before the gateway has stopped. */
function holdTimers(): void {
  jest.useFakeTimers({ doNotFake: ['Date', 'performance', 'setImmediate', 'queueMicrotask', 'nextTick'] })
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve))

/** A stored route with that many targets, each with a sink of its own, on the store of a directory. */
function start(directory: string, targets = 1, again?: (envelope: Envelope) => object) {
  const store = open(directory)
  const names = Array.from({ length: targets }, (_, i) => `target-${i}`)
  const { route: number, bits } = store.outbox.route('road', names)
  const stats = new RouteStats(
    'road',
    names.map((name) => new TargetStats(name, 'test')),
    true,
  )
  const deadLetters = new DeadLetterOffice({
    ...{ route: 'road', store: store.deadLetters, log: silent },
    forwarder: undefined,
  })
  const sinks = names.map(() => new ScriptedSink())
  const dispatchers = sinks.map((sink) => new Dispatcher(sink, () => {}))
  const forward = (envelope: Envelope) => ({ envelope, target: {}, format: undefined })
  const forwardingOf = (envelope: Envelope) => {
    const outbounds = names.map(() => forward(envelope))
    return { kind: 'forward' as const, outbounds, count: targets, identity: undefined }
  }
  let isReadBack = true
  const compiled = {
    route: { order: 'key', deduplicate: undefined, from: { connection: 'source' } },
    misses: { count: 0 },
    decide: ({ envelope }: Subject) => (isReadBack && again ? again(envelope) : forwardingOf(envelope)),
  } as unknown as CompiledRoute
  const outlets = names.map(
    (name, index) =>
      new Outlet({
        ...{ id: `road/${index}`, order: 'key', retry: { attempts: 3, delayMs: 1, maxDelayMs: 1 } },
        ...{ index, bit: bits[index]!, log: silent, gatewayId: 'here', addressOf: () => `test://${name}` },
        ...{ dispatcher: dispatchers[index]!, stats: stats.targets[index]! },
      }),
  )
  const { outbox } = store
  const custody = new StoreCustody({
    ...{ compiled, stats, number, outlets, deadLetters, outbox, residence: new Residence(2 ** 30) },
    flushed: () => store.flushed(),
  })
  const route = new Route({ compiled, custody, deadLetters, gatewayId: 'here' })
  const settled: string[] = []
  const link = new LinkStats('source', 'test', 'source')
  const keep = async (...texts: string[]) => {
    isReadBack = false
    for (const text of texts) {
      const envelope = message({ messageId: text, payload: Buffer.from(text), key: 'k' })
      const delivery: Delivery = { envelope, address: 'a', settle: (how) => void settled.push(`${text} ${how}`) }
      route.received(delivery, {}, { ms: 0, at: Date.now(), link })
    }
    isReadBack = true
    await store.flushed()
  }
  const stop = async () => {
    custody.stop()
    for (const dispatcher of dispatchers) dispatcher.stop()
    await store.flushed()
    store.close()
  }
  return { store, number, custody, stats, sinks, dispatchers, settled, keep, stop }
}

/** A dead letter of the target with this bit; its id. */
async function addLetter(store: Store, bit: number): Promise<number> {
  const error = new PermanentError('MESSAGE_REFUSED', 'no')
  const letter = { reason: 'rejected', error, attempts: 1, route: 'road', target: undefined, bit } as const
  const rest = { params: {}, requeues: 0, firstAt: 0, lastAt: 0, toForward: false }
  const envelope = message({ messageId: 'letter', payload: Buffer.from('letter'), key: 'k' })
  const added = Promise.withResolvers<number>()
  store.deadLetters.add({ ...letter, ...rest, envelope }, added.resolve)
  await store.flushed()
  return await added.promise
}

async function until(isSo: () => boolean): Promise<void> {
  const giveUpAt = Date.now() + 30_000
  while (!isSo()) {
    if (Date.now() > giveUpAt) throw new Error('it never came')
    await nextTurn()
  }
}

test('a source hears of its message when it is on disk, whether its target is away or not', async () => {
  const { keep, settled, stats, sinks } = start(temporaryDirectory())
  const keeping = keep('a', 'b')
  expect({ settled, inFlight: stats.inFlight }).toEqual({ settled: [], inFlight: 2 })
  await keeping
  expect({ settled, waiting: stats.waiting }).toEqual({ settled: ['a accept', 'b accept'], waiting: 2 })
  expect(sinks[0]!.sent).toEqual([])
})

test('attempts and the time that the target asked for outlive a restart', async () => {
  const directory = temporaryDirectory()
  const first = start(directory)
  first.sinks[0]!.script.set('a', [busyFor(500)])
  holdTimers()
  first.dispatchers[0]!.resume()
  const sentAt = Date.now()
  await first.keep('a')
  await until(() => first.stats.targets[0]!.attemptsRetry === 1)
  await first.stop()
  jest.useRealTimers()
  const second = start(directory)
  second.sinks[0]!.script.set('a', [busyFor(1), busyFor(1), busyFor(1)])
  second.dispatchers[0]!.resume()
  await until(() => second.sinks[0]!.sent.length === 1)
  expect(Date.now() - sentAt).toBeGreaterThanOrEqual(500)
  await until(() => second.stats.deadLetteredTotal === 1)
  expect(second.sinks[0]!.sent).toEqual(['a', 'a'])
  const page = { after: 0, limit: 10 }
  expect(second.store.deadLetters.list({}, page)).toMatchObject([{ reason: 'max-attempts', attempts: 3 }])
})

test('a message that waits for its time holds those of its key behind it, after a restart too', async () => {
  const directory = temporaryDirectory()
  const first = start(directory)
  first.sinks[0]!.script.set('a', [busyFor(300)])
  holdTimers()
  first.dispatchers[0]!.resume()
  await first.keep('a', 'b')
  await until(() => first.stats.targets[0]!.attemptsRetry === 1)
  await first.stop()
  jest.useRealTimers()
  const second = start(directory)
  second.dispatchers[0]!.resume()
  await second.keep('c')
  await until(() => second.stats.waiting === 0)
  expect(second.sinks[0]!.sent).toEqual(['a', 'b', 'c'])
})

test('what one target has is not sent to it again after a restart, however long another is away', async () => {
  const directory = temporaryDirectory()
  const first = start(directory, 2)
  first.dispatchers[0]!.resume()
  await first.keep('a', 'b')
  await until(() => first.stats.targets[0]!.delivered === 2)
  await first.stop()
  const second = start(directory, 2)
  for (const dispatcher of second.dispatchers) dispatcher.resume()
  await until(() => second.stats.waiting === 0)
  expect(second.sinks.map(({ sent }) => sent)).toEqual([[], ['a', 'b']])
  expect(second.stats).toMatchObject({ restored: 2, delivered: 2 })
})

test('a message that is set aside is not sent, although its target comes back in the same moment', async () => {
  const { keep, custody, sinks, dispatchers, stats, store } = start(temporaryDirectory())
  await keep('a', 'b')
  const [oldest] = readAll(store)
  dispatchers[0]!.resume() // its feed reads in the next turn, and the store commits later
  expect(custody.setAside(oldest!, new PermanentError('STORE_FULL', 'it was the oldest'))).toBe(true)
  expect(custody.setAside(oldest!, new PermanentError('STORE_FULL', 'it was the oldest'))).toBe(false)
  await until(() => stats.waiting === 0)
  expect(sinks[0]!.sent).toEqual(['b'])
  expect(stats).toMatchObject({ delivered: 1, deadLetteredTotal: 1 })
  expect(store.deadLetters.count({})).toBe(1)
})

test('a message that is on its way is not set aside', async () => {
  const { keep, custody, sinks, dispatchers, stats, store } = start(temporaryDirectory())
  dispatchers[0]!.resume()
  sinks[0]!.isHolding = true
  await keep('a')
  await until(() => sinks[0]!.held.length === 1)
  expect(custody.setAside(readAll(store)[0]!, new PermanentError('STORE_FULL', 'full'))).toBe(false)
  sinks[0]!.held[0]!.answer([{ kind: 'delivered' }])
  await until(() => stats.waiting === 0)
  expect(stats).toMatchObject({ delivered: 1, deadLetteredTotal: 0 })
})

test('a letter that is sent again while its target has its hands full comes before what is stored after it', async () => {
  const { keep, number, custody, sinks, dispatchers, stats, store } = start(temporaryDirectory())
  const [sink] = sinks as [ScriptedSink]
  dispatchers[0]!.resume()
  sink.isHolding = true
  const texts = Array.from({ length: 1_100 }, (_, i) => `m${i}`)
  await keep(...texts)
  const id = await addLetter(store, 1)
  custody.requeued(store.deadLetters.requeue([{ id, route: number, wanted: 1, dueAt: 0 }]).length)
  await until(() => sink.held.length === 1)
  sink.isHolding = false
  sink.held[0]!.answer(sink.held[0]!.texts.map(() => ({ kind: 'delivered' })))
  await keep('next')
  await until(() => stats.waiting === 0)
  expect(sink.sent).toEqual([...texts, 'letter', 'next'])
  expect(stats).toMatchObject({ restored: 1, delivered: 1_102 })
})

test.each([
  ['for the target that failed', 2, { sent: [[], []], letters: ['unwanted'] }],
  ['for all targets', 3, { sent: [['letter'], []], letters: [] }],
])('a letter sent again %s goes where the rules say now, or is a letter again', async (_, wanted, expected) => {
  const toFirst = (envelope: Envelope) => ({
    kind: 'forward',
    outbounds: [{ envelope, target: {}, format: undefined }],
    count: 1,
  })
  const { number, custody, sinks, dispatchers, stats, store } = start(temporaryDirectory(), 2, toFirst)
  for (const dispatcher of dispatchers) dispatcher.resume()
  const id = await addLetter(store, 2)
  custody.requeued(store.deadLetters.requeue([{ id, route: number, wanted, dueAt: 0 }]).length)
  await until(() => stats.waiting === 0)
  const letters = store.deadLetters.list({}, { after: 0, limit: 10 }).map(({ reason }) => reason)
  expect({ sent: sinks.map(({ sent }) => sent), letters }).toEqual(expected)
})

describe('a message of three targets that the rules, read back, decide otherwise', () => {
  const outbound = (envelope: Envelope) => ({ envelope, target: {}, format: undefined })

  /** Two messages kept while all targets are away; then they come back in this order. */
  async function readBack(again: (envelope: Envelope) => object, order = [0, 1, 2]) {
    const started = start(temporaryDirectory(), 3, again)
    await started.keep('a', 'b')
    for (const index of order) {
      started.dispatchers[index]!.resume()
      await nextTurn()
    }
    await until(() => started.stats.waiting === 0)
    const letters = started.store.deadLetters.list({}, { after: 0, limit: 10 })
    return { ...started, letters, sent: started.sinks.map(({ sent }) => sent) }
  }
  const failed = () => ({ kind: 'failed', error: new PermanentError('TRANSFORM_FAILED', 'no value') })

  test.each([[[0, 1, 2]], [[2, 0, 1]]])(
    'is one letter for all of them where they fail, woken in the order %j',
    async (order) => {
      const { letters, stats, sent } = await readBack(failed, order)
      expect(letters.map(({ envelope, bit }) => [envelope.messageId, bit])).toEqual([
        ['a', undefined],
        ['b', undefined],
      ])
      expect(stats).toMatchObject({ delivered: 0, filtered: 0, deadLetteredTotal: 2 })
      expect(sent).toEqual([[], [], []])
    },
  )

  test.each([[[0, 1, 2]], [[2, 1, 0]]])(
    'is delivered where one still gets it, and a letter for each other, woken in the order %j',
    async (order) => {
      const { letters, stats, sent } = await readBack(
        (envelope) => ({ kind: 'forward', outbounds: [undefined, outbound(envelope)], count: 1 }),
        order,
      )
      expect(sent).toEqual([[], ['a', 'b'], []])
      const found = letters.map(({ envelope, bit, reason }) => `${envelope.messageId} ${bit} ${reason}`)
      expect(found.sort()).toEqual(['a 1 unwanted', 'a 4 unwanted', 'b 1 unwanted', 'b 4 unwanted'])
      expect(stats).toMatchObject({ filtered: 0, deadLetteredTotal: 2 })
    },
  )

  test('is one letter where none does', async () => {
    const { letters, stats, sent } = await readBack(() => ({ kind: 'filtered', reason: 'when' }))
    expect(sent).toEqual([[], [], []])
    expect(letters.map(({ envelope, bit, reason }) => [envelope.messageId, bit, reason])).toEqual([
      ['a', undefined, 'unwanted'],
      ['b', undefined, 'unwanted'],
    ])
    expect(stats).toMatchObject({ delivered: 0, filtered: 0, deadLetteredTotal: 2 })
  })
})
