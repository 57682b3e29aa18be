import { execFileSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, jest, test } from '@jest/globals'
import { PermanentError } from '../../../src/errors.ts'
import type { Store } from '../../../src/store/contract.ts'
import { eventually } from '../../support/poll.ts'
import { append, appended, finished, idsOf, message, onCleanup, open, readAll, temporaryDirectory } from './stores.ts'

const withinMs = 30_000
const payload = (bytes: number) => ({ envelope: message({ payload: Buffer.alloc(bytes) }) })

function watched(directory: string, maxBytes = 2 ** 30) {
  const store = open(directory, { maxBytes })
  store.outbox.route('first', ['a'])
  const changes: [boolean, string][] = []
  store.onFull((isFull, why) => changes.push([isFull, why]))
  return { store, changes }
}

function deadLetter(store: Store, safe: () => void): void {
  const letter = { reason: 'store-full', attempts: 0, route: 'first', target: undefined, bit: undefined } as const
  const rest = { params: {}, requeues: 0, firstAt: 0, lastAt: 0, toForward: false }
  const error = new PermanentError('STORE_FULL', 'full')
  store.deadLetters.add({ ...letter, ...rest, envelope: message(), error }, safe)
}

test('beyond the limit appends wait, in order, while everything else goes on; a finish lets them in', async () => {
  const { store, changes } = watched(temporaryDirectory(), 30_000)
  const ids = await appended(store, payload(10_000), payload(10_000), payload(10_000))
  expect([ids.length, store.isFull, changes]).toEqual([3, false, []])
  const calls: string[] = []
  for (const name of ['4', '5']) append(store, { ...payload(5000), safe: () => calls.push(name) })
  deadLetter(store, () => calls.push('letter'))
  store.kept.put('c', 's', 'k', Buffer.from('v'))
  await store.flushed()
  expect([calls, store.isFull]).toEqual([['letter'], true])
  expect(changes).toEqual([[true, 'it holds 3 messages of 31 KiB, its limit is 29 KiB']])
  append(store, { ...payload(1), safe: () => calls.push('6') })
  expect(await finished(store, ...ids.slice(0, 2).map((id) => ({ id })))).toEqual([undefined, undefined])
  await eventually(() => calls.length === 4, { withinMs, what: 'all are in' })
  expect(calls).toEqual(['letter', '4', '5', '6'])
  expect([store.isFull, changes.at(-1)?.[0]]).toEqual([false, false])
})

test('of a burst that comes at once only what there is room for goes in, and the rest one by one as room is made', async () => {
  const { store } = watched(temporaryDirectory(), 30_000)
  const ids: number[] = []
  for (let count = 0; count < 100; count += 1) append(store, { ...payload(1000), safe: (id) => ids.push(id) })
  await store.flushed()
  expect([store.isFull, ids.length]).toEqual([true, 20]) // of about 1,500 bytes each: one passes the limit, none more
  const first = ids.splice(0)
  await finished(store, ...first.slice(0, 10).map((id) => ({ id })))
  await eventually(() => ids.length > 0, { withinMs, what: 'room was used' })
  expect(ids).toHaveLength(10)
})

test('copies of one message for several routes go in together, or not at all', async () => {
  const directory = temporaryDirectory()
  const { store } = watched(directory, 28_000)
  const keep = { connection: 'devices', entry: { space: 'incoming', key: 'c/7', value: Buffer.of(1) } }
  const answers: (number | 'duplicate' | 'released')[] = []
  for (let pair = 0; pair < 20; pair += 1) {
    const copy = { ...payload(1000), keep }
    append(store, copy, answers)
    append(store, copy, answers)
  }
  await store.flushed()
  expect([store.isFull, answers.length]).toEqual([true, 20]) // of about 1,500 bytes each: the limit lies between the two of the last message
  await finished(store, ...answers.slice(0, 3).map((id) => ({ id: id as number })))
  await eventually(() => answers.length > 20, { withinMs, what: 'room was used' })
  expect(answers.length).toBe(22)
})

test('a store that is nearly full takes of a burst what fits', async () => {
  const { store } = watched(temporaryDirectory(), 100_000)
  await appended(store, payload(95_500))
  expect(store.isFull).toBe(false)
  const ids: number[] = []
  for (let n = 0; n < 5; n += 1) append(store, { ...payload(1000), safe: (id) => ids.push(id) })
  await store.flushed()
  expect([store.isFull, ids.length]).toEqual([true, 3])
})

test('a full store opens again once a part of it is free, not with every message', async () => {
  const { store, changes } = watched(temporaryDirectory(), 100_000)
  const ids: number[] = []
  while (!store.isFull) {
    append(store, { ...payload(1000), safe: (id) => ids.push(id) })
    await store.flushed()
  }
  for (const id of ids.slice(0, 2)) await finished(store, { id })
  expect([store.isFull, changes.length]).toEqual([true, 1])
  await finished(store, ...ids.slice(2, 20).map((id) => ({ id })))
  await eventually(() => !store.isFull, { withinMs, what: 'it has room again' })
})

