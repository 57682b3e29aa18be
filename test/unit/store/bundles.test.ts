import { DatabaseSync } from 'node:sqlite'
import { afterEach, expect, jest, test } from '@jest/globals'
import { Bundles, unpackBundles } from '../../../src/store/bundles.ts'
import { idOf } from '../../../src/store/contract.ts'
import { type OutboxRow, prepareInsert } from '../../../src/store/outbox-rows.ts'
import { migrations } from '../../../src/store/schema.ts'

afterEach(() => void jest.restoreAllMocks())

function fresh() {
  const database = new DatabaseSync(':memory:')
  for (const migration of migrations) database.exec(migration)
  const bundles = new Bundles(database, prepareInsert(database))
  const count = (table: string) => database.prepare(`SELECT count(*) AS count FROM ${table}`).get()?.count as number
  /** One transaction of the commit queue's. */
  const transaction = (work: () => void, how: 'commit' | 'rollback' = 'commit') => {
    database.exec('BEGIN')
    work()
    bundles.beforeCommit()
    database.exec(how)
    if (how === 'commit') bundles.committed()
    else bundles.rolledBack()
  }
  const rows = () => database.prepare('SELECT * FROM outbox ORDER BY id').all() as unknown as OutboxRow[]
  return { database, bundles, count, transaction, rows }
}

const rowOf = (n: number, { bytes = 600, route = 1, payload = Buffer.from([n % 256]) as Uint8Array | null } = {}) => ({
  ...{ id: idOf(0, n), route, wanted: 1, bytes, received: 1_000 + n, payload },
  ...{ key: `k${n}` as string | Uint8Array | null, params: '{"a":"1"}', fields: '{"messageId":"m"}' },
})

test('the messages of one transaction are one row, and leave without becoming rows of their own', () => {
  const { bundles, count, transaction } = fresh()
  transaction(() => [1, 2, 3].map((n) => rowOf(n)).forEach((row) => void bundles.add(row)))
  expect([count('bundles'), count('outbox')]).toEqual([1, 0])
  transaction(() => expect([1, 3].map((n) => bundles.leave(idOf(0, n), 1))).toEqual([true, true]))
  expect([count('bundles'), count('bundles_gone'), bundles.has(idOf(0, 2)), bundles.has(idOf(0, 1))]).toEqual([
    1,
    1,
    true,
    false,
  ])
  transaction(() => expect(bundles.leave(idOf(0, 2), 1)).toBe(true))
  expect([count('bundles'), count('bundles_gone'), bundles.holds()]).toEqual([0, 0, false])
})

test('what is unpacked is what went in, without what has left', () => {
  const { database, bundles, count, transaction, rows } = fresh()
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
  unpackBundles(database) // as at the next start
  expect(rows().map(plain)).toMatchObject(expected.map(plain))
  expect([count('bundles'), count('bundles_gone')]).toEqual([0, 0])
})

test('a transaction that is rolled back leaves nothing behind, and what had left in it has not', () => {
  const { bundles, count, transaction } = fresh()
  transaction(() => void bundles.add(rowOf(1)))
  transaction(() => {
    bundles.add(rowOf(2))
    bundles.leave(idOf(0, 1), 1)
    bundles.unpack()
  }, 'rollback')
  expect([count('bundles'), count('outbox'), bundles.has(idOf(0, 1)), bundles.has(idOf(0, 2))]).toEqual([
    1,
    0,
    true,
    false,
  ])
})

test('a message that comes back does so where it was, though bundles lie close together', () => {
  const { bundles, transaction } = fresh()
  transaction(() => bundles.add(rowOf(1)))
  transaction(() => bundles.add(rowOf(2)))
  transaction(() => void bundles.leave(idOf(0, 2), 1), 'rollback')
  expect([1, 2, 3].map((n) => bundles.has(idOf(0, n)))).toEqual([true, true, false])
})

test('no more is in bundles than the reserve has room to unpack, within one transaction too', () => {
  const { bundles, transaction } = fresh()
  const bytes = 16 * 1024
  let added = 0
  transaction(() => {
    while (bundles.hasRoomFor(bytes)) bundles.add(rowOf(++added, { bytes }))
  })
  expect(added).toBe(256)
  expect(bundles.bytesOf()).toBe(4 * 1024 ** 2)
  transaction(() => {
    for (let n = 1; n <= added; n += 1) bundles.leave(idOf(0, n), 1)
    expect(bundles.hasRoomFor(bytes)).toBe(false)
  })
  expect(bundles.hasRoomFor(bytes)).toBe(true)
  expect(bundles.hasRoomFor(bytes + 1)).toBe(false)
})

test('no more than 64 bundles', () => {
  const { bundles, transaction } = fresh()
  let added = 0
  while (bundles.hasRoomFor(1)) transaction(() => bundles.add(rowOf(++added)))
  expect(added).toBe(64)
})

test('what has not left after two seconds becomes rows with the next transaction', () => {
  const { bundles, transaction, rows } = fresh()
  transaction(() => [1, 2].map((n) => rowOf(n)).forEach((row) => void bundles.add(row)))
  transaction(() => void bundles.leave(idOf(0, 1), 1))
  const now = performance.now()
  jest.spyOn(performance, 'now').mockImplementation(() => now + 2_001)
  transaction(() => void bundles.add(rowOf(3)))
  expect(rows().map(({ id }) => id)).toEqual([idOf(0, 2)])
  expect([bundles.has(idOf(0, 2)), bundles.has(idOf(0, 3))]).toEqual([false, true])
})

test('one route is unpacked, with what came in the same transaction; bundles without it stay', () => {
  const { bundles, transaction, rows } = fresh()
  transaction(() => [1, 2].map((n) => rowOf(n, { route: n })).forEach((row) => void bundles.add(row)))
  transaction(() => void bundles.add(rowOf(3, { route: 2 })))
  expect([bundles.endOf(1), bundles.endOf(2), bundles.oldestAt(2)]).toEqual([idOf(0, 1), idOf(0, 3), 1_002])
  transaction(() => bundles.unpack(1))
  expect(rows().map(({ id }) => id)).toEqual([idOf(0, 1), idOf(0, 2)])
  expect([bundles.holds(1), bundles.holds(2)]).toEqual([false, true])
})

test('when the disk is full, everything becomes rows while the reserve gives room', () => {
  const { bundles, transaction, rows } = fresh()
  transaction(() => [1, 2].map((n) => rowOf(n)).forEach((row) => void bundles.add(row)))
  transaction(() => bundles.diskIsFull())
  expect([rows().length, bundles.holds()]).toEqual([2, false])
})
