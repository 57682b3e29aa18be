import { statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, jest, test } from '@jest/globals'
import { type LongestWaiting, rankOf, type Store, sequenceOf } from '../../../src/store/contract.ts'
import { append, appended, finished, idsOf, message, open, readAll, temporaryDirectory } from './stores.ts'

function withRoute(targets = ['a'], directory = temporaryDirectory()): Store {
  const store = open(directory)
  store.outbox.route('first', targets)
  return store
}

const named = (messageId: string, priority?: number) => message({ messageId, priority })

test('what was called safe is read back as it came, by this process and by the next', async () => {
  const directory = temporaryDirectory()
  const store = withRoute(['a'], directory)
  const envelope = message({ headers: { h: ['1', '2'] }, key: Buffer.from([255]), priority: 3, payload: null })
  const [id] = await appended(store, { envelope, params: { site: 'berlin' } })
  const expected = { id, params: { site: 'berlin' }, wanted: 1, done: 0, starts: 0, requeues: 0, attempts: undefined }
  expect(readAll(store)[0]).toMatchObject(expected)
  store.close()
  const again = withRoute(['a'], directory)
  const [row] = readAll(again)
  expect(row).toMatchObject(expected)
  expect(row?.envelope.payload).toBeNull()
  expect(row?.envelope.headers).toEqual({ h: ['1', '2'] })
  expect(Buffer.from(row?.envelope.key as Uint8Array)).toEqual(Buffer.from([255]))
})

test('callbacks come after the commit, in order of the hand-over, and one turn is one transaction', async () => {
  const store = withRoute()
  const before = store.stats.commits
  const calls: string[] = []
  for (const name of ['1', '2', '3']) {
    append(store, {
      envelope: named(name),
      safe: () => {
        calls.push(`${name} of ${store.outbox.total.count}`)
      },
    })
  }
  expect([calls, store.outbox.total.count]).toEqual([[], 0])
  await store.flushed()
  expect(calls).toEqual(['1 of 3', '2 of 3', '3 of 3'])
  expect(store.stats.commits - before).toBe(1)
})

test('what a callback hands over is called back after the callbacks before it', async () => {
  const store = withRoute()
  const calls: string[] = []
  append(store, {
    safe: () => {
      append(store, { safe: () => calls.push('inner') })
      store.outbox.markStart(1, [])
      calls.push('first')
    },
  })
  append(store, { safe: () => calls.push('second') })
  await store.flushed()
  expect(calls).toEqual(['first', 'second', 'inner'])
})

test('a commit needs no further push', async () => {
  const store = withRoute()
  const id = await new Promise<number>((resolve) => append(store, { safe: resolve }))
  const dead = await new Promise<unknown>((ended) =>
    store.outbox.finish({ id, route: 1, wanted: 1, bits: 1, dead: 'rejected', ended }),
  )
  expect(dead).toBe('rejected')
  expect(readAll(store)).toEqual([])
})

test('finish deletes what no target waits for, and nothing else', async () => {
  const store = withRoute()
  const ids = await appended(store, ...Array.from({ length: 10 }, (_, i) => ({ envelope: named(String(i)) })))
  const done = [7, 1, 2, 3, 9].map((i) => ({ id: ids[i] as number }))
  expect(await finished(store, ...done, { id: ids[1] as number })).toHaveLength(6)
  expect(idsOf(readAll(store))).toEqual(['0', '4', '5', '6', '8'])
  expect(store.outbox.waiting(1).count).toBe(5)
})

test('several targets: ended is called once, at the last, with the first reason given', async () => {
  const store = withRoute(['a', 'b', 'c'])
  const [id = 0] = await appended(store, { wanted: 7 })
  expect(await finished(store, { id, wanted: 7, bits: 2, dead: 'rejected' })).toEqual([])
  expect(readAll(store, { bit: 2 })).toEqual([])
  expect(readAll(store, { bit: 4 })).toMatchObject([{ done: 2, wanted: 7 }])
  const rest = [
    { id, wanted: 7, bits: 1, dead: 'expired' as const },
    { id, wanted: 7, bits: 4 },
  ]
  expect(await finished(store, ...rest)).toEqual(['rejected'])
  expect(store.outbox.total).toEqual({ count: 0, bytes: 0, oldestAt: undefined })
})