test('as the gateway ends, appends without room are given back at once, in order, those to come too', async () => {
  const { store, changes } = watched(temporaryDirectory(), 30_000)
  await appended(store, payload(10_000), payload(10_000), payload(10_000))
  const calls: string[] = []
  const add = (name: string) => append(store, { ...payload(5_000), released: () => calls.push(name) })
  for (const name of ['4', '5']) add(name)
  await store.flushed()
  expect([calls, changes.length]).toEqual([[], 1])
  store.stopWaiting()
  expect(calls).toEqual(['4', '5'])
  add('6')
  await store.flushed()
  expect(calls).toEqual(['4', '5', '6'])
})

test('appends that wait for room when the store is closed are not called back', async () => {
  const { store } = watched(temporaryDirectory(), 1000)
  await appended(store, payload(2000))
  const calls: unknown[] = []
  append(store, { safe: (id) => calls.push(id), duplicate: () => calls.push('duplicate') })
  store.close()
  expect(calls).toEqual([])
})

test('after a failure of the disk nothing is committed or called back any more, and it is told once', async () => {
  const { store } = watched(temporaryDirectory())
  const [id = 0] = await appended(store, {})
  const commits = store.stats.commits
  const begin = failing(() => Object.assign(new Error('disk I/O error'), { code: 'ERR_SQLITE_ERROR', errcode: 1034 }))
  const calls: unknown[] = []
  append(store, { safe: (each) => calls.push(each) })
  await expect(store.flushed()).rejects.toMatchObject({ code: 'STORE_FAILED' })
  begin.mockRestore()
  append(store, { safe: (each) => calls.push(each) })
  store.outbox.finish({
    id,
    route: 1,
    wanted: 1,
    bits: 1,
    ended: () => calls.push('ended'),
  })
  await expect(store.flushed()).rejects.toMatchObject({ code: 'STORE_FAILED' })
  expect(() => store.outbox.markStart(1, [id])).toThrow(expect.objectContaining({ code: 'STORE_FAILED' }))
  store.close()
  expect([calls, store.stats.commits - commits]).toEqual([[], 0])
  expect((store as ReturnType<typeof open>).fatal).toMatchObject([{ code: 'STORE_FAILED', retryable: false }])
})

/** Every statement that writes messages fails from now on. */
function failing(error: () => Error) {
  const { StatementSync } = statementClass()
  const run = StatementSync.prototype.run
  return jest.spyOn(StatementSync.prototype, 'run').mockImplementation(function (this: unknown, ...values: unknown[]) {
    if (values.length > 5) throw error()
    return Reflect.apply(run, this, values)
  } as never)
}

function statementClass() {
  const database = new DatabaseSync(':memory:')
  const StatementSync = database.prepare('SELECT 1').constructor as { prototype: { run(): unknown } }
  database.close()
  return { StatementSync }
}

/** A disk of its own; undefined where this machine does not permit it. */
function smallDisk(size: string): string | undefined {
  const directory = temporaryDirectory()
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', directory], { stdio: 'pipe' })
  } catch {
    return undefined
  }
  onCleanup(() => execFileSync('umount', ['-l', directory]))
  return directory
}

function onSmallDisk(title: string, run: (directory: string) => Promise<void>, size = '16m'): void {
  test(title, async () => {
    const directory = smallDisk(size)
    if (directory === undefined) return process.stderr.write(`skipped, no disk may be mounted here: ${title}\n`)
    return run(directory)
  })
}

function fillToTheLastByte(file: string, { except = 0 } = {}): void {
  const handle = openSync(file, 'w')
  try {
    for (;;) writeSync(handle, Buffer.alloc(4096))
  } catch (error) {
    expect(error).toMatchObject({ code: 'ENOSPC' })
  } finally {
    closeSync(handle)
  }
  truncateSync(file, statSync(file).size - except)
}

/** Ids of what went in; one more waits. */
async function fillUp(store: Store): Promise<{ ids: number[] }> {
  const ids: number[] = []
  for (let n = 0; !store.isFull && n < 1000; n++) {
    append(store, {
      envelope: message({ messageId: `${n}`, payload: Buffer.alloc(50_000, n) }),
      safe: (id) => ids.push(id),
    })
    await store.flushed()
  }
  return { ids }
}

onSmallDisk('on a full disk appends wait, and deliveries and dead letters are still noted', async (directory) => {
  const { store, changes } = watched(directory)
  const { ids } = await fillUp(store)
  expect(changes).toEqual([[true, 'the disk is full']])
  expect(existsSync(join(directory, 'reserve'))).toBe(false)
  expect(readAll(store).map(({ id }) => id)).toEqual(ids)
  const calls: string[] = []
  for (let n = 0; n < 20; n++) deadLetter(store, () => calls.push('letter'))
  await store.flushed()
  expect(calls).toHaveLength(20)
  store.outbox.attempted(1, ids[5] as number, 1, { attempts: 1, failures: 1, dueAt: 1, notedAt: 2 })
  for (const id of [...ids]) expect(await finished(store, { id })).toEqual([undefined])
  await eventually(() => !store.isFull, { withinMs, what: 'appends go on in the room that was freed' })
  expect(readAll(store)).toHaveLength(1)
  expect((store as ReturnType<typeof open>).fatal).toEqual([])
})

