import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { Bundles, unpackSpool } from '../../../src/store/bundles.ts'
import { idOf } from '../../../src/store/contract.ts'
import { type OutboxRow, prepareInsert } from '../../../src/store/outbox-rows.ts'
import { migrations } from '../../../src/store/schema.ts'
import { recordsIn, Spool } from '../../../src/store/spool.ts'
import { onCleanup, temporaryDirectory } from './stores.ts'

beforeEach(() => {
  const now = performance.now()
  jest.spyOn(performance, 'now').mockReturnValue(now) // bundles are unpacked by their age
})
afterEach(() => void jest.restoreAllMocks())

function fresh() {
  const directory = temporaryDirectory()
  const database = new DatabaseSync(':memory:')
  for (const migration of migrations) typeof migration === 'string' ? database.exec(migration) : migration(database)
  const spool = new Spool(directory)
  onCleanup(() => spool.close())
  expect(spool.isReady()).toBe(true)
  const bundles = new Bundles(database, { spool, insertRow: prepareInsert(database) })
  const count = (table: string) => database.prepare(`SELECT count(*) AS count FROM ${table}`).get()?.count as number
  /** One transaction of the commit queue's. */
  const transaction = (work: () => void, how: 'commit' | 'rollback' | 'crash before the spool' = 'commit') => {
    database.exec('BEGIN')
    work()
    bundles.beforeCommit()
    database.exec(how === 'rollback' ? how : 'commit')
    if (how === 'rollback') return bundles.rolledBack()
    if (how !== 'commit') return
    bundles.sync()
    bundles.committed()
  }
  const rows = () => database.prepare('SELECT * FROM outbox ORDER BY id').all() as unknown as OutboxRow[]
  /** As the next process finds it. */
  const restart = () => {
    if (database.isTransaction) database.exec('ROLLBACK')
    unpackSpool(database, directory)
    return rows().map(({ id }) => id)
  }
  const records = () => recordsIn(directory).length
  return { directory, database, spool, bundles, count, transaction, rows, restart, records }
}

const rowOf = (n: number, { bytes = 600, route = 1, payload = Buffer.from([n % 256]) as Uint8Array | null } = {}) => ({
  ...{ id: idOf(0, n), route, wanted: 1, bytes, received: 1_000 + n, payload },
  ...{ key: `k${n}` as string | Uint8Array | null, params: '{"a":"1"}' as string | null, fields: '{"messageId":"m"}' },
})
const ids = (...numbers: number[]) => numbers.map((n) => idOf(0, n))

test('the messages of one transaction are one record, and leave without becoming rows', () => {
  const { bundles, count, transaction, restart, records } = fresh()
  transaction(() => [1, 2, 3].map((n) => rowOf(n)).forEach((row) => void bundles.add(row)))
  expect([records(), count('outbox')]).toEqual([1, 0])
  transaction(() => expect(ids(1, 3).map((id) => bundles.leave(id, 1))).toEqual([true, true]))
  expect([bundles.has(idOf(0, 2)), bundles.has(idOf(0, 1)), bundles.holds()]).toEqual([true, false, true])
  transaction(() => expect(bundles.leave(idOf(0, 2), 1)).toBe(true))
  expect([records(), bundles.holds()]).toEqual([3, false])
  expect(restart()).toEqual([])
})

test('what a process that dies leaves in the spool is what went in, without what has left', () => {
  const { bundles, transaction, rows, restart } = fresh()
  const all = [
    { ...rowOf(1), key: null, params: null },
    { ...rowOf(2), payload: null },
    { ...rowOf(3), payload: Buffer.alloc(0), key: '\u2028"\\\n' },
    { ...rowOf(4), key: Buffer.from([0, 255]), fields: '{"messageId":"\\u0000é"}' },
    { ...rowOf(5), payload: Buffer.alloc(100_000, 'x'), params: '{"a":"€"}', key: Buffer.alloc(0) },
    rowOf(6),
  ]
  transaction(() => all.forEach((row) => void bundles.add(row)))
  transaction(() => void bundles.leave(idOf(0, 6), 1))
  const expected = all.slice(0, 5).map((row) => ({ ...row, due: 0, ranked: null, requeues: 0 }))
  const plain = ({ key, payload, ...row }: Partial<OutboxRow>) => ({
    ...row,
    key: key instanceof Uint8Array ? Buffer.from(key).toString('hex') : key,
    payload: payload && Buffer.from(payload).toString('hex'),
  })
  restart()
  expect(rows().map(plain)).toMatchObject(expected.map(plain))
  expect(restart()).toEqual(ids(1, 2, 3, 4, 5)) // a second time it is not found again
})

