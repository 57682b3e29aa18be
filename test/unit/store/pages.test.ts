/** Pages on disk: how many there are, what is written of them again, and what happens where the disk has changed them. */
import { openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, expect, jest, test } from '@jest/globals'
import type { Store } from '../../../src/store/contract.ts'
import { Pages } from '../../../src/store/pages.ts'
import { migrations } from '../../../src/store/schema.ts'
import { appended, finished, idsOf, message, open, readAll, temporaryDirectory } from './stores.ts'

afterEach(() => void jest.restoreAllMocks())

function withRoute(targets = ['a', 'b', 'c']) {
  const directory = temporaryDirectory()
  const store = open(directory)
  store.outbox.route('first', targets)
  /** What the file says once the store is closed. */
  const rows = (sql: string) => {
    store.close()
    const database = new DatabaseSync(join(directory, 'trivium.db'))
    const found = database.prepare(sql).all()
    database.close()
    return found
  }
  return { directory, store, rows }
}

const many = (count: number, more: object = {}, bytes = 200) =>
  Array.from({ length: count }, (_, n) => ({
    ...{ envelope: message({ messageId: `${n}`, payload: Buffer.alloc(bytes, n) }), ...more },
  }))

const later = (ms: number) => {
  const now = performance.now()
  jest.spyOn(performance, 'now').mockImplementation(() => now + ms)
}

test('what comes in one turn is a page, whatever the number of targets, with a key or a name to be known again', async () => {
  const { store, rows } = withRoute()
  const scope = store.outbox.scope('route first', 60_000)
  const known = many(3).map((one, n) => ({
    ...one,
    key: `k${n}`,
    deduplicate: { scope, id: `${n}`, windowMs: 60_000 },
  }))
  const kept = { connection: 'c', entry: { space: 's', key: 'k', value: Buffer.of(1) } }
  await appended(store, ...many(3), ...many(3, { wanted: 7 }), ...known, ...many(3, { keep: kept }))
  expect(rows('SELECT count, wanted FROM pages')).toEqual([{ count: 12, wanted: 7 }])
})

test('a page ends at 512 messages or 256 KiB, and each rank has its own', async () => {
  const { store, rows } = withRoute()
  await appended(store, ...many(600), ...many(2, {}, 300_000), ...many(2, { envelope: message({ priority: 4 }) }))
  expect(rows('SELECT count FROM pages ORDER BY first').map(({ count }) => count)).toEqual([2, 512, 89, 1])
})

test('it is deleted when its last message has left at all of its targets, with what was noted of it', async () => {
  const { store, rows } = withRoute()
  const ids = await appended(store, ...many(20, { wanted: 3 }))
  await finished(store, ...ids.map((id) => ({ id, wanted: 3, bits: 1 })))
  await finished(store, ...ids.slice(1).map((id) => ({ id, wanted: 3, bits: 2 })))
  expect(idsOf(readAll(store, { bit: 2 }))).toEqual(['0'])
  expect(readAll(store, { bit: 1 })).toEqual([])
  await finished(store, { id: ids[0] as number, wanted: 3, bits: 2 })
  expect(store.outbox.total.count).toBe(0)
  expect(rows('SELECT first AS id FROM pages UNION ALL SELECT page FROM gone')).toEqual([])
})

test('what is done is read by the next process as it was told', async () => {
  const { directory, store } = withRoute()
  const ids = await appended(store, ...many(9, { wanted: 3 }))
  await finished(store, ...[1, 4, 8].map((at) => ({ id: ids[at] as number, wanted: 3, bits: 1 })))
  await finished(store, ...[4, 5].map((at) => ({ id: ids[at] as number, wanted: 3, bits: 2 })))
  const told = [1, 2].map((bit) => idsOf(readAll(store, { bit })))
  store.close()
  const again = open(directory)
  expect(again.outbox.waiting(1).count).toBe(8)
  expect([1, 2].map((bit) => idsOf(readAll(again, { bit })))).toEqual(told)
})

test('a page of which little is left is written anew, so that its room is free again; nothing else of it changes', async () => {
  const { store, rows } = withRoute()
  const ids = await appended(store, ...many(100, { wanted: 3 }, 2_000))
  const left = [3, 50, 99]
  store.outbox.attempted(1, ids[50] as number, 2, { attempts: 1, failures: 2, dueAt: 3, notedAt: 2 })
  await finished(store, { id: ids[50] as number, wanted: 3, bits: 1 })
  await finished(store, ...ids.filter((_, n) => !left.includes(n)).map((id) => ({ id, wanted: 3, bits: 3 })))
  const before = readAll(store, { bit: 2 })
  later(2_100)
  await appended(store, {})
  expect(readAll(store, { bit: 2 })).toEqual(before)
  expect([idsOf(readAll(store)), readAll(store, { bit: 2 })[1]?.attempts?.size]).toEqual([['3', '99', 'm'], 1])
  expect([store.outbox.get(1, ids[4] as number), store.outbox.waiting(1).count]).toEqual([undefined, 4])
  await finished(store, { id: ids[99] as number, wanted: 3, bits: 3 })
  expect(idsOf(readAll(store, { bit: 2 }))).toEqual(['3', '50'])
  const [page] = rows('SELECT first, count, octet_length(body) AS bytes FROM pages ORDER BY first')
  expect(page).toMatchObject({ first: ids[0], count: 3 })
  expect(page?.bytes as number).toBeLessThan(7_000)
})

test('it is left alone while it is young, and while more than a quarter is left', async () => {
  const { store, rows } = withRoute()
  const young = await appended(store, ...many(20, {}, 2_000))
  await finished(store, ...young.slice(1).map((id) => ({ id })))
  await appended(store, {})
  expect(rows('SELECT count FROM pages ORDER BY first').map(({ count }) => count)).toEqual([20, 1])
})

