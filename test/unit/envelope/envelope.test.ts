import { describe, expect, it } from '@jest/globals'
import { type CustomHeaders, Envelope, HeaderBag } from '../../../src/envelope/envelope.ts'

const fields = { messageId: '1', timestamp: '2026-11-23T20:00:00.123Z', source: 's', payload: Buffer.from('{"a":1}') }

describe('Envelope', () => {
  it('parses its payload once', () => {
    const envelope = new Envelope(fields)
    expect(envelope.json).toEqual({ a: 1 })
    expect(envelope.json).toBe(envelope.json)
  })

  it.each([null, Buffer.alloc(0), Buffer.from('no json')])('has no JSON for %j', (payload) => {
    expect(new Envelope({ ...fields, payload }).json).toBeUndefined()
  })

  it.each(['gzip', 'zstd', 'GZIP, base64', Buffer.from([0xff])])(
    'has no JSON where it is encoded as %p',
    (encoding) => {
      expect(new Envelope({ ...fields, headers: { 'content-encoding': encoding } }).json).toBeUndefined()
    },
  )

  it.each(['', 'identity', 'utf-8', 'UTF8', ' us-ascii '])('has JSON where its encoding says %p', (encoding) => {
    expect(new Envelope({ ...fields, headers: { 'content-encoding': encoding } }).json).toEqual({ a: 1 })
  })

  it('with changes what is named, keeps the parsed payload, and leaves the original', () => {
    const envelope = new Envelope({ ...fields, key: 'k', headers: { a: 'b' } })
    const { json } = envelope
    const copy = envelope.with({ messageId: '2', key: undefined, headers: undefined })
    expect(copy).toMatchObject({ messageId: '2', key: undefined, headers: {}, source: 's' })
    expect(copy.json).toBe(json)
    expect(envelope).toMatchObject({ messageId: '1', key: 'k', headers: { a: 'b' } })
    expect(envelope.with({ payload: Buffer.from('2') }).json).toBe(2)
  })
})

describe('the size for budgets', () => {
  const sizeOf = (headers?: CustomHeaders) => new Envelope({ ...fields, ...(headers && { headers }) }).sizeBytes

  it('counts payload, headers of any kind, and a flat charge', () => {
    const flat = sizeOf()
    expect(flat).toBe(fields.payload.byteLength + 512)
    expect(sizeOf({ note: 'x'.repeat(10_000) })).toBe(flat + 10_004)
    expect(sizeOf({ raw: new Uint8Array(300), list: ['a', { b: 'cd' }, 1n] })).toBe(flat + 3 + 300 + 4 + 3 + 1 + 3 + 8)
  })

  it('is the same when its bytes are its own, and may be asked of tables of any depth', () => {
    const chunk = new Uint8Array(100_000)
    const envelope = new Envelope({ ...fields, headers: { raw: chunk.subarray(0, 100) } })
    const before = envelope.sizeBytes
    envelope.ownBytes()
    expect(envelope.sizeBytes).toBe(before)
    let deep: CustomHeaders = { a: 'end' }
    for (let i = 0; i < 100_000; i += 1) deep = { a: deep }
    expect(sizeOf(deep)).toBe(sizeOf() + 100_001 + 3)
  })
})

describe('HeaderBag', () => {
  it('inherits nothing, so that any name is only a name', () => {
    const bag = new HeaderBag()
    expect(bag.constructor).toBeUndefined()
    expect(bag.toString).toBeUndefined()
    for (const name of ['__proto__']) bag[name] = 'x'
    expect(Object.entries(bag)).toEqual([['__proto__', 'x']])
  })
})