test('attempts are read back by bit, and go with the message', async () => {
  const directory = temporaryDirectory()
  const store = withRoute(['a', 'b'], directory)
  const [id = 0, other = 0] = await appended(store, { wanted: 3 }, { wanted: 1 })
  store.outbox.attempted(1, id, 2, { attempts: 1, failures: 2, dueAt: 3, notedAt: 2 })
  store.outbox.attempted(1, id, 2, { attempts: 2, failures: 3, dueAt: 4, notedAt: 2 })
  store.close()
  const again = withRoute(['a', 'b'], directory)
  const [first, second] = readAll(again)
  expect([first?.attempts, second?.attempts]).toEqual([
    new Map([[2, { attempts: 2, failures: 3, dueAt: 4, notedAt: 2 }]]),
    undefined,
  ])
  expect(await finished(again, { id, wanted: 3, bits: 3 })).toEqual([undefined])
  expect(readAll(again).map((row) => row.id)).toEqual([other])
  again.close()
  const database = new DatabaseSync(join(directory, 'trivium.db'))
  expect(database.prepare('SELECT count(*) AS count FROM attempts').get()?.count).toBe(0)
  database.close()
})

test('a page ends at its limits, and holds one message at least', async () => {
  const store = withRoute()
  const payload = Buffer.alloc(10_000)
  const ids = await appended(store, ...Array.from({ length: 5 }, () => ({ envelope: message({ payload }) })))
  const page = { after: ids[0] as number, upTo: ids[3] as number, limit: 10, maxBytes: 2 ** 20 }
  expect(store.outbox.read(1, 1, page)?.map(({ id }) => id)).toEqual(ids.slice(1, 4))
  expect(store.outbox.read(1, 1, { ...page, limit: 2 })).toHaveLength(2)
  expect(store.outbox.read(1, 1, { ...page, maxBytes: 22_000 })).toHaveLength(2)
  expect(store.outbox.read(1, 1, { ...page, maxBytes: 1 })).toHaveLength(1)
})

test('higher priorities come first, and the ends tell of each rank', async () => {
  const store = withRoute()
  const entries = [undefined, 3, 300, 3, -1, Number.NaN].map((priority, i) => ({ envelope: named(`${i}`, priority) }))
  const ids = await appended(store, ...entries)
  expect(idsOf(readAll(store))).toEqual(['2', '1', '3', '0', '4', '5'])
  expect(store.outbox.ends(1)).toEqual([ids[2], ids[3], ids[5]])
  expect(ids.map(rankOf)).toEqual([0, 3, 255, 3, 0, 0])
  expect(ids.map(sequenceOf)).toEqual([1, 2, 3, 4, 5, 6])
})

test('a message does not overtake an earlier one of its key that still waits', async () => {
  const directory = temporaryDirectory()
  const store = withRoute(['a'], directory)
  store.outbox.route('second', ['a'])
  const of = (name: string, key: string | Buffer, priority?: number) => ({ key, envelope: named(name, priority) })
  const [first = 0] = await appended(store, of('plain', 'k')) // before the route has seen any priority
  const ids = await appended(
    store,
    of('urgent', 'k', 9),
    of('other key', 'l', 9),
    { ...of('other route', 'k', 9), route: 2 },
    of('same key less', 'l', 5),
    of('same key more', 'l', 7),
    of('bytes', Buffer.from('k'), 9),
  )
  expect(ids.map(rankOf)).toEqual([0, 9, 9, 5, 5, 9])
  await finished(store, { id: first }, { id: ids[0] as number })
  expect((await appended(store, of('free again', 'k', 9))).map(rankOf)).toEqual([9])
  store.close()
  const again = withRoute(['a'], directory)
  expect((await appended(again, of('after a restart', 'l', 9))).map(rankOf)).toEqual([5])
})

