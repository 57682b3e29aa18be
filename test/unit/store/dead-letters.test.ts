import { expect, jest, test } from '@jest/globals'
import { PermanentError } from '../../../src/errors.ts'
import { rankOf, type Store } from '../../../src/store/contract.ts'
import type { DeadLetter } from '../../../src/store/dead-letters.ts'
import { append, appended, finished, idsOf, message, open, readAll, temporaryDirectory } from './stores.ts'

function letter(changes: Partial<DeadLetter> = {}): DeadLetter {
  return {
    envelope: message({ messageId: 'dead', headers: { a: '1' } }),
    reason: 'rejected',
    error: new PermanentError('MESSAGE_REFUSED', 'no'),
    attempts: 3,
    route: 'first',
    target: 'kafka://a',
    bit: 1,
    params: { site: 'berlin' },
    requeues: 1,
    firstAt: 1000,
    lastAt: 2000,
    toForward: false,
    ...changes,
  }
}

function opened(directory = temporaryDirectory()): Store {
  const store = open(directory)
  store.outbox.route('first', ['a', 'b'])
  return store
}

async function added(store: Store, ...letters: Partial<DeadLetter>[]): Promise<number[]> {
  const ids: number[] = []
  for (const each of letters) store.deadLetters.add(letter(each), (id) => ids.push(id))
  await store.flushed()
  return ids
}

const whole = { after: 0, limit: 100 }

test('a letter is kept with all that is known of it', async () => {
  const directory = temporaryDirectory()
  const store = opened(directory)
  const [id = 0, bare = 0] = await added(store, {}, { target: undefined, bit: undefined, params: {}, toForward: true })
  store.close()
  const { deadLetters } = opened(directory)
  const { envelope, error, ...rest } = letter()
  const told = { code: 'MESSAGE_REFUSED', message: 'no' }
  expect(deadLetters.get(id)).toMatchObject({ ...rest, id, error: told, forwardedAt: undefined })
  expect(deadLetters.get(id)?.envelope.headers).toEqual(envelope.headers)
  expect(deadLetters.get(bare)).toMatchObject({ target: undefined, bit: undefined, params: {}, toForward: true })
  expect(deadLetters.get(99)).toBeUndefined()
})

test('a letter and the finish of its message are one transaction', async () => {
  const store = opened()
  const [id = 0] = await appended(store, {})
  const commits = store.stats.commits
  store.deadLetters.add(letter(), () => {})
  await finished(store, { id, dead: 'rejected' })
  expect(store.stats.commits - commits).toBe(1)
  expect([readAll(store).length, store.deadLetters.count({})]).toEqual([0, 1])
})

test('list and count go by what is asked', async () => {
  const now = Date.now()
  const store = opened()
  const [a = 0, b = 0, c = 0] = await added(
    store,
    { lastAt: now - 1_000_000 },
    { reason: 'expired', lastAt: now - 500_000, toForward: true },
    { route: 'second', lastAt: now },
  )
  const { deadLetters } = store
  const found = (query: Parameters<typeof deadLetters.count>[0]) => {
    const ids = deadLetters.list(query, whole).map(({ id }) => id)
    expect(deadLetters.count(query)).toBe(ids.length)
    return ids
  }
  expect(found({})).toEqual([a, b, c])
  expect(found({ route: 'first' })).toEqual([a, b])
  expect(found({ route: 'first', reason: 'expired' })).toEqual([b])
  expect(found({ ids: [c, a, 99] })).toEqual([a, c])
  expect(found({ ids: [] })).toEqual([])
  expect(found({ olderThanMs: 500_000 })).toEqual([a, b])
  expect(found({ youngerThanMs: 700_000 })).toEqual([b, c])
  expect(found({ toForward: true })).toEqual([b])
  expect(found({ route: 'none' })).toEqual([])
  expect(deadLetters.list({}, { after: a, limit: 1 }).map(({ id }) => id)).toEqual([b])
  expect(deadLetters.countsByRoute()).toEqual(new Map([['first', 2], ['second', 1]])) // biome-ignore format: a table
  expect(deadLetters.discard([a, b, 99])).toBe(2)
  expect(deadLetters.countsByRoute()).toEqual(new Map([['second', 1]]))
})

test('requeue moves letters to their routes, with one more requeue, and only those that are there', async () => {
  const directory = temporaryDirectory()
  const store = opened(directory)
  const urgent = message({ messageId: 'urgent', priority: 5, payload: null })
  const [a = 0, b = 0] = await added(store, {}, { envelope: urgent })
  const move = { route: 1, wanted: 2, dueAt: 0 }
  const commits = store.stats.commits
  expect(
    store.deadLetters.requeue([
      { id: a, ...move },
      { id: b, ...move },
      { id: a, ...move },
    ]),
  ).toEqual([1, 2])
  expect(store.stats.commits - commits).toBe(1)
  store.close()
  const again = opened(directory)
  expect(again.deadLetters.count({})).toBe(0)
  const rows = readAll(again, { bit: 2 })
  expect(idsOf(rows)).toEqual(['urgent', 'dead'])
  expect(rows[1]).toMatchObject({ requeues: 2, wanted: 2, done: 0, params: { site: 'berlin' } })
  expect(rows[1]?.receivedAt).toBeGreaterThan(Date.now() - 60_000) // its age in the store begins anew
  expect([rows[0]?.envelope.payload, rankOf(rows[0]?.id ?? 0)]).toEqual([null, 5])
})