test('the files are of no use once all has become rows, whichever of them is still there', () => {
  const { bundles, spool, transaction, restart } = fresh()
  jest.spyOn(spool, 'remove').mockImplementation(() => {}) // as if the process died before it was done
  transaction(() => [1, 2].map((n) => rowOf(n)).forEach((row) => void bundles.add(row)))
  transaction(() => ids(1, 2).forEach((id) => void bundles.leave(id, 1)))
  transaction(() => bundles.leaveSpool())
  expect(restart()).toEqual([])
})

test('a file of the spool that is missing is told, as long as the other may hold messages', () => {
  const { bundles, transaction, directory, restart } = fresh()
  transaction(() => bundles.add(rowOf(1)))
  rmSync(join(directory, 'spool-0'))
  expect(restart).toThrow(/spool-0 is damaged: it is missing/)
})

test('what becomes a row takes what came before it in the same transaction along: rows are on disk first', () => {
  const { bundles, transaction, restart } = fresh()
  transaction(() => {
    bundles.add(rowOf(1))
    bundles.add(rowOf(2, { route: 2 }))
    bundles.unpackNew(3)
    expect(bundles.hasRoomFor(rowOf(3))).toBe(true)
    bundles.unpackNew(2)
    bundles.add(rowOf(4))
  }, 'crash before the spool')
  expect(restart()).toEqual(ids(1, 2))
})

test('a transaction that is rolled back leaves nothing behind, and what had left in it has not', () => {
  const { bundles, count, transaction, restart } = fresh()
  transaction(() => void bundles.add(rowOf(1)))
  transaction(() => {
    bundles.add(rowOf(2))
    bundles.leave(idOf(0, 1), 1)
    bundles.unpack()
  }, 'rollback')
  expect([count('outbox'), bundles.has(idOf(0, 1)), bundles.has(idOf(0, 2))]).toEqual([0, true, false])
  transaction(() => void bundles.add(rowOf(3)))
  expect(restart()).toEqual(ids(1, 3))
})

test('a message that comes back does so where it was, though bundles lie close together', () => {
  const { bundles, transaction } = fresh()
  transaction(() => bundles.add(rowOf(1)))
  transaction(() => bundles.add(rowOf(2)))
  transaction(() => void bundles.leave(idOf(0, 2), 1), 'rollback')
  expect(ids(1, 2, 3).map((id) => bundles.has(id))).toEqual([true, true, false])
})

test('what was unpacked is not found in the spool again, also where the process died before it could be told', () => {
  for (const how of ['commit', 'crash before the spool'] as const) {
    const { database, bundles, transaction, restart } = fresh()
    transaction(() => [1, 2, 3].map((n) => rowOf(n)).forEach((row) => void bundles.add(row)))
    transaction(() => {
      bundles.leave(idOf(0, 1), 1)
      bundles.unpackWith(idOf(0, 2))
      database.prepare('DELETE FROM outbox WHERE id = ?').run(idOf(0, 2)) // its letter is in the same transaction
    }, how)
    expect(restart()).toEqual(ids(3))
  }
})

test('a file of the spool begins anew when all in it has left, or has become rows', () => {
  const { bundles, spool, transaction, rows, restart, count } = fresh()
  const payload = Buffer.alloc(16_000)
  const few = 16
  const first = (n: number) => n * few
  const fill = (n: number) => {
    transaction(() => {
      for (let i = 0; i < few; i += 1) {
        const row = rowOf(first(n) + i, { payload, bytes: payload.length })
        expect(bundles.hasRoomFor(row)).toBe(true)
        bundles.add(row)
      }
    })
    transaction(() => {
      for (let i = n === 0 ? 1 : 0; i < few; i += 1) bundles.leave(idOf(0, first(n) + i), 1)
    })
  }
  for (let n = 0; spool.generation < 3; n += 1) fill(n)
  expect(rows().map(({ id }) => id)).toEqual(ids(0)) // the one that had stayed behind
  expect([bundles.has(idOf(0, 0)), count('unpacked')]).toEqual([false, 1])
  transaction(() => bundles.add(rowOf(100_000)))
  expect(restart()).toEqual(ids(0, 100_000))
})

