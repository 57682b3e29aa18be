import { describe, expect, test } from '@jest/globals'
import { trivium } from './command.ts'

const names = ['run', 'validate', 'publish', 'dead-letters', 'health', 'schema', 'version']

test('help lists every command and ends with 0', async () => {
  const { code, stdout } = await trivium(['--help'])
  expect(code).toBe(0)
  const listed = [...stdout.matchAll(/^ {2}([a-z-]+) .*\S/gm)].map(([, name]) => name)
  expect(listed.filter((name) => name !== 'help' && !name?.startsWith('-'))).toEqual(names)
})

describe.each(names)('%s', (name) => {
  test('its help has a sentence, and examples that begin with it', async () => {
    const { code, stdout } = await trivium(['help', name])
    expect(code).toBe(0)
    expect(stdout).toMatch(new RegExp(`^Usage: trivium ${name} .*?\n\n[A-Z].*?\\.\n`, 's'))
    const [, examples = ''] = /\nExamples:\n(.*)$/s.exec(stdout) ?? []
    const lines = examples.trimEnd().split('\n')
    for (const line of lines) expect(line).toMatch(new RegExp(`^ {2}\\$ trivium ${name}\\b`))
    expect(await trivium([name, '--help'])).toMatchObject({ code: 0, stdout })
  })
})

test('version tells its own and that of Node', async () => {
  const [text, json] = await Promise.all([trivium(['version']), trivium(['version', '--json'])])
  expect(text.stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  expect(JSON.parse(json.stdout)).toEqual({ version: text.stdout.trim(), node: process.versions.node })
})

test('schema prints a JSON Schema', async () => {
  const { code, stdout } = await trivium(['schema'])
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ $schema: 'http://json-schema.org/draft-07/schema#' })
})
