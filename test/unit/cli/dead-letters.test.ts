import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { PermanentError } from '../../../src/errors.ts'
import type { DeadLetter } from '../../../src/store/dead-letters.ts'
import { envelopeOf, letterOf, storeAt, waitingFor } from '../../support/gateway/dead-letters.ts'
import { registerCleanups } from './cleanups.ts'
import { trivium } from './command.ts'
import { named, siteWith as siteAt } from './dead-letters-site.ts'
import { folderWith } from './files.ts'

const afterwards = registerCleanups()
const siteWith = (letters: readonly DeadLetter[]) => siteAt(letters, afterwards)
const refused = new PermanentError('MESSAGE_REFUSED', 'out of stock')

describe('list and show', () => {
  test('a table, the oldest first, and where to go on', async () => {
    const { command } = await siteWith([named('a'), named('b', { reason: 'rejected', error: refused }), named('c')])
    const { code, stdout, stderr } = await command(['list', '--limit', '2'])
    expect(code).toBe(0)
    const [titles, ...rows] = stdout.trimEnd().split('\n')
    expect(titles).toMatch(/^ID +ROUTE +REASON +AGE +TRIES +BACK +ERROR$/)
    expect(rows).toHaveLength(2)
    expect(rows[1]).toMatch(/^2 +orders +rejected +\d+s +4 +0 +MESSAGE_REFUSED: out of stock$/)
    expect(stderr).toBe('2 of 3 dead letters (gateway shop); more with --after 2\n')
    const rest = await command(['list', '--after', '2', '--json'])
    expect(JSON.parse(rest.stdout)).toMatchObject({ deadLetters: [{ id: 3, messageId: 'c' }], total: 3 })
  })

  test('every filter narrows it; nothing found is 1', async () => {
    const { command } = await siteWith([named('a'), named('b', { reason: 'rejected', error: refused, attempts: 1 })])
    for (const filter of [
      ['--reason', 'rejected'],
      ['--where', "code == 'MESSAGE_REFUSED' AND payload.total > 12"],
    ]) {
      const { stdout } = await command(['list', '--json', ...filter])
      expect(JSON.parse(stdout).deadLetters.map(({ id }: { id: number }) => id)).toEqual([2])
    }
  })

  test('nothing a peer sent steers the terminal', async () => {
    const nasty = 'a\u001b]0;owned\u0007\u009b2J\r\u202etxt'
    const envelope = envelopeOf({
      ...{ messageId: nasty, source: nasty, destination: nasty, key: nasty, contentType: nasty, eventType: nasty },
      ...{ headers: { [nasty]: nasty, list: [nasty] }, payload: Buffer.from(`first\nsecond ${nasty}`) },
    })
    const error = new PermanentError('MESSAGE_REFUSED', nasty)
    const { command } = await siteWith([letterOf({ envelope, error, target: nasty, params: { site: nasty } })])
    for (const args of [['list'], ['list', '--json'], ['show', '1'], ['export']]) {
      const { code, stdout } = await command(args)
      expect(code).toBe(0)
      expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u)
      expect(stdout).toContain('\\u001b')
    }
    const { stdout } = await command(['show', '1'])
    expect(stdout).toContain('\nfirst\nsecond a\\u001b]')
  })

  test('--payload writes the very bytes; bytes that are no text are shown in hex', async () => {
    const payload = Buffer.from([0, 1, 255])
    const { command } = await siteWith([letterOf({ envelope: envelopeOf({ payload }) }), named('a')])
    expect((await command(['show', '1'])).stdout).toMatch(/payload, 3 bytes\n0{8} {2}00 01 ff +\.\.\.\n$/)
    expect((await command(['show', '2', '--payload'])).stdout).toBe('{"total":12.50}')
  })
})

