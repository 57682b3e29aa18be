import { describe, expect, test } from '@jest/globals'
import { z } from 'zod'
import { type AnyProtocol, defineProtocol } from '../../../src/adapter/protocol.ts'
import type { RouteConfig, TargetConfig } from '../../../src/config/schema/types.ts'
import { PermanentError } from '../../../src/errors.ts'
import { compileRoute, compileTarget, Router, scopeOf } from '../../../src/routing/router.ts'
import { scopeWith, subjectOf, thrownBy } from './subjects.ts'

interface From {
  readonly topics: readonly string[]
  readonly subject?: string
}

const toy: AnyProtocol = defineProtocol<unknown, From, Record<string, unknown>>({
  name: 'toy',
  summary: 'For this test.',
  connection: z.unknown(),
  defaultFormat: 'binary',
  source: {
    schema: z.custom<From>(),
    patterns: (from) => from.topics.map((text) => ({ text, separator: '/', one: '+', rest: '#' })),
    subjectPattern: ({ subject }) =>
      subject === undefined ? undefined : { text: subject, separator: '.', one: '*', rest: '#' },
    group: () => '',
    create: () => {
      throw new Error('not in this test')
    },
    defaultAcknowledge: 'stored',
  },
  sink: {
    schema: z.custom<Record<string, unknown>>(),
    destinations: {
      topic: {
        encode: (value) => value.replaceAll('/', '%'),
        check: (text) => (text.length > 20 ? 'too long' : undefined),
      },
    },
    plainTemplates: ['key'],
    address: () => '',
    targetOf: () => ({}),
    create: () => {
      throw new Error('not in this test')
    },
  },
})
const protocolOf = () => toy

const target = (settings: Record<string, unknown>, rest: Partial<TargetConfig> = {}): TargetConfig => ({
  connection: 'c',
  protocol: 'toy',
  when: undefined,
  format: undefined,
  allow: undefined,
  settings,
  ...rest,
})

function route(from: From, rest: Partial<RouteConfig> = {}): RouteConfig {
  return {
    name: 'r',
    from: { connection: 'c', protocol: 'toy', format: undefined, settings: from },
    filter: [],
    when: undefined,
    set: new Map(),
    match: 'all',
    order: 'key',
    to: [target({ topic: 'out' })],
    acknowledge: 'stored',
    deduplicate: undefined,
    retry: { attempts: 1, delayMs: 1, maxDelayMs: 1 },
    deadLetter: undefined,
    ...rest,
  }
}

const compiled = (rest: Partial<RouteConfig> = {}) => compileRoute(route({ topics: ['a/{x}'] }, rest), protocolOf)
const decide = (rest: Partial<RouteConfig>, subject = subjectOf({ n: 1 }, { params: { x: 'X' } })) =>
  compiled(rest).decide({ ...subject, receivedAt: 0 })

