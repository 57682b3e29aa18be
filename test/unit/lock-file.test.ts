/** The supply chain, as far as the repository decides it: what `npm ci` installs, and that it runs nothing of it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { type LockFile, lockProblems, looseVersions } from '../support/lock-audit.ts'

const root = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const lock = JSON.parse(read('package-lock.json')) as LockFile
const manifest = JSON.parse(read('package.json')) as Record<string, unknown>

test('every package of the lock file has its checksum, comes from the registry, runs no script and has a known licence', () => {
  expect(Object.keys(lock.packages).length).toBeGreaterThan(100)
  expect(lockProblems(lock)).toEqual([])
})

test('every dependency is one exact version', () => {
  expect(looseVersions(manifest)).toEqual([])
})

test('npm runs no script of a package, here and in the image', () => {
  expect(read('.npmrc').split('\n')).toContain('ignore-scripts=true')
  const commands = [...read('Dockerfile').matchAll(/npm (ci|install|prune)[^&\n]*/g)].map(([text]) => text)
  expect(commands.filter((text) => !text.includes(' --ignore-scripts'))).toEqual([])
  expect(commands[0]).toMatch(/^npm ci /)
})

test('our own package runs nothing where it is installed; `prepack` is for who packs it', () => {
  const names = Object.keys(manifest.scripts as object)
  expect(names.filter((name) => /^(pre|post|install|prepare)/.test(name))).toEqual(['prepack'])
})

test('the Node of a clone is not installed with the package', () => {
  expect(manifest).not.toHaveProperty('optionalDependencies')
  expect(looseVersions(JSON.parse(read('runtime/package.json')))).toEqual([])
})

test.each([
  [{ integrity: undefined }, 'mqtt has no sha512 integrity'],
  [{ integrity: 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=' }, 'mqtt has no sha512 integrity'],
  [{ resolved: 'https://elsewhere.test/mqtt.tgz' }, 'mqtt does not come from the registry'],
  [{ resolved: 'git+ssh://git@github.com/a/mqtt.git#1' }, 'mqtt does not come from the registry'],
  [{ link: true }, 'mqtt does not come from the registry'],
  [{ hasInstallScript: true }, 'mqtt runs a script when it is installed'],
  [{ license: 'GPL-3.0' }, 'mqtt has the licence GPL-3.0'],
  [{ license: 'MIT AND GPL-3.0' }, 'mqtt has the licence MIT AND GPL-3.0'],
  [{ license: undefined }, 'mqtt has the licence of nobody'],
  [{ license: '(MIT OR GPL-3.0)' }, undefined],
])('a lock file with %j: %s', (change, problem) => {
  const path = 'node_modules/mqtt'
  const changed = { packages: { ...lock.packages, [path]: { ...lock.packages[path], ...change } } }
  expect(lockProblems(changed as LockFile)).toEqual(problem === undefined ? [] : [problem])
})

test('a range, a tag or an address in place of a version is found', () => {
  const dependencies = { a: '^1.0.0', b: 'latest', c: 'github:a/c', d: '1.2.3', e: '1.0.0-beta.1' }
  expect(looseVersions({ dependencies })).toEqual(['a', 'b', 'c'])
})
