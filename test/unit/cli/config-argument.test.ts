/** Every command that reads a configuration takes it alike: as an argument, or by `-c`. */
import { describe, expect, test } from '@jest/globals'
import { letterOf } from '../../support/gateway/dead-letters.ts'
import { registerCleanups } from './cleanups.ts'
import { trivium } from './command.ts'
import { siteWith } from './dead-letters-site.ts'

const afterwards = registerCleanups()
const elsewhere = { cwd: '/' }

describe('a configuration file is named', () => {
  test('by an argument or by -c, for every command that looks at dead letters', async () => {
    const { path } = await siteWith([letterOf(), letterOf(), letterOf()], afterwards)
    const file = `${path}/trivium.yaml`
    const env = { TRIVIUM_DATA_DIR: `${path}/data` }
    const ask = (...args: string[]) => trivium(['dead-letters', ...args], { ...elsewhere, env })
    expect(await ask('list', file)).toMatchObject({ code: 0, stdout: expect.stringContaining('orders') })
    expect(await ask('show', '1', file)).toMatchObject({ code: 0, stdout: expect.stringContaining('dead letter 1') })
    expect(await ask('edit', '1', file, '--key', 'x')).toMatchObject({ code: 0 })
    expect(await ask('requeue', file, '1')).toMatchObject({
      code: 0,
      stdout: 'requeued 1 dead letter (gateway shop)\n',
    })
    expect(await ask('discard', '2', file)).toMatchObject({
      code: 0,
      stdout: 'discarded 1 dead letter (gateway shop)\n',
    })
    expect(await ask('export', file)).toMatchObject({ code: 0, stdout: expect.stringContaining('"id":3') })
  })

  test.each([['run'], ['validate'], ['health'], ['dead-letters', 'list'], ['dead-letters', 'requeue', '--all']])(
    'trivium %s: the file that is named is the one that is read',
    async (...args) => {
      const named = await trivium([...args, '/no/such.yaml'], elsewhere)
      expect(named).toMatchObject({ code: 66, stderr: expect.stringContaining('no such file: /no/such.yaml') })
      expect(await trivium([...args, '-c', '/no/such.yaml'], elsewhere)).toEqual(named)
    },
  )

  test.each([
    ['health', 'a.yaml', '-c', 'b.yaml'],
    ['run', 'a.yaml', '-c', 'b.yaml'],
    ['dead-letters', 'list', 'a.yaml', '-c', 'b.yaml'],
    ['dead-letters', 'requeue', '1', 'a.yaml', 'b.yaml'],
  ])('two of them are one too many: trivium %s %s %s %s', async (...args) => {
    const { code, stderr } = await trivium(args, elsewhere)
    expect(code).toBe(64)
    expect(stderr).toMatch(/^trivium: .*configuration file.*a\.yaml and b\.yaml\n$/)
  })
})
