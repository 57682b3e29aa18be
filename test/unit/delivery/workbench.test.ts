import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { placeBy } from '../../../src/delivery/dead-letters/placement.ts'
import { Workbench, type WorkbenchParts } from '../../../src/delivery/dead-letters/workbench.ts'
import { PermanentError } from '../../../src/errors.ts'
import type { Store } from '../../../src/store/contract.ts'
import type { DeadLetter } from '../../../src/store/dead-letters.ts'
import { recordingLog } from '../../support/contexts/log.ts'
import { envelopeOf, fill, letterOf, storeAt, waitingFor } from '../../support/gateway/dead-letters.ts'

let directory: string
let store: Store
let orders: { route: number; bits: readonly number[] }
let other: { route: number; bits: readonly number[] }
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'trivium-bench-'))
  store = storeAt(directory)
  orders = store.outbox.route('orders', ['inside/orders', 'inside/copies'])
  other = store.outbox.route('other', ['inside/other'])
})
afterEach(() => {
  store.close()
  rmSync(directory, { recursive: true, force: true })
})

let match: 'all' | 'first'
beforeEach(() => {
  match = 'all'
})

function benchOf(parts: Partial<WorkbenchParts> = {}) {
  const { log, lines } = recordingLog()
  const place = placeBy((name) => ({ orders: { ...orders, match }, other: { ...other, match } })[name])
  const bench = new Workbench({ deadLetters: store.deadLetters, place, log, ...parts })
  return { bench, lines }
}

const many = (count: number, changes: Partial<DeadLetter> = {}) =>
  Array.from({ length: count }, (_, n) => letterOf({ ...changes, envelope: envelopeOf({ messageId: `m-${n}` }) }))
const all = { limit: 500 }

describe('what a query finds', () => {
  test.each<[string, object, number[]]>([
    ['all', {}, [1, 2, 3, 4]],
    ['by route', { route: 'other' }, [3]],
    ['by reason', { reason: 'rejected' }, [2]],
    ['older than', { olderThanMs: 3_600_000 }, [4]],
    ['younger than', { youngerThanMs: 3_600_000 }, [1, 2, 3]],
    ['by ids', { ids: [4, 1, 99] }, [1, 4]],
    ['by the payload', { where: 'payload.total > 20' }, [2]],
    ['by what was captured', { where: "params.site == 'paris'" }, [3]],
    ['by header', { where: "headers.tenant == 'a'" }, [4]],
    ['by its error', { where: "code == 'MESSAGE_REFUSED' AND error.contains('stock')" }, [2]],
    ['by attempts', { where: 'attempts > 4 OR requeues == 2' }, [3, 4]],
    ['by both', { route: 'orders', where: 'payload.total < 20' }, [1, 4]],
  ])('%s', async (_name, query, ids) => {
    await fill(store, [
      letterOf(),
      letterOf({
        reason: 'rejected',
        error: new PermanentError('MESSAGE_REFUSED', 'out of stock'),
        envelope: envelopeOf({ payload: Buffer.from('{"total":30}') }),
      }),
      letterOf({ route: 'other', params: { site: 'paris' }, attempts: 9, envelope: envelopeOf({ payload: null }) }),
      letterOf({ requeues: 2, envelope: envelopeOf({ headers: { tenant: 'a' } }), lastAt: Date.now() - 7_200_000 }),
    ])
    const { bench } = benchOf()
    expect(bench.list(query, all).letters.map(({ id }) => id)).toEqual(ids)
  })

  test('page by page, with where to go on', async () => {
    await fill(store, many(70))
    const { bench } = benchOf()
    const first = bench.list({}, { limit: 33 })
    expect([first.letters.length, first.next]).toEqual([33, 33])
    const second = bench.list({}, { limit: 37, after: 33 })
    expect([second.letters.at(0)?.id, second.letters.at(-1)?.id, second.next]).toEqual([34, 70, undefined])
  })

  test('one call looks at so much and no more, and tells where to go on', async () => {
    const { bench } = benchOf()
    await fill(store, many(2_100))
    expect(bench.list({ where: "messageId == 'm-2099'" }, all)).toMatchObject({ letters: [], next: expect.any(Number) })
    const found: number[] = []
    for (let after: number | undefined = 0; after !== undefined; ) {
      const page = bench.list({ where: "messageId == 'm-2099'" }, { after, limit: 10 })
      found.push(...page.letters.map(({ id }) => id))
      after = page.next
    }
    expect(found).toEqual([2_100])
    const large = envelopeOf({ payload: Buffer.alloc(12 * 2 ** 20) })
    await fill(
      store,
      Array.from({ length: 4 }, () => letterOf({ route: 'other', envelope: large })),
    )
    expect(bench.requeue({ route: 'other' }, all, 'test')).toMatchObject({ done: 3, next: 2_103 })
    expect(bench.requeue({ route: 'other' }, all, 'test')).toMatchObject({ done: 1, next: undefined })
  })

  test.each([
    ['payload.total >', 'where: the expression ends too early'],
    ["reson == 'x'", "where: unknown name 'reson'"],
    ['1 + 1', 'where: a condition must be a boolean'],
  ])('a condition that is wrong is refused: %s', (where, message) => {
    expect(() => benchOf().bench.list({ where }, all)).toThrow(message)
  })
})

