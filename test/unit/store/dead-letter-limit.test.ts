import { expect, test } from '@jest/globals'
import { PermanentError } from '../../../src/errors.ts'
import type { Burial, Store } from '../../../src/store/contract.ts'
import type { DeadLetter, DeadLetterLimit } from '../../../src/store/dead-letters.ts'
import { eventually } from '../../support/poll.ts'
import { appended, idsOf, message, open, readAll, temporaryDirectory } from './stores.ts'

/** About 900 bytes on disk. */
const letter = (messageId: string, changes: Partial<DeadLetter> = {}): DeadLetter => ({
  envelope: message({ messageId, payload: Buffer.alloc(300) }),
  reason: 'rejected',
  error: new PermanentError('MESSAGE_REFUSED', 'no'),
  ...{ attempts: 1, route: 'first', target: undefined, bit: 1, params: {}, requeues: 0, toForward: false },
  ...{ firstAt: 1000, lastAt: Date.now() },
  ...changes,
})

function opened(limit: Partial<DeadLetterLimit>, directory = temporaryDirectory()): Store {
  const store = open(directory, { deadLetters: { maxBytes: 3_000, onFull: 'wait', ...limit } })
  store.outbox.route('first', ['a'])
  return store
}

/** Adds letters `0`, `1`, …; the ids of those that are on disk gather in the answer. */
function add(store: Store, count: number, burial: Burial = {}, changes: Partial<DeadLetter> = {}): number[] {
  const safe: number[] = []
  for (let i = 0; i < count; i += 1) {
    store.deadLetters.add(letter(String(i), changes), (id) => safe.push(id), burial)
  }
  return safe
}

const kept = (store: Store) => idsOf(store.deadLetters.list({}, { after: 0, limit: 100 }))

test('wait: letters beyond the limit wait, in order, until some are gone', async () => {
  const store = opened({})
  const safe = add(store, 8)
  await store.flushed()
  expect(kept(store)).toEqual(['0', '1', '2'])
  expect(store.deadLetters.figures).toMatchObject({ held: 5, dropped: 0, maxBytes: 3_000 })
  expect(store.deadLetters.figures.bytes).toBeLessThanOrEqual(3_000)
  store.deadLetters.discard(safe.slice(0, 2))
  await eventually(() => kept(store).length === 3, { what: 'two more' })
  expect([kept(store), store.deadLetters.figures.held]).toEqual([['2', '3', '4'], 3])
})

test('wait: the end of a message goes with its letter, also when that has waited', async () => {
  const store = opened({ maxBytes: 1 })
  const [id = 0] = await appended(store, {})
  const [first = 0] = await filled(store, 1)
  add(store, 1, {
    admitted: () =>
      store.outbox.finish({
        id,
        route: 1,
        wanted: 1,
        bits: 1,
        dead: 'rejected',
        ended() {},
      }),
  })
  await store.flushed()
  expect([readAll(store).length, kept(store)]).toEqual([1, ['0']])
  store.deadLetters.discard([first])
  await eventually(() => store.deadLetters.figures.held === 0, { what: 'room' })
  await store.flushed()
  expect([readAll(store).length, kept(store)]).toEqual([0, ['0']])
})

test('wait: as the gateway ends, what waits is given back, and so is what comes then', async () => {
  const store = opened({})
  let released = 0
  const burial = {
    released() {
      released += 1
    },
  }
  add(store, 5, burial)
  await store.flushed()
  store.stopWaiting()
  expect(released).toBe(2)
  add(store, 1, burial)
  expect(released).toBe(3)
})

test('one letter is taken whatever its size where there is none', async () => {
  for (const onFull of ['wait', 'dropOldest'] as const) {
    const store = opened({ maxBytes: 10, onFull })
    expect(await filled(store, 1)).toHaveLength(1)
    expect(kept(store)).toEqual(['0'])
  }
})

test('one letter is taken whatever its size where all others have been forwarded', async () => {
  const store = opened({})
  const ids = await filled(store, 2, { toForward: true })
  for (const id of ids) store.deadLetters.forwarded(id, 'confirmed')
  await store.flushed()
  await filled(store, 1, { envelope: message({ messageId: 'large', payload: Buffer.alloc(9_000) }) })
  expect([kept(store), store.deadLetters.figures.held]).toEqual([['large'], 0])
})

test('one letter above the limit is taken beside others, and those behind it wait', async () => {
  const store = opened({})
  add(store, 1)
  const large = message({ messageId: 'large', payload: Buffer.alloc(5_000) })
  const safe = add(store, 1, {}, { envelope: large })
  add(store, 1)
  await store.flushed()
  expect(kept(store)).toEqual(['0', 'large'])
  expect(store.deadLetters.figures.held).toBe(1)
  store.deadLetters.discard(safe)
  await eventually(() => store.deadLetters.figures.held === 0, { what: 'the one behind it' })
})

test('an edit that makes a letter smaller makes room', async () => {
  const store = opened({ maxBytes: 12_000 })
  const [id = 0] = await filled(store, 1, { envelope: message({ messageId: '0', payload: Buffer.alloc(11_000) }) })
  add(store, 1)
  expect(store.deadLetters.figures.held).toBe(1)
  store.deadLetters.edit(id, message({ messageId: '0', payload: Buffer.alloc(10) }))
  await eventually(() => kept(store).length === 2, { what: 'the one that waited' })
})

test('dropOldest: the newest are kept within the limit, and what went is counted', async () => {
  const store = opened({ onFull: 'dropOldest' })
  await filled(store, 500)
  expect(kept(store)).toEqual(['497', '498', '499'])
  expect(store.deadLetters.figures).toMatchObject({ held: 0, dropped: 497 })
  expect(store.deadLetters.count({})).toBe(3)
})

test.each(['wait', 'dropOldest'] as const)('%s: letters that have been forwarded give way first', async (onFull) => {
  const store = opened({ onFull })
  const ids = await filled(store, 3, { toForward: true })
  store.deadLetters.forwarded(ids[1] ?? 0, 'confirmed')
  await store.flushed()
  await filled(store, 1, { envelope: message({ messageId: 'new', payload: Buffer.alloc(300) }) })
  expect(kept(store)).toEqual(['0', '2', 'new'])
  expect(store.deadLetters.figures).toMatchObject({ held: 0, dropped: 0 })
})

test('what is too old goes, and makes room', async () => {
  const store = opened({})
  await filled(store, 3, { lastAt: Date.now() - 60_000 })
  add(store, 2)
  expect(store.deadLetters.figures.held).toBe(2)
  expect(store.deadLetters.expire(Date.now() - 30_000)).toBe(3)
  await eventually(() => kept(store).length === 2, { what: 'those that waited' })
  expect(store.deadLetters.figures).toMatchObject({ held: 0, expired: 3 })
})

test('the bytes are the same after a restart, an edit and a discard', async () => {
  const directory = temporaryDirectory()
  const first = opened({}, directory)
  const ids = await filled(first, 3)
  first.deadLetters.edit(ids[0] ?? 0, message({ payload: Buffer.alloc(20) }))
  first.deadLetters.discard([ids[1] ?? 0])
  const { bytes } = first.deadLetters.figures
  first.close()
  expect(opened({}, directory).deadLetters.figures.bytes).toBe(bytes)
})

async function filled(store: Store, count: number, changes: Partial<DeadLetter> = {}): Promise<number[]> {
  const safe = add(store, count, {}, changes)
  await store.flushed()
  return safe
}