test('a sequence is never used twice while a message of it waits', async () => {
  const directory = temporaryDirectory()
  const store = withRoute(['a'], directory)
  await appended(store, { envelope: named('a', 200) }, {}, {}, { envelope: named('b', 7) })
  store.close()
  const [id = 0] = await appended(withRoute(['a'], directory), {})
  expect(sequenceOf(id)).toBe(5)
})

test('a repeated messageId within the window is not kept again, per route, in one batch and after a restart', async () => {
  const directory = temporaryDirectory()
  const store = withRoute(['a'], directory)
  store.outbox.route('second', ['a'])
  const once = known(store, 'x', 60_000)
  const scope = store.outbox.scope('route second', 60_000)
  const elsewhere = { ...once, route: 2, deduplicate: { ...once.deduplicate, scope } }
  expect(await appended(store, once, once, elsewhere)).toEqual([expect.any(Number), 'duplicate', expect.any(Number)])
  await finished(store, ...readAll(store))
  store.close()
  const again = withRoute(['a'], directory)
  const answers = await appended(again, once, { ...once, deduplicate: undefined }, { envelope: named('y') })
  expect(answers).toEqual(['duplicate', expect.any(Number), expect.any(Number)])
})

test('routes of one scope know what each other has seen, for the longest of their windows', async () => {
  const store = withRoute(['a'])
  const other = store.outbox.route('second', ['a']).route
  expect(store.outbox.scope('orders', 1_000)).toBe(store.outbox.scope('orders', 60_000))
  const once = known(store, 'x', 60_000, 'orders')
  expect(await appended(store, once, { ...once, route: other })).toEqual([expect.any(Number), 'duplicate'])
})

test('what a scope that nobody names any more has seen goes when its time is over, and then the scope', async () => {
  const directory = temporaryDirectory()
  const clock = jest.spyOn(Date, 'now')
  const look = (sql: string) => {
    const database = new DatabaseSync(join(directory, 'trivium.db'))
    const rows = database.prepare(sql).all()
    database.close()
    return rows
  }
  try {
    clock.mockReturnValue(1_000)
    const store = withRoute(['a'], directory)
    await appended(store, known(store, 'x', 5_000, 'gone'), known(store, 'y', 5_000))
    store.close()
    for (const [now, messages, names] of [
      [4_000, ['x', 'y'], ['gone', 'route first']],
      [9_000, [], ['route first']],
    ] as const) {
      clock.mockReturnValue(now)
      const again = withRoute(['a'], directory)
      again.outbox.scope('route first', 5_000)
      await appended(again, {})
      again.close()
      expect(look('SELECT message FROM seen ORDER BY message').map(({ message }) => message)).toEqual(messages)
      expect(look('SELECT name FROM scopes ORDER BY name').map(({ name }) => name)).toEqual(names)
    }
  } finally {
    clock.mockRestore()
  }
})

test('the window ends, and a clock that jumps back does not make it longer', async () => {
  const store = withRoute()
  const clock = jest.spyOn(Date, 'now')
  try {
    const once = known(store, 'x', 1000)
    const at = async (now: number) => {
      clock.mockReturnValue(now)
      const [answer]: unknown[] = await appended(store, once)
      return answer === 'duplicate'
    }
    expect([await at(10_000), await at(10_999), await at(11_000), await at(11_999)]).toEqual([false, true, false, true])
    expect([await at(5000), await at(5999), await at(6000)]).toEqual([true, true, false])
  } finally {
    clock.mockRestore()
  }
})

test('what is older than the window is forgotten, a part with each commit', async () => {
  const directory = temporaryDirectory()
  const clock = jest.spyOn(Date, 'now')
  try {
    clock.mockReturnValue(1000)
    const store = withRoute(['a'], directory)
    const entries = Array.from({ length: 2500 }, (_, i) => known(store, `${i}`, 1000))
    await appended(store, ...entries)
    store.close()
    clock.mockReturnValue(5000)
    const again = withRoute(['a'], directory)
    for (const name of ['x', 'y', 'z']) await appended(again, known(again, name, 1000))
    again.close()
  } finally {
    clock.mockRestore()
  }
  const database = new DatabaseSync(join(directory, 'trivium.db'))
  expect(database.prepare('SELECT message FROM seen').all()).toEqual([
    { message: 'x' },
    { message: 'y' },
    { message: 'z' },
  ])
  database.close()
})

