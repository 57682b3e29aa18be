import { Envelope, type EnvelopeFields } from '../../../src/envelope/envelope.ts'
import type { Subject } from '../../../src/routing/subject.ts'

/** A message whose payload is this JSON value, or these bytes, with some params. */
export function subjectOf(
  payload: unknown,
  { params = {}, ...fields }: Partial<EnvelopeFields> & { params?: Record<string, string> } = {},
): Subject {
  const bytes = payload instanceof Uint8Array || payload === null ? payload : Buffer.from(JSON.stringify(payload))
  return {
    envelope: new Envelope({
      messageId: 'm',
      timestamp: '2026-01-02T03:04:05Z',
      source: 's',
      payload: bytes,
      ...fields,
    }),
    params,
    receivedAt: Date.parse('2026-01-02T03:04:06.789Z'),
  }
}

export const scopeWith = (...captures: string[]) => ({ captures: new Set(captures) })

/** What a function throws; fails the test when it does not. */
export function thrownBy(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}