test('what the next process finds sparse it writes anew too', async () => {
  const { directory, store } = withRoute()
  const ids = await appended(store, ...many(20, {}, 2_000))
  await finished(store, ...ids.slice(1).map((id) => ({ id })))
  store.close()
  const again = open(directory)
  await appended(again, {})
  expect(idsOf(readAll(again))).toEqual(['0', 'm'])
  again.close()
  const database = new DatabaseSync(join(directory, 'trivium.db'))
  expect(database.prepare('SELECT count FROM pages ORDER BY first').all()).toEqual([{ count: 1 }, { count: 1 }])
  database.close()
})

test('of a page that memory has forgotten all is found again', async () => {
  const { store } = withRoute()
  const all: number[] = []
  for (let n = 0; n < 150; n += 1) all.push(...(await appended(store, ...many(512))))
  for (let at = 0; at < all.length; at += 500) expect(await finished(store, { id: all[at] as number })).toHaveLength(1)
  expect(store.outbox.waiting(1).count).toBe(all.length - Math.ceil(all.length / 500))
  expect(store.outbox.get(1, all[500] as number)).toBeUndefined()
  expect(store.outbox.get(1, all[501] as number)).toBeDefined()
})

test('messages are fetched by id: those that the target still waits for, in order', async () => {
  const { store } = withRoute()
  const ids = await appended(store, ...many(5))
  ids.push(...(await appended(store, ...many(5, { wanted: 2 }))), ...(await appended(store, ...many(5))))
  await finished(store, { id: ids[1] as number })
  const wanted = [0, 1, 6, 12, 14].map((at) => ids[at] as number)
  expect(store.outbox.fetch(1, 1, wanted, 2 ** 20).map(({ id }) => id)).toEqual([0, 12, 14].map((at) => ids[at]))
})

/** One byte of the first page that has this text is changed. */
function damage(directory: string, text: string): void {
  const file = join(directory, 'trivium.db')
  const at = readFileSync(file).lastIndexOf(text)
  expect(at).toBeGreaterThan(0)
  writeSync(openSync(file, 'r+'), Buffer.from('#'), 0, 1, at)
}

async function closedWith(texts: readonly string[]): Promise<string> {
  const { directory, store } = withRoute()
  await appended(
    store,
    ...texts.map((text) => ({ envelope: message({ messageId: text, payload: Buffer.from(text) }) })),
  )
  store.close()
  return directory
}

const reopened = (directory: string): Store => {
  const store = open(directory)
  store.outbox.route('first', ['a', 'b', 'c'])
  return store
}

test('what is fetched ends at a limit of bytes, and holds one message at least', async () => {
  const { store } = withRoute()
  const ids = await appended(store, ...many(6, {}, 10_000))
  const fetched = (maxBytes: number) => idsOf(store.outbox.fetch(1, 1, ids, maxBytes))
  expect(fetched(22_000)).toEqual(['0', '1'])
  expect(fetched(1)).toEqual(['0'])
})

test('a message that is not what was written is told as such, with what is there of it; the others are sound', async () => {
  const directory = await closedWith(['first one', 'second one', 'third one'])
  damage(directory, 'second one')
  const store = reopened(directory)
  const found = readAll(store)
  expect(found.map(({ isDamaged }) => isDamaged)).toEqual([false, true, false])
  expect(idsOf([found[0], found[2]] as typeof found)).toEqual(['first one', 'third one'])
  expect(Buffer.from(found[1]?.envelope.payload ?? '').toString()).toContain('#econd one')
  expect(await finished(store, { id: found[1]?.id as number, dead: 'damaged' })).toEqual(['damaged'])
  expect(readAll(store)).toHaveLength(2)
})

test('so it is when its page is written anew', async () => {
  const texts = ['first one', ...Array.from({ length: 60 }, (_, n) => `${n}`.padEnd(300, '.'))]
  const directory = await closedWith(texts)
  damage(directory, 'first one')
  const store = reopened(directory)
  await finished(
    store,
    ...readAll(store)
      .slice(1)
      .map(({ id }) => ({ id })),
  )
  await appended(store, {})
  await appended(store, {})
  expect(readAll(store).map(({ isDamaged }) => isDamaged)).toEqual([true, false, false])
})

test('a disk that is full while the second of several pages is written mixes no pages afterwards', () => {
  const database = new DatabaseSync(':memory:')
  for (const migration of migrations) {
    if (typeof migration === 'string') database.exec(migration)
    else migration(database, '')
  }
  const pages = new Pages(database, () => false)
  const add = (route: number, id: number) =>
    pages.add(
      {
        ...{ id, wanted: 1, bytes: 1, received: 1, requeues: 0 },
        key: null,
        params: null,
        fields: '[]',
        payload: null,
      },
      { route, dueAt: 0, hasNotes: false },
    )
  database.exec(
    'BEGIN; CREATE TRIGGER full BEFORE INSERT ON pages WHEN new.route = 2 BEGIN SELECT raise(ABORT, 0); END',
  )
  add(1, 1)
  add(2, 2)
  expect(() => pages.beforeCommit()).toThrow()
  database.exec('ROLLBACK; BEGIN')
  pages.rolledBack()
  for (const route of [1, 2, 3]) add(route, route)
  pages.beforeCommit()
  database.exec('COMMIT')
  expect(database.prepare('SELECT route, first, count FROM pages ORDER BY first').all()).toEqual(
    [1, 2, 3].map((route) => ({ route, first: route, count: 1 })),
  )
})