test('attempts of a message that is gone do not pass for those of a later one', async () => {
  const directory = temporaryDirectory()
  const store = withRoute(['a'], directory)
  const [id = 0] = await appended(store, {})
  await finished(store, { id })
  store.outbox.attempted(1, id, 1, { attempts: 1, failures: 1, dueAt: 1, notedAt: 2 })
  store.close()
  const again = withRoute(['a'], directory)
  expect(await appended(again, {})).toEqual([id])
  expect(readAll(again)[0]?.attempts).toBeUndefined()
})

test('an entry that a source wants kept is there with its message, also when that is a duplicate', async () => {
  const store = withRoute()
  const keep = (key: string) => ({ connection: 'c', entry: { space: 's', key, value: Buffer.from(key) } })
  const once = known(store, 'x', 60_000)
  await appended(store, { ...once, keep: keep('1') }, { ...once, keep: keep('2') })
  expect([...store.kept.all('c', 's')].map(([key, value]) => [key, Buffer.from(value).toString()])).toEqual([
    ['1', '1'],
    ['2', '2'],
  ])
})

test('waiting and total tell count, bytes and age, and orphans what no route will fetch', async () => {
  const directory = temporaryDirectory()
  const store = withRoute(['a', 'b'], directory)
  const { route } = store.outbox.route('gone', ['z'])
  const at = Date.now()
  await appended(store, { wanted: 3 }, { wanted: 2 }, { route }, { route })
  const { count, bytes, oldestAt = 0 } = store.outbox.waiting(route)
  expect([count, store.outbox.total.count, store.outbox.waiting(99).count]).toEqual([2, 4, 0])
  expect(bytes).toBeGreaterThan(1024)
  expect(Math.abs(oldestAt - at)).toBeLessThan(60_000)
  store.close()
  const again = withRoute(['a'], directory)
  expect(again.outbox.orphans(['first'])).toEqual([{ name: 'gone', count: 2 }])
  expect(again.outbox.orphanTargets()).toEqual([{ route: 'first', target: 'b', count: 2 }])
  expect(again.outbox.waiting(route)).toEqual({ count, bytes, oldestAt })
})

test('the oldest is that of all routes and ranks', async () => {
  const store = withRoute()
  const { route } = store.outbox.route('second', ['a'])
  const ids: number[] = []
  const now = jest.spyOn(Date, 'now')
  try {
    for (const [at, entry] of [
      [3000, { envelope: named('1', 9), route }],
      [1000, { envelope: named('2') }],
      [2000, { envelope: named('3') }],
      [4000, { envelope: named('4') }],
    ] as const) {
      now.mockReturnValue(at)
      ids.push(...(await appended(store, entry)))
    }
  } finally {
    now.mockRestore()
  }
  const oldest = () => [
    store.outbox.total.oldestAt,
    store.outbox.waiting(1).oldestAt,
    store.outbox.waiting(route).oldestAt,
  ]
  expect(oldest()).toEqual([1000, 1000, 3000])
  await finished(store, { id: ids[1] as number })
  expect(oldest()).toEqual([2000, 2000, 3000])
  await finished(store, { id: ids[2] as number })
  expect(oldest()).toEqual([3000, 4000, 3000])
})

