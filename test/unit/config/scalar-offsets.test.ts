import { describe, expect, test } from '@jest/globals'
import { isScalar, parseDocument } from 'yaml'
import { scalarOffsets } from '../../../src/config/read/scalar-offsets.ts'

function offsetsOf(file: string): { value: string; offsets: readonly number[] } {
  const node = parseDocument(file).getIn(['k'], true)
  if (!isScalar(node)) throw new Error('no scalar')
  const value = String(node.value)
  return { value, offsets: scalarOffsets(node, value, file) }
}

describe('scalarOffsets finds each character of', () => {
  test.each([
    ['plain text', 'k: payload.t > 3\n'],
    ['single quotes', "k: 'a ''b'' c'\n"],
    ['double quotes', 'k: "a \\"b\\" \\u0041 c"\n'],
    ['a literal block', 'k: |\n    abc > 1 AND\n      def\n\n    ghi\n'],
    ['a folded block', 'k: >-\n  abc > 1\n  AND def\n  OR ghi\n'],
    ['plain text over several lines', 'k: abc\n  def\n  ghi\n'],
    ['quoted text over several lines', 'k: "abc\n  def\n  ghi"\n'],
    ['a block with an indentation indicator', 'k: |2\n   abc\n  def\n'],
  ])('%s', (_name, file) => {
    const { value, offsets } = offsetsOf(file)

    expect(offsets).toHaveLength(value.length + 1)
    for (const [index, character] of value.split('').entries()) {
      if (!/[a-z]/.test(character)) continue
      expect({ index, character: file[offsets[index] ?? -1] }).toEqual({ index, character })
    }
    expect(offsets).toEqual(offsets.toSorted((a, b) => a - b))
  })
})
