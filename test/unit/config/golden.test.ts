import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { protocols } from '../../../protocols/index.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { diagnosticCodes } from '../../../src/config/report/codes.ts'
import { renderDiagnostics } from '../../../src/config/report/render.ts'

const directory = join(import.meta.dirname, 'golden')
const isUpdate = process.env.UPDATE_GOLDEN === '1'

/** What a user sees of a wrong file, exactly. `UPDATE_GOLDEN=1` writes the answers anew: read them before committing. */
describe('a wrong configuration', () => {
  const cases = readdirSync(directory).filter((name) => name.endsWith('.yaml'))

  test.each(cases)('%s is explained as in its golden file', (name) => {
    const text = readFileSync(join(directory, name), 'utf8')
    const { diagnostics } = loadConfig(text, { file: 'trivium.yaml', env: {}, readFile: noFile, protocols })
    const rendered = renderDiagnostics(diagnostics, text)
    const golden = join(directory, name.replace(/yaml$/, 'txt'))
    if (isUpdate) writeFileSync(golden, rendered)

    expect(rendered).not.toBe('')
    expect(rendered).not.toContain('hunter2')
    expect(rendered).toBe(existsSync(golden) ? readFileSync(golden, 'utf8') : undefined)
  })

  test('is shown for every code', () => {
    const shown = readdirSync(directory).map((name) => readFileSync(join(directory, name), 'utf8'))
    // no protocol of ours lacks a source or a sink: load.test.ts has these two, files.test.ts what real files tell
    const elsewhere = ['TRV2010', 'TRV2011', 'TRV4006']
    const codes = Object.keys(diagnosticCodes).filter((code) => !elsewhere.includes(code))
    expect(codes.filter((code) => !shown.some((text) => text.includes(`[${code}]`)))).toEqual([])
  })

  test('has at least 45 examples, and none without an answer or an answer without one', () => {
    const stems = (extension: string) =>
      readdirSync(directory).flatMap((name) => (name.endsWith(extension) ? name.slice(0, -extension.length) : []))
    expect(stems('.yaml').length).toBeGreaterThanOrEqual(45)
    expect(stems('.txt')).toEqual(stems('.yaml'))
  })
})

function noFile(): string {
  throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
}
