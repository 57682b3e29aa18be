import { describe, expect, it } from '@jest/globals'
import * as fc from 'fast-check'
import { coveringFilters, covers } from '../../../protocols/mqtt/client/subscription.ts'
import { filterOf, patternProblem, topicDestination, topicProblem } from '../../../protocols/mqtt/topic.ts'

const { encode, check } = topicDestination
const text = fc.string({
  unit: fc.oneof(
    fc.constantFrom('%', '/', '+', '#', '$', '\0', '\n', '', 'u', '0'),
    fc.string({ unit: 'binary', maxLength: 1 }),
  ),
})

describe('a value in a topic', () => {
  it('is one legal level that is not empty, whatever it holds', () => {
    void fc.assert(
      fc.property(text, (value) => {
        const level = encode(value)
        expect(level).not.toBe('')
        expect(level).not.toMatch(/[/+#\0]/)
        expect(level.isWellFormed()).toBe(true)
        if (level.length < 60_000) expect(check(level)).toBeUndefined()
      }),
      { numRuns: 2_000 },
    )
  })

  it('is told from every other value', () => {
    void fc.assert(
      fc.property(text, text, (one, two) => {
        expect(encode(one) === encode(two)).toBe(one === two)
      }),
      { numRuns: 2_000 },
    )
    const awkward = ['', '%', '%25', '$', '%24', '\ud800', '%uD800', '\u0085', '%85', '+', '%2B']
    expect(new Set(awkward.map(encode)).size).toBe(awkward.length)
  })

  it('stays as it is where nothing is special', () => {
    expect(encode('berlin-7 Straße')).toBe('berlin-7 Straße')
    expect(encode('a$b')).toBe('a$b')
  })
})

it.each([
  ['', 'empty'],
  ['a/+', 'wildcard'],
  ['a/#/b', 'wildcard'],
  ['a\0', 'control'],
  ['$SYS/x', 'broker'],
  ['ä'.repeat(32_768), 'bytes'],
  ['/'.repeat(100), 'levels'],
])('a topic %# is refused', (topic, reason) => {
  expect(topicProblem(topic)).toContain(reason)
})

it('a topic may have 65535 bytes, 100 levels and empty levels', () => {
  expect(topicProblem('a'.repeat(65_535))).toBeUndefined()
  expect(topicProblem('/'.repeat(99))).toBeUndefined()
})

it('a pattern becomes the filter to subscribe to', () => {
  expect(filterOf('sensors/{site}/+/{rest#}')).toBe('sensors/+/+/#')
  expect(filterOf('a/b')).toBe('a/b')
})

it.each(['', 'a/#/b', 'a#', 'a/b+', 'a/{x#}/b', 'a/x{y}', '$share/g/a', 'a\0'])(
  'the pattern %j is refused',
  (pattern) => {
    expect(patternProblem(pattern)).toBeDefined()
  },
)

it.each(['#', '+', '+/+', 'a//b', '{x}/{y#}', '$SYS/#', 'ü/+'])('the pattern %j is fine', (pattern) => {
  expect(patternProblem(pattern)).toBeUndefined()
})

describe('covering filters', () => {
  it.each([
    ['#', 'a/b', true],
    ['#', '$SYS/a', false],
    ['+/a', '$SYS/a', false],
    ['a/#', 'a', true],
    ['a/+', 'a/#', false],
    ['a/#', 'a/+', true],
    ['a/+', 'a', false],
    ['+/b', 'a/b', true],
    ['a/b', '+/b', false],
    ['a/+/c', 'a/b', false],
  ])('%s covers %s: %s', (outer, inner, expected) => {
    expect(covers(outer, inner)).toBe(expected)
  })

  it('are the fewest, each with the highest QoS it stands for', () => {
    const wishes = [
      { filter: 'a/+', qos: 0 },
      { filter: 'a/b', qos: 2 },
      { filter: 'c', qos: 1 },
      { filter: 'c', qos: 0 },
      { filter: '$SYS/#', qos: 0 },
    ] as const
    expect([...coveringFilters(wishes)]).toEqual([
      ['a/+', 2],
      ['c', 1],
      ['$SYS/#', 0],
    ])
    expect([
      ...coveringFilters([
        { filter: '+/b', qos: 1 },
        { filter: 'a/+', qos: 1 },
      ]),
    ]).toHaveLength(2)
  })
})
