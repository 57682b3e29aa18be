/** SECURITY.md names a test for each threat: it is there, and has that title. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

const root = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const rows = read('SECURITY.md')
  .split('\n')
  .filter((line) => /^\| (S\d+|–) \|/.test(line))
  .map((line) => line.split(' | ').map((cell) => cell.replaceAll(/^\| | \|$/g, '')))

/** Files, each with the titles behind it. */
function namedTests(cell: string): { file: string; titles: string[] }[] {
  return cell.split(/; (?=`)/).flatMap((part) => {
    const file = /^`([^`]+)`/.exec(part)?.[1]
    return file === undefined
      ? []
      : [{ file, titles: Array.from(part.matchAll(/"([^"]+)"/g), ([, title = '']) => title) }]
  })
}

test('every threat from S1 to S36 has its row', () => {
  const names = rows.map(([name]) => name).filter((name) => name !== '–')
  expect(names).toEqual(Array.from({ length: 36 }, (_, n) => `S${n + 1}`))
})

test.each(rows.map((row) => [row[1] ?? '', row] as const))(
  '%s: its tests are there, or it says why there is none',
  (_, row) => {
    const [, , control = '', tests = ''] = row
    const named = namedTests(tests)
    if (named.length === 0) expect(control).toMatch(/^(does not apply yet|not yet)/)
    for (const { file, titles } of named) {
      expect({ file, isThere: existsSync(join(root, file)) }).toEqual({ file, isThere: true })
      const text = read(file)
      expect({ file, missing: titles.filter((title) => !text.includes(title)) }).toEqual({ file, missing: [] })
    }
  },
)