test('what is requeued for later waits until it is woken, and then goes behind all that waits', async () => {
  const store = opened()
  const ids = await added(store, {}, { envelope: message({ messageId: 'later' }) })
  const soon = Date.now() + 60_000
  store.deadLetters.requeue(ids.map((id, i) => ({ id, route: 1, wanted: 1, dueAt: soon + i })))
  await appended(store, { envelope: message({ messageId: 'fresh' }) })
  expect([idsOf(readAll(store)), store.outbox.waiting(1).count]).toEqual([['fresh'], 3])
  expect(store.outbox.nextDueAt(1)).toBe(soon)
  expect(store.outbox.wake(1, soon - 1)).toBe(0)
  expect(store.outbox.wake(1, soon)).toBe(1)
  expect(idsOf(readAll(store))).toEqual(['fresh', 'dead'])
  expect(store.outbox.ends(1)).toEqual([readAll(store)[1]?.id])
  expect(store.outbox.nextDueAt(1)).toBe(soon + 1)
  expect([store.outbox.wake(1, soon + 1), store.outbox.nextDueAt(1)]).toEqual([1, undefined])
})

test('what was noted of a message that was woken is forgotten with it, and does not hold later ones of its key down', async () => {
  const directory = temporaryDirectory()
  const store = opened(directory)
  const keyed = (priority: number) => ({ envelope: message({ key: 'k', priority }), key: 'k' })
  const [seen = 0] = await appended(store, keyed(1))
  await finished(store, { id: seen })
  const [dead = 0] = await added(store, { envelope: message({ key: 'k' }) })
  const soon = Date.now() + 60_000
  store.deadLetters.requeue([{ id: dead, route: 1, wanted: 1, dueAt: soon }])
  store.outbox.wake(1, soon)
  await finished(store, { id: readAll(store)[0]?.id ?? 0 })
  const [urgent = 0] = await appended(store, keyed(9))
  expect(rankOf(urgent)).toBe(9)
  await finished(store, { id: urgent })
  store.close()
  const again = opened(directory)
  await appended(again, keyed(1), keyed(1), keyed(1), keyed(1))
  expect([again.outbox.waiting(1).count, again.isFull]).toEqual([4, false])
})

test('a target that was done with a delayed message does not get it when it is due', async () => {
  const store = opened()
  const [dead = 0] = await added(store, {})
  const soon = Date.now() + 60_000
  store.deadLetters.requeue([{ id: dead, route: 1, wanted: 3, dueAt: soon }])
  const isSuch = () => true
  const [{ id } = { id: 0 }] = store.outbox.waitingLongest(1, 1, { limit: 1, isSuch })
  await finished(store, { id, wanted: 3, bits: 1, dead: 'expired' })
  store.outbox.wake(1, soon)
  expect([readAll(store), idsOf(readAll(store, { bit: 2 }))]).toEqual([[], ['dead']])
})

test('edit replaces the message of a letter', async () => {
  const store = opened()
  const [id = 0] = await added(store, {})
  expect(store.deadLetters.edit(id, message({ messageId: 'mended', payload: Buffer.from('new') }))).toBe(true)
  expect(store.deadLetters.edit(99, message())).toBe(false)
  const found = store.deadLetters.get(id)
  expect([found?.envelope.messageId, Buffer.from(found?.envelope.payload ?? []).toString()]).toEqual(['mended', 'new'])
})

test('a letter that was forwarded, or refused, is not forwarded again', async () => {
  const store = opened()
  const [a = 0, b = 0, c = 0] = await added(store, { toForward: true }, { toForward: true }, { toForward: true })
  const at = Date.now()
  store.deadLetters.forwarded(a, 'confirmed')
  store.deadLetters.forwarded(b, 'refused')
  await store.flushed()
  expect(store.deadLetters.list({ toForward: true }, whole).map(({ id }) => id)).toEqual([c])
  expect(store.deadLetters.get(a)?.forwardedAt).toBeGreaterThanOrEqual(at)
  expect(store.deadLetters.get(b)).toMatchObject({ forwardedAt: undefined, toForward: false })
})

test('of forwarded letters the newest 10,000 stay', async () => {
  const store = opened()
  const clock = jest.spyOn(Date, 'now')
  try {
    const envelope = message({ payload: null })
    const ids = await added(store, ...Array.from({ length: 10_003 }, () => ({ envelope })))
    for (const [i, id] of ids.slice(1).entries()) {
      clock.mockReturnValue(1_000_000 + i)
      store.deadLetters.forwarded(id, 'confirmed')
    }
    await store.flushed()
    expect(store.deadLetters.count({})).toBe(10_001)
    expect(store.deadLetters.list({}, { after: 0, limit: 2 }).map(({ id }) => id)).toEqual([ids[0], ids[3]])
  } finally {
    clock.mockRestore()
  }
})

test('what is pending is committed before a command of its own', () => {
  const store = opened()
  const calls: string[] = []
  append(store, { safe: () => calls.push('safe') })
  store.deadLetters.discard([])
  expect([calls, readAll(store).length]).toEqual([['safe'], 1])
})
