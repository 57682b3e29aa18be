import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { answerOf, type RuleCase, readCase, viewOf } from './case.ts'

const files = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith('.yaml'))
  .sort()

test('there are cases', () => {
  expect(files.length).toBeGreaterThanOrEqual(60)
})

test.each(files)('%s', (file) => {
  const rules = readCase(readFileSync(`${import.meta.dirname}/${file}`, 'utf8'))
  if (rules.expectError !== undefined) expectError(rules, rules.expectError)
  else expectForwards(rules)
})

function expectError(rules: RuleCase, text: string): void {
  const { errors, forwards } = answerOf(rules)
  expect(errors.join('\n')).toContain(text)
  expect(forwards).toEqual([])
}

function expectForwards(rules: RuleCase): void {
  const { errors, forwards, reasons } = answerOf(rules)
  expect(errors).toEqual([])
  const seen = forwards.map(({ connection, target, envelope }, index) => {
    const like = rules.expect?.[index]
    return {
      connection,
      ...(like?.target && { target: pick(target as Record<string, unknown>, Object.keys(like.target)) }),
      ...(like?.envelope && { envelope: viewOf(envelope, like.envelope) }),
    }
  })
  expect(seen).toEqual(rules.expect)
  if (rules.reason !== undefined) expect(reasons).toEqual([rules.reason])
}

function pick(value: Record<string, unknown>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.map((key) => [key, value[key]]))
}
