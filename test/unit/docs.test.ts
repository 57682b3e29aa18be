/** The pages that are made from the code are fresh, and what the others link to is there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { errorMeanings } from '../../docs/error-meanings.ts'
import { generatedPages } from '../../docs/generate.ts'
import { protocols } from '../../protocols/index.ts'
import { diagnosticCodes } from '../../src/config/report/codes.ts'
import { errorCodes } from '../../src/errors.ts'

const root = join(import.meta.dirname, '../..')
const docs = join(root, 'docs')
const pages = generatedPages()
const read = (name: string): string => readFileSync(join(docs, name), 'utf8')

test.each([...pages.keys()])('docs/%s is fresh: npm run docs writes it', (name) => {
  expect(read(name)).toBe(pages.get(name))
})

test('there is a reference page for every protocol, and none for another', () => {
  const names = protocols.map(({ name }) => `${name}.md`)
  expect(readdirSync(join(docs, 'reference')).sort()).toEqual(
    [...names, 'expressions.md', 'gateway.md', 'routes.md'].sort(),
  )
})

test('docs/errors.md has a line for every code, and no others', () => {
  const told = Array.from(read('errors.md').matchAll(/^\| `([A-Z_]+)` \| \S.* \| \S.* \|$/gm), ([, code]) => code)
  expect(told).toEqual([...errorCodes])
  expect(Object.keys(errorMeanings).sort()).toEqual([...errorCodes].sort())
})

test('docs/config-errors.md has a line for every code, and no others', () => {
  const told = Array.from(
    read('config-errors.md').matchAll(/^\| `(TRV\d{4})` \| (?:error|warning) \| \S/gm),
    ([, code]) => code,
  )
  expect(told).toEqual(Object.keys(diagnosticCodes))
})

describe('links', () => {
  const written = [
    'README.md',
    'CHANGELOG.md',
    ...readdirSync(docs, { recursive: true, encoding: 'utf8' }).map((name) => join('docs', name)),
  ].filter((name) => name.endsWith('.md'))

  test.each(written)('%s links to files that are there', (name) => {
    const text = readFileSync(join(root, name), 'utf8').replaceAll(/```.*?```/gs, '')
    const targets = Array.from(text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g), ([, target = '']) => target)
    const missing = targets.filter(
      (target) => !/^https?:/.test(target) && !existsSync(join(root, dirname(name), target)),
    )
    expect(missing).toEqual([])
  })
})

test('the words of docs/glossary.md are in their order, each once', () => {
  const rows = Array.from(read('glossary.md').matchAll(/^\| (.+?) \|/gm), ([, word = '']) => word.toLowerCase())
  const words = rows.slice(1).filter((word) => !word.startsWith('---'))
  expect(words.length).toBeGreaterThan(50)
  expect(words).toEqual([...new Set(words)].toSorted())
})

test('every decision has its number, its title and its three parts', () => {
  const names = readdirSync(join(docs, 'decisions')).sort()
  for (const [index, name] of names.entries()) {
    expect(name).toMatch(new RegExp(`^${String(index + 1).padStart(4, '0')}-[a-z0-9-]+\\.md$`))
    const text = read(join('decisions', name))
    for (const part of [/^# \d{4}\. \S/m, /^## Context$/m, /^## Choice$/m, /^## Cost$/m]) expect(text).toMatch(part)
  }
})

test('every package that was not asked for has its reason in decisions/0007', () => {
  const asked = ['mqtt', 'aedes', 'amqplib', 'kafkajs', 'express', 'winston', 'jest']
  const names = ['package.json', 'runtime/package.json'].flatMap((file) => {
    const manifest = JSON.parse(readFileSync(join(root, file), 'utf8'))
    return Object.keys({ ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies })
  })
  const reasons = read('decisions/0007-packages.md')
  expect(names.filter((name) => !asked.includes(name) && !reasons.includes(`\`${name}\``))).toEqual([])
})