describe('requeue', () => {
  test('one, some and all; each waits for its route once, in order', async () => {
    const { command, look } = await siteWith(['a', 'b', 'c', 'd', 'e'].map((id) => named(id)))
    const first = await command(['requeue', '3'])
    expect(first).toMatchObject({ code: 0, stdout: 'requeued 1 dead letter (gateway shop)\n' })
    expect(first.stderr).toContain('they will be sent when the gateway starts')
    expect(first.stderr).toMatch(/"audit":"dead-letters.requeue","origin":"cli [^"]+","count":1,"ids":"3"/)
    expect(await command(['requeue', '1', '2'])).toMatchObject({
      code: 0,
      stdout: 'requeued 2 dead letters (gateway shop)\n',
    })
    expect(await command(['requeue', '--all'])).toMatchObject({
      code: 0,
      stdout: 'requeued 2 dead letters (gateway shop)\n',
    })
    expect(look()).toMatchObject({ ids: [], waiting: ['c', 'a', 'b', 'd', 'e'] })
    expect(await command(['requeue', '--all'])).toMatchObject({ code: 1, stdout: '' })
  })

  test('a dry run changes nothing; --limit is exact; with --json the outcome is JSON', async () => {
    const { command, look } = await siteWith(['a', 'b', 'c'].map((id) => named(id)))
    const dry = await command(['requeue', '--route', 'orders', '--dry-run'])
    expect(dry).toMatchObject({
      code: 0,
      stdout: 'dry run: would requeue 3 dead letters (gateway shop)\n',
      stderr: '',
    })
    expect(look()).toMatchObject({ ids: [1, 2, 3], waiting: [] })
    const { code, stdout } = await command(['requeue', '--route', 'orders', '--limit', '2', '--json'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toEqual({ gateway: 'shop', requeued: 2, skipped: [], dryRun: false })
    expect(look()).toMatchObject({ ids: [3], waiting: ['a', 'b'] })
  })

  test('1, and why, for what came back too often; --force sends it', async () => {
    const { command, look } = await siteWith([named('a'), named('b', { requeues: 3 }), named('c', { route: 'gone' })])
    const { code, stdout, stderr } = await command(['requeue', '--all'])
    expect({ code, stdout }).toEqual({ code: 1, stdout: 'requeued 1 dead letter (gateway shop), skipped 2\n' })
    expect(stderr).toContain('skipped 2: it came back 3 times already')
    expect(stderr).toContain('skipped 3: route gone is not configured any more')
    expect(await command(['requeue', '2', '--force'])).toMatchObject({ code: 0 })
    expect(look().waiting).toEqual(['a', 'b'])
  })

  test('--delay and --rate hold them back', async () => {
    const { command, dataDir } = await siteWith(['a', 'b', 'c'].map((id) => named(id)))
    const fromMs = Date.now()
    expect(await command(['requeue', '--all', '--delay', '1h', '--rate', '0.1'])).toMatchObject({ code: 0 })
    const store = storeAt(dataDir)
    const { route } = store.outbox.route('orders', ['inside/accepted/{params.site}'])
    expect(waitingFor(store, route)).toEqual([])
    const dueAt = store.outbox.nextDueAt(route) ?? 0
    expect(dueAt).toBeGreaterThanOrEqual(fromMs + 3_600_000)
    expect(store.outbox.wake(route, dueAt)).toBe(1)
    expect(store.outbox.nextDueAt(route)).toBe(dueAt + 10_000)
    store.close()
  })

  test.each([
    ['requeue.before-commit:1', 0],
    ['requeue.after-commit:1', 500],
    ['requeue.before-commit:2', 500],
    ['requeue.after-commit:2', 1_000],
  ])('killed at %s: nothing is lost, and the same command again sends the rest, each once', async (point, moved) => {
    const names = Array.from({ length: 1_200 }, (_, n) => `m-${n}`)
    const { command, look } = await siteWith(names.map((name) => named(name)))
    const killed = await command(['requeue', '--all'], { env: { TRIVIUM_FAILPOINT: point } })
    expect(killed.signal).toBe('SIGKILL')
    const between = look()
    expect([between.waiting.length, between.ids.length]).toEqual([moved, names.length - moved])
    expect(await command(['requeue', '--all'])).toMatchObject({
      code: 0,
      stdout: `requeued ${names.length - moved} dead letters (gateway shop)\n`,
    })
    expect(look()).toMatchObject({ ids: [], waiting: names })
  })
})

test('discard deletes what was meant and nothing else', async () => {
  const { command, look } = await siteWith([named('a'), named('b', { reason: 'expired' }), named('c')])
  expect(await command(['discard', '--reason', 'expired', '--dry-run'])).toMatchObject({ code: 0 })
  expect(look().ids).toEqual([1, 2, 3])
  const { code, stdout, stderr } = await command(['discard', '--reason', 'expired'])
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'discarded 1 dead letter (gateway shop)\n' })
  expect(stderr).toContain('"audit":"dead-letters.discard"')
  expect(look()).toMatchObject({ ids: [1, 3], waiting: [] })
})

