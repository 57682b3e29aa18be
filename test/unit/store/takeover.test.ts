/**
 * Stores of earlier formats, as a process of that version left them when it was killed: 1 from 6b39c47 (a row a message), 2 from eb45ae2
 * (bundles as rows), 3 from 329c77c (the spool), 4 from 226b017 and 5 from 1a18cf8 (the spool; other tables changed). See formats/make.ts.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { gunzipSync } from 'node:zlib'
import { expect, test } from '@jest/globals'
import type { Store, StoredMessage } from '../../../src/store/contract.ts'
import { sequenceOf } from '../../../src/store/contract.ts'
import { appended, finished, idsOf, open, readAll, temporaryDirectory } from './stores.ts'

const formats = [1, 2, 3, 4, 5] as const
type Format = (typeof formats)[number]

function left(format: Format): string {
  const directory = temporaryDirectory()
  const packed = readFileSync(join(import.meta.dirname, 'formats', `format-${format}.json.gz`))
  const files = JSON.parse(gunzipSync(packed).toString()) as Record<string, string>
  for (const [name, content] of Object.entries(files))
    writeFileSync(join(directory, name), Buffer.from(content, 'base64'))
  return directory
}

const plain = ({
  id: _id,
  envelope,
  route: _route,
  receivedAt: _receivedAt,
  bytes: _bytes,
  ...rest
}: StoredMessage) => ({
  ...{ ...rest, messageId: envelope.messageId, payload: envelope.payload && Buffer.from(envelope.payload).toString() },
})

const usual = {
  ...{ wanted: 1, done: 0, starts: 0, requeues: 0, attempts: undefined, isDamaged: false, params: { site: 'berlin' } },
}
const known = (messageId: string, more: object = {}) => ({
  ...{ ...usual, messageId, payload: `body of ${messageId}`, ...more },
})

const named = (store: Store) => store.outbox.route('first', ['a', 'b'])

test.each(formats)('format %i is taken over with all that waits in it, and what was noted of that', async (format) => {
  const directory = left(format)
  const store = open(directory)
  expect(named(store)).toEqual({ route: 1, bits: [1, 2] })
  const attempts = new Map([[1, { attempts: 2, failures: 3, dueAt: 5, notedAt: 4 }]])
  const marked = known('marked', { starts: 1 })
  expect(readAll(store).map(plain)).toEqual([known('row', { attempts }), known('empty', { payload: null }), marked])
  const done = { wanted: 3, done: 1 }
  expect(readAll(store, { bit: 2 }).map(plain)).toEqual([known('both', done), known('refused', done)])
  expect(idsOf(readAll(store, { route: 2 }))).toEqual(['second', 'soon-0', 'soon-2', 'soon-3', 'soon-4'])
  expect(Buffer.from(readAll(store)[1]?.envelope.key ?? '')).toEqual(Buffer.of())
  expect(readAll(store)[0]?.envelope.headers).toEqual({ h: ['1', '2'] })
  expect([store.outbox.waiting(1).count, store.outbox.waiting(2).count, store.outbox.total.count]).toEqual([6, 5, 11])
  if (format === 5) expect(readAll(store)[0]?.receivedAt).toBe(1_000) // earlier ones had the time of the hand-over
  expect(idsOf(store.deadLetters.list({}, { after: 0, limit: 9 }))).toEqual(['letter'])
  expect([...store.kept.all('c', 's')].map(([key, value]) => `${key}=${Buffer.from(value)}`)).toEqual(['k=v'])
  expect(store.outbox.recoveredUpTo).toBeGreaterThanOrEqual(sequenceOf(readAll(store, { route: 2 })[4]?.id ?? 0))
})

test.each(formats)(
  'of format %i what is delayed comes when it is due, and the first reason is remembered',
  async (format) => {
    const store = open(left(format))
    named(store)
    expect(store.outbox.nextDueAt(1)).toBe(4_000_000_000_000)
    expect(store.outbox.wake(1, 4_000_000_000_000)).toBe(1)
    expect(idsOf(readAll(store))).toEqual(['row', 'empty', 'marked', 'delayed'])
    expect(readAll(store).at(-1)?.requeues).toBe(1)
    const ends = readAll(store, { bit: 2 }).map(({ id }) => ({ id, wanted: 3, bits: 2 }))
    expect(await finished(store, ...ends)).toEqual([undefined, 'rejected'])
    expect(await finished(store, ...readAll(store))).toHaveLength(4)
    expect(store.outbox.waiting(1)).toEqual({ count: 0, bytes: 0, oldestAt: undefined })
  },
)

test.each(formats)('of format %i nothing is left behind, and the next start finds the same', async (format) => {
  const directory = left(format)
  const first = open(directory)
  const before = [1, 2].map((route) => readAll(first, { route }).map(plain))
  first.close()
  expect(readdirSync(directory).sort()).toEqual(['reserve', 'trivium.db'])
  const database = new DatabaseSync(join(directory, 'trivium.db'))
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all()
  expect(tables.map(({ name }) => name)).not.toEqual(expect.arrayContaining(['outbox']))
  database.close()
  const again = open(directory)
  expect([1, 2].map((route) => readAll(again, { route }).map(plain))).toEqual(before)
  const [id = 0] = await appended(again, {})
  expect(readAll(again).at(-1)?.id).toBe(id)
})

test('a spool that was damaged since is refused, by name, and nothing is changed', () => {
  for (const change of ['record', 'missing'] as const) {
    const directory = left(5)
    const file = join(directory, 'spool-1')
    const sound = readFileSync(file)
    const bytes = Buffer.from(sound)
    bytes[4096 + 100] = (bytes[4096 + 100] as number) ^ 1
    writeFileSync(file, change === 'record' ? bytes : Buffer.of())
    const told = expect.stringMatching(/spool-1 is damaged: .*Copy the directory away/)
    expect(() => open(directory)).toThrow(expect.objectContaining({ code: 'STORE_DAMAGED', message: told }))
    expect(existsSync(join(directory, 'spool-0'))).toBe(true)
    writeFileSync(file, sound)
    expect(idsOf(readAll(open(directory), { route: 2 }))).toContain('soon-0')
  }
})

test('messages between whose ids there are more than four thousand million others are taken over', () => {
  const directory = left(5)
  const database = new DatabaseSync(join(directory, 'trivium.db'))
  const last = 'SELECT max(id) AS id FROM outbox WHERE route = 1 AND due = 0'
  const { id } = database.prepare(last).get() as { id: number }
  database.prepare('UPDATE outbox SET id = id + ? WHERE id = ?').run(2 ** 33, id)
  database.close()
  const store = open(directory)
  named(store)
  expect([readAll(store).length + readAll(store, { bit: 2 }).length, store.outbox.waiting(1).count]).toEqual([5, 6])
})