test('no more is in bundles than the reserve has room to unpack', () => {
  const { bundles, transaction } = fresh()
  const bytes = 16 * 1024
  const plain = { ...rowOf(0, { bytes }), key: null, params: null }
  let added = 0
  const fill = () =>
    transaction(() => {
      const before = added
      while (bundles.hasRoomFor(plain) && added < before + 64) bundles.add({ ...plain, id: idOf(0, ++added) })
    })
  for (let n = 0; n < 6; n += 1) fill()
  expect(added).toBe(256)
  expect(bundles.bytesOf()).toBe(4 * 1024 ** 2)
  transaction(() => {
    for (let n = 1; n <= added; n += 1) bundles.leave(idOf(0, n), 1)
    expect(bundles.hasRoomFor(plain)).toBe(false)
  })
  expect(bundles.hasRoomFor(plain)).toBe(true)
  expect(bundles.hasRoomFor({ ...plain, bytes: bytes + 1 })).toBe(false)
  expect(bundles.hasRoomFor({ ...plain, key: 'k' })).toBe(false)
  expect(bundles.hasRoomFor({ ...plain, params: 'p' })).toBe(false)
})

test('no record is longer than a file of the spool', () => {
  const { bundles, transaction, spool } = fresh()
  const fields = '€'.repeat(5_000) // 15,000 bytes
  let added = 0
  transaction(() => {
    for (;;) {
      const row = { ...rowOf(added + 1, { bytes: 5_512 }), fields }
      if (!bundles.hasRoomFor(row)) break
      bundles.add(row)
      added += 1
    }
  })
  expect(added).toBe(Math.ceil((1024 ** 2 - 24) / (15_000 + 44 + 'k11{"a":"1"}'.length + 1)))
  expect(spool.generation).toBe(1)
})

test('no more than 64 bundles', () => {
  const { bundles, transaction } = fresh()
  let added = 0
  while (bundles.hasRoomFor(rowOf(0))) transaction(() => bundles.add(rowOf(++added)))
  expect(added).toBe(64)
})

test('what has not left after two seconds becomes rows with the next transaction', () => {
  const { bundles, transaction, rows } = fresh()
  transaction(() => [1, 2].map((n) => rowOf(n)).forEach((row) => void bundles.add(row)))
  transaction(() => void bundles.leave(idOf(0, 1), 1))
  const now = performance.now()
  jest.spyOn(performance, 'now').mockImplementation(() => now + 2_001)
  transaction(() => void bundles.add(rowOf(3)))
  expect(rows().map(({ id }) => id)).toEqual(ids(2))
  expect([bundles.has(idOf(0, 2)), bundles.has(idOf(0, 3))]).toEqual([false, true])
})

test('one route is unpacked, with what came in the same transaction; bundles without it stay', () => {
  const { bundles, transaction, rows, restart } = fresh()
  transaction(() => [1, 2].map((n) => rowOf(n, { route: n })).forEach((row) => void bundles.add(row)))
  transaction(() => void bundles.add(rowOf(3, { route: 2 })))
  expect([bundles.endOf(1), bundles.endOf(2), bundles.oldestAt(2)]).toEqual([idOf(0, 1), idOf(0, 3), 1_002])
  transaction(() => {
    bundles.add(rowOf(4, { route: 1 }))
    bundles.unpack(1)
    bundles.add(rowOf(5, { route: 1 }))
  })
  expect(rows().map(({ id }) => id)).toEqual(ids(1, 2, 4))
  expect([bundles.holds(1), bundles.holds(2)]).toEqual([true, true])
  expect(restart()).toEqual(ids(1, 2, 3, 4, 5))
})

test('when the disk is full, everything becomes rows while the reserve gives room, and the spool gives its own', () => {
  const { bundles, transaction, rows, restart, directory, count } = fresh()
  transaction(() => [1, 2].map((n) => rowOf(n)).forEach((row) => void bundles.add(row)))
  transaction(() => bundles.diskIsFull())
  expect([rows().length, bundles.holds(), readdirSync(directory), count('unpacked')]).toEqual([2, false, [], 0])
  expect(restart()).toEqual(ids(1, 2))
  expect(bundles.hasRoomFor(rowOf(3))).toBe(true) // it is made anew
})