describe('a decision', () => {
  test('forwards the very envelope and the very settings where nothing is rendered', () => {
    const { envelope, params } = subjectOf({})
    const plain = target({ topic: 'out', qos: 1, deep: { kept: true } }, { format: 'raw' })
    const decision = compiled({ to: [plain] }).decide({ envelope, params, receivedAt: 0 })
    if (decision.kind !== 'forward') throw new Error(decision.kind)
    expect(decision.outbounds).toEqual([{ envelope, target: plain.settings, format: 'raw' }])
    expect(decision.outbounds[0]?.envelope).toBe(envelope)
    expect(decision.outbounds[0]?.target).toBe(plain.settings)
  })

  test('fills in templates, and leaves other settings as they are', () => {
    const decision = decide({
      to: [target({ topic: 'out/{params.x}', key: '{payload.n}', text: '{payload.n}', qos: 1 })],
    })
    expect(decision).toMatchObject({
      outbounds: [{ target: { topic: 'out/X', key: '1', text: '{payload.n}', qos: 1 } }],
    })
  })

  test('unescapes braces of literals', () => {
    expect(decide({ to: [target({ topic: 'a{{b}}' })] })).toMatchObject({
      outbounds: [{ target: { topic: 'a{b}' } }],
    })
  })

  test('says why a message is not forwarded', () => {
    expect(decide({ filter: [{ field: 'payload.n', operator: 'equals', value: 2 }] })).toEqual({
      kind: 'filtered',
      reason: 'filter',
    })
    expect(decide({ when: 'payload.n == 2' })).toEqual({ kind: 'filtered', reason: 'when' })
    expect(decide({ to: [target({ topic: 'out' }, { when: 'payload.n == 2' })] })).toEqual({
      kind: 'filtered',
      reason: 'no_target',
    })
  })

  test('fails for a message that broke its format, before any rule', () => {
    const malformed = new PermanentError('MESSAGE_MALFORMED', 'broken')
    expect(decide({ when: 'false' }, subjectOf({}, { malformed }))).toEqual({ kind: 'failed', error: malformed })
  })

  test('fails where a transform or a destination does', () => {
    expect(decide({ set: new Map([['key', 'payload.none']]) })).toMatchObject({
      kind: 'failed',
      error: { code: 'TRANSFORM_FAILED' },
    })
    expect(
      decide(
        { to: [target({ topic: 'out' }), target({ topic: 'out/{params.x}' })] },
        subjectOf({}, { params: { x: 'x'.repeat(18) } }),
      ),
    ).toMatchObject({
      kind: 'failed',
      error: { code: 'DESTINATION_INVALID' },
    })
  })

  test('is not made where no message could have a legal destination', () => {
    const illegal = { to: [target({ topic: `out/{params.x}${'x'.repeat(18)}` })] }
    expect(() => compiled(illegal)).toThrow('too long')
  })

  test('takes the first target that holds, or all', () => {
    const to = [
      target({ topic: 'a' }, { when: 'payload.n == 2' }),
      target({ topic: 'b' }, { when: 'payload.n == 1' }),
      target({ topic: 'c' }),
    ]
    const indexes = (match: 'first' | 'all') => {
      const decision = decide({ to, match })
      return decision.kind === 'forward' ? decision.outbounds.flatMap((found, index) => (found ? [index] : [])) : []
    }
    expect(indexes('first')).toEqual([1])
    expect(indexes('all')).toEqual([1, 2])
  })

  test('targets see what set made, filter and when what came', () => {
    const to = [target({ topic: 'out/{eventType}' }, { when: "eventType == 'New'" })]
    const decision = decide({ when: '!has(eventType)', set: new Map([['eventType', "'New'"]]), to })
    expect(decision).toMatchObject({
      outbounds: [{ target: { topic: 'out/New' }, envelope: { eventType: 'New' } }],
    })
  })

  test('counts what the rules looked for in vain', () => {
    const found = compiled({ when: 'payload.none == 1' })
    const { envelope, params } = subjectOf({})
    found.decide({ envelope, params, receivedAt: 0 })
    found.decide({ envelope, params, receivedAt: 0 })
    expect(found.misses.count).toBe(2)
  })
})

describe('a target', () => {
  test('whose message would choose its destination freely is refused', () => {
    const compile = (to: TargetConfig) => () => compileTarget(to, scopeWith('x'), protocolOf)
    expect(compile(target({ topic: '{params.x}' }))).toThrow('a sender could choose any destination')
    expect(compile(target({ topic: '{params.x}' }, { allow: ['a'] }))).not.toThrow()
    expect(compile(target({ topic: 'a', key: '{params.x}' }))).not.toThrow()
  })

  test('that names its destinations goes nowhere else', () => {
    const { outbound } = compileTarget(
      target({ topic: '{params.x}' }, { allow: ['a', 'b'] }),
      scopeWith('x'),
      protocolOf,
    )
    expect(outbound(subjectOf({}, { params: { x: 'b' } })).target).toEqual({ topic: 'b' })
    expect(thrownBy(() => outbound(subjectOf({}, { params: { x: 'c' } })))).toMatchObject({
      code: 'DESTINATION_INVALID',
    })
  })
})

describe('a router', () => {
  const routerOf = (...froms: From[]) => {
    const routes = froms.map((from, index) => compileRoute({ ...route(from), name: `r${index}` }, protocolOf))
    const router = new Router(routes, protocolOf)
    return (address: string, subject?: string) =>
      router.lookup(address, subject).map((match) => [match.route.route.name, { ...match.params }])
  }

  test('finds the routes that read an address, in their order', () => {
    const lookup = routerOf({ topics: ['a/#'] }, { topics: ['b'] }, { topics: ['a/{x}'] })
    expect(lookup('a/1')).toEqual([
      ['r0', {}],
      ['r2', { x: '1' }],
    ])
    expect(lookup('c')).toEqual([])
  })

  test('names a route once, however many of its patterns match', () => {
    expect(routerOf({ topics: ['a/{x}', 'a/#', 'a/1'] }, { topics: ['a/1'] })('a/1')).toEqual([
      ['r0', { x: '1' }],
      ['r1', {}],
    ])
  })

  test('adds what the subject captures', () => {
    const lookup = routerOf({ topics: ['q'], subject: 'orders.{region}.#' }, { topics: ['q'] })
    expect(lookup('q', 'orders.eu.new')).toEqual([
      ['r0', { region: 'eu' }],
      ['r1', {}],
    ])
    expect(lookup('q')).toEqual([
      ['r0', {}],
      ['r1', {}],
    ])
  })

  test('scopeOf names all captures', () => {
    expect(scopeOf(route({ topics: ['a/{x}', 'b/{y#}'], subject: '{z}.#' }), protocolOf).captures).toEqual(
      new Set(['x', 'y', 'z']),
    )
  })
})
