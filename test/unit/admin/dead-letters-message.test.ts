import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { parseEdit } from '../../../src/admin/dead-letters-edit.ts'
import { jsonLine, messageJson } from '../../../src/admin/dead-letters-view.ts'
import type { Envelope } from '../../../src/envelope/envelope.ts'
import { envelopes } from '../protocols/codec-envelopes.ts'

/** Bytes as bytes, and bigints, which a matcher's message has no text for. */
function shape(envelope: Envelope): unknown {
  return JSON.parse(
    JSON.stringify({ ...envelope }, (_name, value: unknown) => {
      if (typeof value === 'bigint') return { int: String(value) }
      if (typeof value === 'number' && !Number.isFinite(value)) return { number: String(value) }
      return value
    }),
  )
}

test('a dead letter that is shown and given back unchanged is the message it was, types and extensions too', () => {
  const letters = envelopes(Date.parse('2026-11-23T20:00:05.000Z')).map((each) =>
    each.with({ headerTypes: '^a=l;^b=AS' }),
  )
  fc.assert(
    fc.property(letters, (envelope) => {
      const message = JSON.parse(jsonLine(messageJson(envelope)))
      expect(shape(parseEdit({ message })(envelope))).toEqual(shape(envelope))
    }),
    { numRuns: 300 },
  )
})
