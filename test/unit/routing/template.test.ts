import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { DestinationKind } from '../../../src/adapter/protocol.ts'
import { PermanentError } from '../../../src/errors.ts'
import type { RuleError } from '../../../src/routing/rule-error.ts'
import { compileTemplate } from '../../../src/routing/template.ts'
import { scopeWith, subjectOf, thrownBy } from './subjects.ts'

/** Levels of letters and digits, parted by slashes; an injective code for all else. */
const kind: DestinationKind = {
  encode: (value) => (value === '' ? '-' : value.replaceAll(/[^a-z0-9]/g, (char) => `_${char.charCodeAt(0)}_`)),
  check: (text) => (/^[a-z0-9_/-]{1,200}$/.test(text) ? undefined : 'not a legal name'),
}
const scope = scopeWith('site')
const render = (text: string, subject = subjectOf({})) => compileTemplate(text, scope).render(subject)

test.each([
  ['plain', 'plain'],
  ['', ''],
  ['{{x}}', '{x}'],
  ['a{payload.n}b{payload.s}', 'a1.5btext'],
  ["{ {'a': 'b'}['a'] }", 'b'],
  ["{'}'}", '}'],
  ["{{{'{'}}}", '{{}'],
  ['{payload.yes}/{payload.big}', 'true/9007199254740993'],
  ['{bytes("ä")}', 'ä'],
])('%s', (text, expected) => {
  expect(render(text, subjectOf(Buffer.from('{"n":1.5,"s":"text","yes":true,"big":9007199254740993}')))).toBe(expected)
})

test('knows whether it is literal, and what it begins with', () => {
  expect(compileTemplate('a{{b', scope)).toMatchObject({ isLiteral: true, literalPrefix: 'a{b' })
  expect(compileTemplate('a/{params.site}/b', scope)).toMatchObject({ isLiteral: false, literalPrefix: 'a/' })
  expect(compileTemplate('{params.site}', scope)).toMatchObject({ isLiteral: false, literalPrefix: '' })
})

test.each([
  ['a{payload.x', '{'],
  ['a}b', '}'],
  ['a{}b', '{}'],
  ['a{ }b', '{ }'],
  ['abc{payload.x + }', '}'],
  ['abc/{params.sit}', 'sit'],
  ['{payload.x}/{nonsense}', 'nonsense'],
])('points at the mistake in %s', (text, shown) => {
  const error = thrownBy(() => compileTemplate(text, scope)) as RuleError
  expect(error.name).toBe('RuleError')
  expect(text.slice(error.offset, error.offset + Math.max(1, error.length))).toBe(shown)
})

test('a literal that is not legal is a mistake in the rule', () => {
  expect((thrownBy(() => compileTemplate('A B', scope, kind)) as RuleError).message).toBe('not a legal name')
})

describe('a value of a message', () => {
  test.each([
    ['missing', {}],
    ['null', { v: null }],
    ['an object', { v: {} }],
    ['a list', { v: [] }],
  ])('that is %s makes no destination', (_, payload) => {
    const error = thrownBy(() => compileTemplate('a/{payload.v}', scope, kind).render(subjectOf(payload)))
    expect(error).toBeInstanceOf(PermanentError)
    expect(error).toMatchObject({ code: 'DESTINATION_INVALID' })
  })

  test('that makes the whole too long makes no destination', () => {
    const error = thrownBy(() =>
      compileTemplate('a/{payload.v}', scope, kind).render(subjectOf({ v: 'x'.repeat(300) })),
    )
    expect(error).toMatchObject({ code: 'DESTINATION_INVALID' })
  })

  test('gives a legal destination of as many levels, and different ones for different values', () => {
    const template = compileTemplate('a/{params.site}/b/{payload.v}', scope, kind)
    const value = fc.oneof(
      fc.string({ maxLength: 6 }),
      fc.constantFrom('', '/', '_', '-', '+', '#', '..', '\0', '_47_'),
    )
    const seen = new Map<string, string>()
    fc.assert(
      fc.property(value, value, (site, v) => {
        const rendered = template.render(subjectOf({ v }, { params: { site } }))
        expect(kind.check(rendered)).toBeUndefined()
        expect(rendered.split('/')).toHaveLength(4)
        const origin = JSON.stringify([site, v])
        expect(seen.get(rendered) ?? origin).toBe(origin)
        seen.set(rendered, origin)
      }),
      { numRuns: 5_000 },
    )
  })
})