describe('requeue', () => {
  test('a letter goes to the target that failed and to no other, and is a dead letter no more', async () => {
    await fill(store, [letterOf(), letterOf({ bit: 2 })])
    const requeued: [route: number, count: number][] = []
    const { bench } = benchOf({ onRequeued: (...told) => requeued.push(told) })
    expect(bench.requeue({}, all, 'test')).toMatchObject({ done: 2, skipped: [], next: undefined })
    expect(waitingFor(store, orders.route, 1).map(({ wanted }) => wanted)).toEqual([1])
    expect(waitingFor(store, orders.route, 2).map(({ wanted }) => wanted)).toEqual([2])
    expect(bench.count({})).toBe(0)
    expect(requeued).toEqual([[orders.route, 2]])
  })

  test('one of a route where the first match gets it is decided anew among all its targets', async () => {
    match = 'first'
    await fill(store, [letterOf()])
    benchOf().bench.requeue({}, all, 'test')
    expect(waitingFor(store, orders.route, 2).map(({ wanted }) => wanted)).toEqual([3])
  })

  test('one that failed before it came to a target goes to all; bytes, headers and captures are those it had', async () => {
    const envelope = envelopeOf({ headers: { n: 7n, raw: Buffer.from([0, 255]) }, payload: Buffer.from([0xc3, 0x28]) })
    await fill(store, [letterOf({ bit: undefined, target: undefined, envelope })])
    benchOf().bench.requeue({}, all, 'test')
    const [message] = waitingFor(store, orders.route)
    expect(message).toMatchObject({ wanted: 3, requeues: 1, params: { site: 'berlin' } })
    expect(message?.envelope).toMatchObject({ messageId: 'm-1', source: envelope.source, headers: { n: 7n } })
    expect(Buffer.from(message?.envelope.payload ?? [])).toEqual(envelope.payload)
  })

  test('a dry run changes nothing and tells the same', async () => {
    await fill(store, [letterOf(), letterOf({ route: 'gone' })])
    const { bench, lines } = benchOf()
    const dry = bench.requeue({}, { ...all, isDryRun: true, ratePerSecond: 1 }, 'test')
    expect(dry).toMatchObject({ done: 1, skipped: [{ id: 2 }] })
    expect(bench.count({})).toBe(2)
    expect(waitingFor(store, orders.route)).toEqual([])
    expect(lines).toEqual([])
    expect(bench.requeue({}, all, 'test')).toMatchObject({ done: 1, skipped: dry.skipped })
  })

  test('piece by piece: each letter once, in order, and what dies again meanwhile is left alone', async () => {
    await fill(store, many(25))
    const { bench } = benchOf()
    let after: number | undefined
    let before: number | undefined
    let done = 0
    do {
      const piece = bench.requeue({}, { after, before, limit: 10 }, 'test')
      ;({ next: after, before } = piece)
      done += piece.done
      await fill(store, [letterOf({ lastAt: piece.before + 1, requeues: 1 })])
    } while (after !== undefined)
    expect(done).toBe(25)
    expect(waitingFor(store, orders.route).map(({ envelope }) => envelope.messageId)).toEqual(
      many(25).map(({ envelope }) => envelope.messageId),
    )
    expect(bench.count({})).toBeGreaterThanOrEqual(3)
  })

  test('what came back three times is left, unless that is forced', async () => {
    await fill(store, [letterOf({ requeues: 2 }), letterOf({ requeues: 3 })])
    const { bench } = benchOf()
    const { done, skipped } = bench.requeue({}, all, 'test')
    expect(done).toBe(1)
    expect(skipped).toEqual([{ id: 2, why: expect.stringContaining('came back 3 times') }])
    expect(bench.requeue({}, { ...all, isForced: true }, 'test')).toMatchObject({ done: 1, skipped: [] })
  })

  test('what came back three times and was mended is counted anew', async () => {
    await fill(store, [letterOf({ requeues: 3 })])
    const { bench } = benchOf()
    expect(bench.edit(1, (envelope) => envelope.with({ contentType: 'text/plain' }), 'test')?.requeues).toBe(0)
    expect(bench.requeue({}, all, 'test')).toMatchObject({ done: 1, skipped: [] })
  })

  test('what would expire again at once is left, until its time to live is edited', async () => {
    await fill(store, [
      letterOf({ reason: 'expired', envelope: envelopeOf({ ttlMs: 1_000, timestamp: '2020-01-01T00:00:00Z' }) }),
    ])
    const { bench } = benchOf()
    expect(bench.requeue({}, all, 'test').skipped).toEqual([{ id: 1, why: expect.stringContaining('expire again') }])
    bench.edit(1, (envelope) => envelope.with({ ttlMs: undefined }), 'test')
    expect(bench.requeue({}, all, 'test').done).toBe(1)
  })

  test('a route or a target that is gone, and ids that are not there, are named', async () => {
    await fill(store, [letterOf({ route: 'gone' }), letterOf({ bit: 8 }), letterOf()])
    const { done, skipped } = benchOf().bench.requeue({ ids: [1, 2, 3, 77] }, all, 'test')
    expect(done).toBe(1)
    expect(skipped).toEqual([
      { id: 1, why: 'route gone is not configured any more' },
      { id: 2, why: expect.stringContaining('route orders has no target') },
      { id: 77, why: 'no such dead letter' },
    ])
  })

  test('a delay holds them back; a rate spreads those of a route, over calls too', async () => {
    await fill(store, [...many(4), letterOf({ route: 'other' })])
    const nowMs = Date.now() + 1_000_000
    const { bench } = benchOf({ now: () => nowMs })
    const before = nowMs
    bench.requeue({}, { limit: 2, before, delayMs: 5_000, ratePerSecond: 2 }, 'test')
    bench.requeue({}, { limit: 10, before, delayMs: 5_000, ratePerSecond: 2 }, 'test')
    expect(waitingFor(store, orders.route)).toEqual([])
    const dueAt = [5_000, 5_500, 6_000, 6_500].map((ms) => nowMs + ms)
    for (const at of dueAt) {
      expect(store.outbox.nextDueAt(orders.route)).toBe(at)
      expect(store.outbox.wake(orders.route, at)).toBe(1)
    }
    expect(store.outbox.nextDueAt(other.route)).toBe(nowMs + 5_000)
  })

  test('a thousand of two thousand: the limit is exact', async () => {
    await fill(store, many(2_100))
    const { bench } = benchOf()
    expect(bench.requeue({}, { limit: 1_000 }, 'test')).toMatchObject({ done: 1_000, looked: 1_000, next: 1_000 })
    expect(bench.count({})).toBe(1_100)
  })
})

