import { expect, test } from '@jest/globals'
import { Recent } from '../../../src/routing/recent.ts'

/** Counts how often it has to look. */
function counted(answers = 1) {
  const asked: string[] = []
  const find = (text: string) => {
    asked.push(text)
    return Array.from({ length: answers }, () => `answer to ${text}`)
  }
  return { asked, find, recent: new Recent<string[]>() }
}

test('what was asked for lately is answered without looking', () => {
  const { asked, find, recent } = counted()
  for (const text of ['a', 'b', 'a', 'b']) expect(recent.get(text, find)).toEqual([`answer to ${text}`])
  expect(asked).toEqual(['a', 'b'])
})

test('at most 4,096 are kept, and what goes on being asked for stays', () => {
  const { asked, find, recent } = counted()
  for (let n = 0; n < 10_000; n += 1) {
    recent.get(`${n}`, find)
    recent.get('always', find)
  }
  expect(asked.filter((text) => text === 'always')).toHaveLength(1)
  recent.get('9000', find)
  expect(asked).toHaveLength(10_001)
  recent.get('1', find)
  expect(asked).toHaveLength(10_002)
})

test('a long text is not kept', () => {
  const { asked, find, recent } = counted()
  const long = 'x'.repeat(257)
  recent.get(long, find)
  expect(recent.get(long, find)).toEqual([`answer to ${long}`])
  expect(asked).toHaveLength(2)
})

test('nor is a long answer', () => {
  const { asked, find, recent } = counted(17)
  for (const text of ['a', 'a']) recent.get(text, find)
  expect(asked).toHaveLength(2)
})