onSmallDisk('a message for which the disk has no room waits, and what came with it does not', async (directory) => {
  const { store, changes } = watched(directory)
  const [id = 0] = await appended(store, {})
  const calls: string[] = []
  append(store, { ...payload(14 * 1024 ** 2), safe: () => calls.push('large') })
  append(store, { safe: () => calls.push('small') })
  deadLetter(store, () => calls.push('letter'))
  await finished(store, { id })
  expect([calls, store.isFull, readAll(store)]).toEqual([['letter'], true, []])
  store.kept.put('c', 's', 'k', Buffer.from('v'))
  await store.flushed() // it was tried again by this
  expect([calls, changes]).toEqual([['letter'], [[true, 'the disk is full']]])
  execFileSync('mount', ['-o', 'remount,size=64m', directory])
  await eventually(() => calls.length === 3, { withinMs, what: 'the disk has grown' })
  expect(calls).toEqual(['letter', 'large', 'small'])
  await eventually(() => !store.isFull, { withinMs, what: 'it is no longer full' })
  expect(changes.map(([isFull]) => isFull)).toEqual([true, false])
})

onSmallDisk(
  'in room that deliveries free inside the file, more than the log could take goes in by pieces',
  async (directory) => {
    const { store } = watched(directory)
    const { ids } = await fillUp(store)
    fillToTheLastByte(join(directory, 'foreign'), { except: 5 * 1024 ** 2 })
    const safe: number[] = []
    for (let n = 0; n < 90; n += 1) append(store, { ...payload(90_000), safe: (id) => safe.push(id) })
    await finished(store, ...ids.map((id) => ({ id })))
    await eventually(() => safe.length === 90, { withinMs, what: 'all are in' })
    expect(readAll(store)).toHaveLength(91) // and the one that found the disk full
  },
  '32m',
)

onSmallDisk('what a full disk holds can be opened again and delivered', async (directory) => {
  const { store } = watched(directory)
  const { ids } = await fillUp(store)
  store.close()
  const again = watched(directory).store
  expect(readAll(again).map(({ id }) => id)).toEqual(ids)
  await finished(again, ...ids.map((id) => ({ id })))
  expect(idsOf(readAll(again))).toEqual([])
  expect(await appended(again, {})).toHaveLength(1)
})

onSmallDisk(
  'on a disk that is full to its last byte, what has to be noted is, in the room of the log',
  async (directory) => {
    const first = watched(directory).store
    const many = await appended(first, ...Array.from({ length: 60 }, () => payload(50_000)))
    await finished(first, ...many.map((id) => ({ id })))
    first.close() // its file has free pages now, and no log
    const { store } = watched(directory)
    const ids = await appended(store, ...Array.from({ length: 20 }, () => payload(50_000)))
    rmSync(join(directory, 'reserve'))
    fillToTheLastByte(join(directory, 'foreign'))
    for (let n = 0; n < 500; n++) store.outbox.markStart(1, ids)
    expect(readAll(store).map(({ starts }) => starts)).toEqual(ids.map(() => 500))
  },
)

const ofPages = async (directory: string) => {
  const { store } = watched(directory)
  const ids: number[] = []
  for (let n = 0; n < 40; n += 1) {
    const many = Array.from({ length: 40 }, () => payload(300))
    ids.push(...(await appended(store, ...many)))
  }
  fillToTheLastByte(join(directory, 'foreign'))
  for (let n = 0; n < 200 && !store.isFull; n += 1) {
    append(store, { ...payload(50_000), safe: (id) => ids.push(id) })
    await store.flushed()
  }
  expect(store.isFull).toBe(true)
  fillToTheLastByte(join(directory, 'another'), { except: 512 * 1024 }) // most of what the reserve gave
  expect(readAll(store).map(({ id }) => id)).toEqual(ids)
  await finished(store, ...ids.slice(0, 100).map((id) => ({ id })))
  expect(readAll(store)).toHaveLength(ids.length - 100)
}
onSmallDisk('what is in pages can be read and opened on a disk that others fill again', ofPages, '40m')

onSmallDisk('when somebody else frees the disk, appends go on, and the reserve is there before', async (directory) => {
  writeFileSync(join(directory, 'foreign'), Buffer.alloc(8 * 1024 ** 2))
  const { store, changes } = watched(directory)
  await fillUp(store)
  expect(store.isFull).toBe(true)
  rmSync(join(directory, 'foreign'))
  await eventually(() => !store.isFull, { withinMs, what: 'appends go on' })
  expect(statSync(join(directory, 'reserve')).size).toBe(4 * 1024 ** 2)
  expect(changes.map(([isFull]) => isFull)).toEqual([true, false])
  expect(readdirSync(directory)).toContain('trivium.db')
})