describe('edit', () => {
  test('by options', async () => {
    const { command, look, path } = await siteWith([
      letterOf({ envelope: envelopeOf({ headers: { old: 'x', kept: 7n }, ttlMs: 5, key: 'k' }) }),
    ])
    writeFileSync(join(path, 'fixed.bin'), Buffer.from([0xff, 0x00]))
    const set = ['--set-header', 'site=b=c', '--remove-header', 'old', '--ttl', 'none', '--key', '', '--type', 'Order']
    const { code, stderr } = await command(['edit', '1', '--payload-file', 'fixed.bin', ...set])
    expect(code).toBe(0)
    expect(stderr).toMatch(
      /^changed dead letter 1 \(gateway shop\); to send it again: trivium dead-letters requeue 1$/m,
    )
    const elsewhere = await command([
      'edit',
      '1',
      '--type',
      'Order',
      '-c',
      '../'.concat(basename(path), '/trivium.yaml'),
    ])
    expect(elsewhere.stderr).toContain(`trivium dead-letters requeue 1 -c ../${basename(path)}/trivium.yaml\n`)
    const envelope = look().dead[0]?.envelope
    expect(Buffer.from(envelope?.payload ?? [])).toEqual(Buffer.from([0xff, 0x00]))
    expect({ ...envelope?.headers }).toEqual({ site: 'b=c', kept: 7n })
    expect([envelope?.ttlMs, envelope?.key, envelope?.eventType]).toEqual([undefined, undefined, 'Order'])
  })

  test('in an editor: a payload of JSON stands there as JSON, and numbers stay exact', async () => {
    const payload = Buffer.from('{"id":12345678901234567890,"total":1}')
    const { command, look } = await siteWith([letterOf({ envelope: envelopeOf({ payload }) })])
    const env = { EDITOR: `sed -i -e 's/"total": 1$/"total": 2/'` }
    expect(await command(['edit', '1'], { env })).toMatchObject({ code: 0 })
    expect(Buffer.from(look().dead[0]?.envelope.payload ?? []).toString()).toBe('{"id":12345678901234567890,"total":2}')
    expect(await command(['edit', '1'], { env: { EDITOR: 'true' } })).toMatchObject({
      code: 0,
      stderr: 'nothing was changed\n',
    })
  })

  test('what is no JSON any more changes nothing, and the text is not lost', async () => {
    const { command, look } = await siteWith([named('a')])
    const { code, stderr } = await command(['edit', '1'], { env: { EDITOR: `sed -i -e '1d'` } })
    expect(code).toBe(64)
    const file = /still in (\S+)/.exec(stderr)?.[1] ?? ''
    afterwards(() => rmSync(dirname(file), { recursive: true }))
    expect(readFileSync(file, 'utf8')).toContain('"messageId": "a"')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(look().dead[0]?.envelope.messageId).toBe('a')
  })
})

test('export writes a line for each, into a file only its owner may read', async () => {
  const binary = Buffer.from([0xff])
  const { command, path } = await siteWith([named('a'), letterOf({ envelope: envelopeOf({ payload: binary }) })])
  const { code, stdout, stderr } = await command(['export', '--out', 'out.ndjson'])
  expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
  expect(stderr).toContain('exported 2 dead letters (gateway shop) to out.ndjson')
  const file = join(path, 'out.ndjson')
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(existsSync(`${file}.part`)).toBe(false)
  const records = readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(records.map(({ message }) => message.payloadText ?? message.payloadBase64)).toEqual([
    '{"total":12.50}',
    '/w==',
  ])
  const one = await command(['export', '2'])
  expect(JSON.parse(one.stdout)).toMatchObject({ id: 2, route: 'orders' })
})

test('an export that is cut off leaves no file that looks whole', async () => {
  const server = createServer((request, response) => {
    if (request.url?.includes('/export')) response.write('{"id":1}\n{"id":', () => response.destroy())
    else response.end('{"id":"shop","dataDir":"/data","deadLetters":[],"total":2}')
  }).listen(0, '127.0.0.1')
  afterwards(() => server.close())
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const folder = folderWith({})
  afterwards(folder.remove)
  const { code, stderr } = await trivium(['dead-letters', 'export', '--out', 'o', '--url', url], { cwd: folder.path })
  expect(code).toBe(69)
  expect(stderr).toMatch(/^trivium: .* does not answer: .*\n$/)
  expect(readdirSync(folder.path)).toEqual([])
})