test('discard deletes what the query finds and nothing else; a dry run does not', async () => {
  await fill(store, [letterOf(), letterOf({ reason: 'expired' }), letterOf({ reason: 'expired' })])
  const { bench } = benchOf()
  expect(bench.discard({ reason: 'expired' }, { ...all, isDryRun: true }, 'test').done).toBe(2)
  expect(bench.count({})).toBe(3)
  expect(bench.discard({ reason: 'expired' }, all, 'test')).toMatchObject({ done: 2, skipped: [] })
  expect(bench.list({}, all).letters.map(({ id }) => id)).toEqual([1])
})

test('edit replaces the message and nothing of the letter', async () => {
  await fill(store, [letterOf()])
  const { bench } = benchOf()
  const edited = bench.edit(1, (envelope) => envelope.with({ payload: Buffer.from('new') }), 'test')
  expect(edited).toMatchObject({ id: 1, reason: 'max-attempts', attempts: 4, requeues: 0 })
  expect(Buffer.from(bench.get(1)?.envelope.payload ?? []).toString()).toBe('new')
  expect(bench.edit(2, (envelope) => envelope, 'test')).toBeUndefined()
})

test('export gives all that is found, also past one page', async () => {
  await fill(store, many(250))
  const { bench } = benchOf()
  const ids: number[] = []
  for await (const { id } of bench.export({}, 'test')) ids.push(id)
  expect(ids).toEqual(Array.from({ length: 250 }, (_, n) => n + 1))
})

describe('the audit line', () => {
  test('every action has one, with who, what and how many; what only looks has none', async () => {
    await fill(store, [...many(5), letterOf({ route: 'gone' })])
    const { bench, lines } = benchOf()
    bench.list({}, all)
    bench.get(1)
    bench.requeue({ ids: [1, 2, 3, 5] }, { ...all, delayMs: 1_000 }, 'api 127.0.0.1')
    bench.edit(4, (envelope) => envelope, 'cli ann')
    for await (const _ of bench.export({ route: 'gone' }, 'cli ann')) break
    bench.discard({ route: 'gone' }, all, 'cli bob')
    expect(lines.map(({ level, fields }) => [level, fields])).toEqual([
      ['info', { audit: 'dead-letters.requeue', origin: 'api 127.0.0.1', count: 4, ids: '1-3 5', delayMs: 1_000 }],
      ['info', { audit: 'dead-letters.edit', origin: 'cli ann', count: 1, ids: '4' }],
      ['info', { audit: 'dead-letters.export', origin: 'cli ann', count: 1, ids: '6', route: 'gone' }],
      ['info', { audit: 'dead-letters.discard', origin: 'cli bob', count: 1, ids: '6', route: 'gone' }],
    ])
  })

  test('ids that do not fit into one line stand in several, none is lost', async () => {
    await fill(store, many(2_000))
    const { bench, lines } = benchOf()
    const odd = Array.from({ length: 1_000 }, (_, n) => 2 * n + 1)
    bench.discard({ ids: odd }, { limit: 1_000 }, 'test')
    const told = lines.flatMap(({ fields }) => String(fields.ids).split(' '))
    expect(told.map(Number)).toEqual(odd)
    for (const { fields } of lines) expect(String(fields.ids).length).toBeLessThanOrEqual(2_000)
    expect(lines.reduce((sum, { fields }) => sum + Number(fields.count), 0)).toBe(1_000)
  })
})