test('what waits longest: of one route, for some targets, over ranks, delayed or not, by age', async () => {
  const store = withRoute()
  const { route } = store.outbox.route('second', ['a', 'b'])
  const texts = [named('1'), named('2', 9), named('3'), named('4')]
  const ids = await appended(store, ...texts.map((envelope, i) => ({ envelope, route, wanted: i === 2 ? 2 : 1 })))
  await appended(store, { envelope: named('elsewhere') })
  store.outbox.attempted(route, ids[3]!, 1, {
    attempts: 1,
    failures: 1,
    dueAt: Date.now() + 60_000,
    notedAt: Date.now(),
  })
  await store.flushed()
  const waiting = (bits: number, which: Partial<LongestWaiting> = {}) =>
    store.outbox.waitingLongest(route, bits, { limit: 9, isSuch: () => true, ...which }).map(({ id }) => {
      return store.outbox.get(route, id)?.envelope.messageId
    })
  expect(waiting(1)).toEqual(['1', '2', '4'])
  expect(waiting(2)).toEqual(['3'])
  expect(waiting(3, { limit: 2, isSuch: (id) => id !== ids[0] })).toEqual(['2', '3'])
  expect(waiting(3, { receivedBefore: Date.now() + 60_000 })).toHaveLength(4)
  expect(waiting(3, { receivedBefore: Date.now() - 60_000 })).toEqual([])
  expect(store.outbox.get(route, 12_345)).toBeUndefined()
})

test('targets keep their bits by text, else by place', async () => {
  const directory = temporaryDirectory()
  const bitsOf = (store: Store, targets: string[]) => store.outbox.route('first', targets).bits
  const store = open(directory)
  expect(bitsOf(store, ['a', 'b', 'a'])).toEqual([1, 2, 4])
  store.close()
  const again = open(directory)
  expect(bitsOf(again, ['b', 'a', 'a', 'c'])).toEqual([2, 1, 4, 8])
  expect(bitsOf(again, ['b', 'a', 'a', 'new'])).toEqual([2, 1, 4, 8]) // stands where `c` stood
  expect(bitsOf(again, ['a', 'b', 'more', 'a', 'new'])).toEqual([1, 2, 16, 4, 8])
  expect(bitsOf(again, ['new', 'other'])).toEqual([8, 2])
})

test('a bit is free again once nothing waits for the target that had it', async () => {
  const store = withRoute(Array.from({ length: 31 }, (_, i) => `t${i}`))
  await appended(store, { wanted: 1 })
  const bitsOf = (targets: string[]) => store.outbox.route('first', targets).bits
  const others = Array.from({ length: 30 }, (_, i) => `t${i + 1}`)
  expect(bitsOf(others)).not.toContain(1)
  expect(() => bitsOf([...others, 'x', 'y'])).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  expect(bitsOf([...others.slice(1), 'x'])).not.toContain(1)
})

test('starts are noted, and taken back for what the process outlives and by a clean end', async () => {
  const directory = temporaryDirectory()
  const store = withRoute(['a'], directory)
  const ids = await appended(store, {}, {})
  store.outbox.markStart(1, ids)
  expect(readAll(store).map(({ starts }) => starts)).toEqual([1, 1])
  store.outbox.absolve(ids.slice(0, 1))
  await store.flushed()
  expect(readAll(store).map(({ starts }) => starts)).toEqual([0, 1])
  store.close()
  expect(readAll(withRoute(['a'], directory)).map(({ starts }) => starts)).toEqual([0, 0])
})

test('the file tells how large it is, and commits and reads are counted', async () => {
  const directory = temporaryDirectory()
  const store = open(directory)
  store.outbox.route('first', ['a'])
  await appended(store, {})
  expect(store.stats.commits).toBe(2)
  expect(store.stats.reads).toBe(0)
  store.outbox.read(1, 1, { after: 0, upTo: Number.MAX_SAFE_INTEGER, limit: 1, maxBytes: 1 })
  store.outbox.fetch(1, 1, [1], 1)
  expect(store.stats.reads).toBe(2)
  expect(store.stats.fileBytes()).toBeGreaterThanOrEqual(statSync(join(directory, 'trivium.db')).size)
})

/** A message that is known again by its name. */
function known(store: Store, name: string, windowMs: number, scope = 'route first') {
  const deduplicate = { scope: store.outbox.scope(scope, windowMs), id: name, windowMs }
  return { envelope: named(name), deduplicate }
}
