/**
 * Makes a store as an earlier version left it when it was killed: `node make.ts <src of that version> <file>`. The version is checked out
 * beside this one, e.g. by `git archive <commit> src | tar x -C <folder>`; takeover.test.ts says what is in there, and which commits these were.
 */
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'

const [src = '', file = ''] = process.argv.slice(2)
const load = (path: string) => import(join(resolve(src), path))
const { openStore } = await load('store/store.ts')
const { PermanentError } = await load('errors.ts')
const { Envelope } = await load('envelope/envelope.ts')

const directory = mkdtempSync(join(tmpdir(), 'trivium-format-'))
const log = { debug() {}, info() {}, warn() {}, error() {} }
const store = openStore({ directory, maxBytes: 2 ** 30, log, onFatal() {} })
const { route } = store.outbox.route('first', ['a', 'b'])
store.outbox.route('second', ['a'])

const envelopeOf = (messageId: string, priority?: number) => {
  const headers = { h: ['1', '2'] }
  const payload = messageId === 'empty' ? null : Buffer.from(`body of ${messageId}`)
  return new Envelope({ messageId, priority, headers, payload, timestamp: '2026-01-01T00:00:00Z', source: 'test://a' })
}

/** In transactions of their own; resolves with the id and what it takes up. */
async function add(messageId: string, more: object = {}, priority?: number): Promise<[id: number, bytes: number]> {
  const stored = Promise.withResolvers<[number, number]>()
  store.outbox.append({
    ...{ route, envelope: envelopeOf(messageId, priority), params: { site: 'berlin' }, wanted: 1, key: 'k' },
    ...{ receivedAt: 1_000, safe: (...all: [number, number]) => stored.resolve(all), duplicate() {}, released() {} },
    ...more,
  })
  return stored.promise
}

function finish([id, bytes]: [number, number], wanted: number, bits: number, dead?: string): void {
  store.outbox.finish({ id, route, bytes, wanted, bits, dead, hasAttempts: wanted !== bits, ended() {} })
}

function bury(messageId: string): Promise<number> {
  const error = new PermanentError('MESSAGE_REFUSED', 'no')
  const letter = {
    envelope: envelopeOf(messageId),
    error,
    reason: 'rejected',
    attempts: 1,
    route: 'first',
    target: 'a',
  }
  const rest = { bit: 1, params: {}, requeues: 0, firstAt: 1, lastAt: 2, toForward: false }
  return new Promise((safe) => store.deadLetters.add({ ...letter, ...rest }, safe))
}

await add('second', { route: 2 })
const soon = { leavesSoon: true }
const row = await add('row')
const both = await add('both', { wanted: 3 })
const refused = await add('refused', { wanted: 3 })
await add('empty', { key: Buffer.from([0, 255]) })
const marked = await add('marked', { key: 'm' })
store.outbox.markStart([marked[0]])
finish(await add('gone'), 1, 1)
finish(both, 3, 1)
finish(refused, 3, 1, 'rejected')
store.outbox.attempted(row[0], 1, { attempts: 2, failures: 3, dueAt: 5, notedAt: 4 })
await bury('letter')
const delayed = await bury('delayed')
store.deadLetters.requeue([{ id: delayed, route, wanted: 1, dueAt: 4_000_000_000_000 }])
store.kept.put('c', 's', 'k', Buffer.from('v'))
await store.flushed()
// last of all, so that nothing unpacks them
const left = [...Array(5).keys()].map((n) => add(`soon-${n}`, { ...soon, route: 2, key: `k${n}` }))
const [, second] = await Promise.all(left)
const [id, bytes] = second as [number, number]
store.outbox.finish({ id, route: 2, bytes, wanted: 1, bits: 1, hasAttempts: false, ended() {} })
await store.flushed()

const files = readdirSync(directory).filter((name) => name !== 'reserve')
const contents = files.map((name) => [name, readFileSync(join(directory, name)).toString('base64')])
writeFileSync(file, gzipSync(JSON.stringify(Object.fromEntries(contents)), { level: 9 }))
process.kill(process.pid, 'SIGKILL')
