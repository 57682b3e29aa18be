import { chmodSync, mkdirSync, renameSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { open, silent, temporaryDirectory } from './stores.ts'

/** What opening the store of a directory warns of. */
function warnings(directory: string): string[] {
  const said: string[] = []
  open(directory, { log: { ...silent, warn: (message) => void said.push(message) } }).close()
  return said
}

test('a store that others can read or change is used with a warning that says what to do', () => {
  const directory = temporaryDirectory()
  expect(warnings(directory)).toEqual([])
  const file = join(directory, 'trivium.db')
  chmodSync(directory, 0o777)
  chmodSync(file, 0o666)
  expect(warnings(directory)).toEqual([
    `other users of this machine may change what is in it: ${directory} has mode 777; chmod 700 ${directory}`,
    `other users of this machine may read or change it: ${file} has mode 666; chmod 600 ${file}`,
  ])
  chmodSync(directory, 0o755)
  chmodSync(file, 0o660)
  expect(warnings(directory)).toEqual([])
})

test.each(['trivium.db', 'trivium.db-wal', 'reserve', 'spool-0'])(
  'a symbolic link in the place of %s is refused',
  (name) => {
    const directory = temporaryDirectory()
    open(directory).close()
    const elsewhere = join(temporaryDirectory(), 'elsewhere')
    if (name === 'trivium.db') renameSync(join(directory, name), elsewhere)
    else renameOrNothing(join(directory, name))
    symlinkSync(elsewhere, join(directory, name))
    expect(() => open(directory)).toThrow(
      expect.objectContaining({ code: 'STORE_FAILED', message: expect.stringContaining(`${name} is a symbolic link`) }),
    )
  },
)

function renameOrNothing(file: string): void {
  try {
    renameSync(file, `${file}.old`)
  } catch {}
}

test('a symbolic link in the place of the directory is refused, and named', () => {
  const place = temporaryDirectory()
  mkdirSync(join(place, 'real'))
  symlinkSync(join(place, 'real'), join(place, 'link'))
  expect(() => open(join(place, 'link'))).toThrow(/link is a symbolic link.*name .*real itself/)
})

test('a directory in the place of the file is refused', () => {
  const directory = temporaryDirectory()
  mkdirSync(join(directory, 'trivium.db'))
  expect(() => open(directory)).toThrow(/trivium\.db is no regular file/)
})
