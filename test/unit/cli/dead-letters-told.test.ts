/** What `trivium dead-letters` says where it finds nothing, or was told something wrong. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import type { DeadLetter } from '../../../src/store/dead-letters.ts'
import { storeAt } from '../../support/gateway/dead-letters.ts'
import { registerCleanups } from './cleanups.ts'
import { trivium } from './command.ts'
import { named, siteWith as siteAt, siteYaml } from './dead-letters-site.ts'
import { folderWith } from './files.ts'

const afterwards = registerCleanups()
const siteWith = (letters: readonly DeadLetter[]) => siteAt(letters, afterwards)

describe('nothing is found', () => {
  test.each([
    [['list', '--route', 'ordesr'], "gateway shop has no route ordesr; did you mean 'orders'?\n"],
    [['requeue', '--route', 'other', '--dry-run'], 'gateway shop has no route other\n'],
    [['discard', '--older-than', '1h'], 'gateway shop has 2 dead letters, but none match\n'],
    [['export', '--route', 'orders', '--reason', 'expired'], 'gateway shop has 2 dead letters, but none match\n'],
    [['list', '--route', 'orders', '--reason', 'loop'], 'gateway shop has 2 dead letters, but none match\n'],
    [['list', '--route', 'gone', '--reason', 'loop'], 'gateway shop has 2 dead letters, but none match\n'],
  ])('nothing found is 1, and it is told why: %j', async (args, text) => {
    const { command } = await siteWith([named('a'), named('b', { route: 'gone' })])
    const { code, stdout, stderr } = await command(args)
    expect({ code, stdout, stderr: stderr.replace(/^\{.*\n/gm, '') }).toEqual({ code: 1, stdout: '', stderr: text })
  })

  test('of a store with none, nothing found says that there are none', async () => {
    const { command } = await siteWith([])
    expect(await command(['list'])).toMatchObject({ code: 1, stderr: 'gateway shop has no dead letters\n' })
  })
})

describe('what is wrong is told', () => {
  test.each([
    [['requeue'], 64, 'requires --all'],
    [['requeue', 'x'], 64, 'x: expected a dead letter id'],
    [['requeue', '1', '--rate', 'fast'], 64, '--rate fast'],
    [['requeue', '1', '--delay', 'soon'], 64, '--delay soon: expected a duration'],
    [['list', '--where', 'payload.total >'], 64, "--where 'payload.total >': the expression ends too early"],
    [['list', '--limit', '0'], 64, '--limit 0'],
    [['list', '--older-than', '1x'], 64, '--older-than 1x: expected a duration'],
    [['edit', '1', '--priority', '999'], 64, '--priority 999: must be a number, 0 to 255'],
    [['requeue', '1', '--rate', '0'], 64, '--rate 0: expected at least 0.001'],
    [['shw', '1'], 64, '(see trivium help dead-letters)'],
    [['edit', '1', '--payload-file', '.'], 66, '. cannot be read: it is a directory'],
    [['export', '--out', 'none/x.ndjson'], 66, 'none/x.ndjson cannot be written: no such directory'],
    [['nonsense'], 64, "unknown command 'nonsense'"],
    [['edit', '1', '--set-header', 'x'], 64, 'expected name=value'],
    [['edit', '1', '--payload-file', 'none'], 66, 'no such file: none'],
    [['edit', '1'], 64, 'or set EDITOR'],
    [['show', '9'], 1, 'no dead letter 9'],
    [['list', '--url', 'nonsense'], 64, 'expected http://host:port'],
  ])('%j', async (args, expected, message) => {
    const { command } = await siteWith([named('a')])
    const { code, stdout, stderr } = await command(args, { env: { EDITOR: '', VISUAL: '' } })
    expect({ code, stdout }).toEqual({ code: expected, stdout: '' })
    expect(stderr).toContain(message)
    expect(stderr).not.toMatch(/^\s+at /m)
  })

  test('1 where there is no store yet, and none is made', async () => {
    const folder = folderWith({ 'trivium.yaml': siteYaml })
    afterwards(folder.remove)
    const { code, stderr } = await trivium(['dead-letters', 'list'], { cwd: folder.path })
    expect(code).toBe(1)
    expect(stderr).toContain('no store in ')
    expect(existsSync(join(folder.path, 'data'))).toBe(false)
  })

  test('75 while another process has the store and cannot be asked', async () => {
    const { command, dataDir } = await siteWith([named('a')])
    const store = storeAt(dataDir)
    afterwards(() => store.close())
    const { code, stderr } = await command(['list'])
    expect(code).toBe(75)
    expect(stderr).toContain('another process uses the store')
    expect(stderr).toContain('its admin server is off')
  })
})
