/** Captures of several levels in destinations: as many levels, none empty or special, and no two addresses meet. */
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { protocols } from '../../../protocols/index.ts'
import type { DestinationKind } from '../../../src/adapter/protocol.ts'
import { restsOf } from '../../../src/routing/pattern.ts'
import { compileTemplate } from '../../../src/routing/template.ts'
import { subjectOf } from './subjects.ts'

/** What has a meaning of its own in a destination, or ends a connection. */
const special: Readonly<Record<string, string[]>> = {
  mqtt: ['+', '#', '\0'],
  amqp: ['*', '#', '\0'],
  kafka: ['+', '#', '*', '\0', '/', ' '],
  memory: ['+', '#'],
}
const kinds = protocols.flatMap(({ name, sink }) =>
  Object.entries(sink?.destinations ?? {}).map(([key, kind]): [string, DestinationKind, string[]] => {
    return [`${name} ${key}`, kind, special[name] ?? []]
  }),
)
const hostile = fc.constantFrom(
  '',
  '/',
  '.',
  '..',
  '+',
  '#',
  '*',
  '$x',
  '\0',
  '%',
  '%2F',
  '_2F',
  '_',
  '{',
  '\ud800',
  'é',
)
const scope = { captures: new Set(['rest', 'one']), rests: new Map([['rest', '/']] as const) }

describe.each(kinds)('a capture of several levels in %s', (_, kind, wildcards) => {
  const template = compileTemplate('a/{params.rest}', scope, { ...kind, check: () => undefined })

  test('gives as many levels, none of them empty or a wildcard, and others for other addresses', () => {
    const level = fc.oneof(hostile, fc.string({ maxLength: 4 })).map((text) => text.replaceAll('/', 'l'))
    const seen = new Map<string, string>()
    fc.assert(
      fc.property(fc.array(level, { minLength: 1, maxLength: 4 }), (levels) => {
        const rest = levels.join('/')
        const given = template.render(subjectOf(1, { params: { rest } })).slice('a/'.length)
        const parts = given.split(kind.separator ?? '/')
        expect(parts).toHaveLength(levels.length)
        expect(parts).not.toContain('')
        for (const wildcard of wildcards) expect(given.includes(wildcard)).toBe(false)
        expect(seen.get(given) ?? rest).toBe(rest)
        seen.set(given, rest)
      }),
      { numRuns: 2_000 },
    )
  })
})

test('captures of several levels are those that no other pattern of the route takes for one', () => {
  const mqtt = { separator: '/', one: '+', rest: '#' } as const
  const rests = restsOf([
    { ...mqtt, text: 'a/{one}/{rest#}' },
    { ...mqtt, text: 'b/{rest#}' },
    { ...mqtt, text: '{both}' },
    { ...mqtt, text: 'c/{both#}' },
    { text: 'literal', separator: undefined },
  ])
  expect([...rests]).toEqual([['rest', '/']])
})
