import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { markedBytes, textOfBytes } from '../../../src/envelope/binary-text.ts'

const text = (value: string) => Buffer.from(value)

test('any bytes come back, those that look like the text of others too', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 30 }).map((array) => Buffer.from(array)),
    fc.string({ unit: 'binary' }).map(text),
    fc.uint8Array({ maxLength: 20 }).map((array) => text(`base64:${Buffer.from(array).toString('base64url')}`)),
  )
  const twice = fc.oneof(bytes, bytes.map(textOfBytes).map(text))
  fc.assert(
    fc.property(twice, (each) => {
      const written = textOfBytes(each)
      expect((markedBytes(written) ?? text(written)).toString('hex')).toBe(each.toString('hex'))
    }),
    { numRuns: 2000 },
  )
})

test.each(['', 'abc', 'base64:', 'base64:YQ', 'base64:!', '\ufffd', 'base64:__79=='])(
  '%j stands for itself',
  (each) => {
    expect(textOfBytes(text(each))).toBe(each)
    expect(markedBytes(each)).toBeUndefined()
  },
)
