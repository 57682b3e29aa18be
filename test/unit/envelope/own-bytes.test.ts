import { describe, expect, test } from '@jest/globals'
import { Envelope, type EnvelopeFields } from '../../../src/envelope/envelope.ts'
import { ownBytes } from '../../../src/envelope/own-bytes.ts'

const chunk = Buffer.alloc(64 * 1024, 'x')
const view = (length = 300) => chunk.subarray(1_000, 1_000 + length)
const held = (bytes: unknown) => (bytes as Uint8Array).buffer.byteLength

describe('ownBytes', () => {
  test('copies a part of a larger chunk, and not into a pool', () => {
    const own = ownBytes(view())
    expect(Buffer.from(own).equals(view())).toBe(true)
    expect(held(own)).toBe(300)
  })

  test('leaves bytes alone that fill their memory all but wholly', () => {
    const alone = Buffer.from(new ArrayBuffer(10_200), 200)
    expect(ownBytes(alone)).toBe(alone)
    expect(ownBytes(Buffer.alloc(0))).toHaveLength(0)
  })
})

describe('an envelope that waits', () => {
  const fields: EnvelopeFields = {
    messageId: '1',
    timestamp: '2026-01-01T00:00:00Z',
    source: 'kafka://events/a',
    payload: view(),
    key: view(10),
    headers: { trace: view(20), many: ['text', view(30)], table: { inner: view(40), n: 1n } },
  }

  test('holds nothing but its own bytes: payload, key and headers of any depth', () => {
    const envelope = new Envelope(fields)
    envelope.ownBytes()
    const { trace, many, table } = envelope.headers as unknown as {
      trace: Buffer
      many: Buffer[]
      table: { inner: Buffer }
    }
    const all = [envelope.payload, envelope.key, trace, many[1], table.inner]
    expect(all.map(held)).toEqual([300, 10, 20, 30, 40])
    expect(envelope.headers).toEqual(fields.headers)
    expect(envelope.payload).toEqual(fields.payload)
  })

  test('shares its copy with the envelope it was made of', () => {
    const original = new Envelope(fields)
    const changed = original.with({ eventType: 'changed' })
    changed.ownBytes(original)
    expect(held(changed.payload)).toBe(300)
    expect(original.payload).toBe(changed.payload)
    expect(held(original.key)).toBe(10)
  })
})
