import { createRequire } from 'node:module'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { type FrameReader, readOwnProperties } from '../../../protocols/amqp/client/frames.ts'
import { propertiesBytes } from '../../../protocols/amqp/client/publish-writer.ts'
import { readProperties } from '../../../protocols/amqp/client/reader.ts'
import { decode, encode } from '../../../protocols/amqp/codec.ts'
import { Envelope, type EnvelopeFields, formats } from '../../../src/envelope/envelope.ts'
import { type Field, type Table, writeTable } from '../../support/brokers/amqp-raw.ts'
import { envelopes } from './codec-envelopes.ts'

// the driver's parts are no public entries of its package; a path leads past that
const require = createRequire(import.meta.url)
const { decode: driverDecode, BasicProperties } = require('../../../node_modules/amqplib/lib/defs.js')

const nowMs = Date.parse('2026-11-23T20:00:05.000Z')
const at = { connection: 'orders', queue: 'alarms' }
const withHeaders = (table: Buffer) => Buffer.concat([Buffer.from([0x20, 0]), table])
const received = (table: Buffer) =>
  decode({ content: Buffer.from('body'), properties: readProperties(withHeaders(table)) as never }, at)

describe('the properties of a message', () => {
  it('are read as amqplib reads them, where it reads them right', () => {
    const isPlain = ({ correlationId }: Envelope) => correlationId?.startsWith('base64:') !== true
    fc.assert(
      fc.property(envelopes(nowMs).filter(isPlain), fc.constantFrom(...formats), (envelope, format) => {
        const bytes = propertiesBytes(encode({ envelope, target: {}, format }, nowMs).options)
        const { headers, headerTypes: _, ...ours } = readProperties(bytes)
        const { headers: theirHeaders, ...theirs } = driverDecode(BasicProperties, bytes)
        expect({ ...theirs, ...ours }).toEqual(theirs)
        expect(Object.keys(headers ?? {})).toEqual(expect.arrayContaining(Object.keys(theirHeaders ?? {})))
        for (const [name, value] of Object.entries(headers ?? {}))
          if (typeof value === 'string' || typeof value === 'boolean') expect(value).toBe(theirHeaders[name])
      }),
      { numRuns: 300 },
    )
  })

  it.each([
    ['an unknown type', Buffer.from([0, 0, 0, 3, 1, 0x61, 0x3f])],
    ['a text that ends too early', Buffer.from([0, 0, 0, 7, 1, 0x61, 0x53, 0, 0, 0, 9])],
    ['a number that ends too early', Buffer.from([0, 0, 0, 4, 1, 0x61, 0x6c, 0])],
    ['a name that ends too early', Buffer.from([0, 0, 0, 2, 9, 0x61])],
    ['a list that ends too early', Buffer.from([0, 0, 0, 8, 1, 0x61, 0x41, 0, 0, 0, 9, 0x56])],
  ])('with %s in their table make the message malformed, and not the connection', (_what, table) => {
    const envelope = received(table)
    expect(envelope.malformed).toMatchObject({ code: 'MESSAGE_MALFORMED', message: expect.stringContaining('headers') })
    expect(String(envelope.payload)).toBe('body')
  })

  it('nested deeper than headers may be make the message malformed, however deep', () => {
    for (const depth of [64, 65, 20_000]) {
      let value: Buffer = Buffer.alloc(0)
      const head = Buffer.alloc(5 * depth)
      for (let level = 0; level < depth; level += 1) {
        head.write('A', 5 * level)
        head.writeUInt32BE(5 * (depth - level - 1), 5 * level + 1)
      }
      value = Buffer.concat([Buffer.from([1, 0x61]), head])
      const length = Buffer.alloc(4)
      length.writeUInt32BE(value.length)
      expect(received(Buffer.concat([length, value])).malformed?.code).toBe(
        depth > 64 ? 'MESSAGE_MALFORMED' : undefined,
      )
    }
  })

  it('are any bytes, and never throw but a RangeError', () => {
    const anything = fc.uint8Array({ minLength: 2, maxLength: 60 }).map((array) => Buffer.from(array))
    fc.assert(
      fc.property(anything, (bytes) => {
        try {
          decode({ content: Buffer.alloc(0), properties: readProperties(bytes) as never }, at)
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError)
        }
      }),
      { numRuns: 5000 },
    )
  })
})

describe('the types of headers', () => {
  const long = (value: bigint): Field => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64BE(value)
    return { letter: 'l', hex: bytes.toString('hex') }
  }
  const sent = (envelope: Envelope) =>
    readProperties(propertiesBytes(encode({ envelope, target: {}, format: undefined }).options))
  const noted = (table: Table): Envelope => received(writeTable(table))
  const changed = (envelope: Envelope, headers: EnvelopeFields['headers']) => envelope.with({ headers })

  it('are noted where the value does not show them, and written again', () => {
    const envelope = noted({
      count: long(5n),
      'a;b=c': long(6n),
      big: long(2n ** 60n),
      text: { letter: 'S', hex: '61' },
    })
    expect(envelope.headerTypes).toBe('^count=l;^a%3Bb%3Dc=l')
    expect(sent(envelope).headerTypes).toBe(envelope.headerTypes)
  })

  it('are those of the new value where a rule has changed it to another kind', () => {
    const envelope = noted({ count: long(5n) })
    expect(sent(changed(envelope, { count: 6 })).headerTypes).toBe('^count=l')
    expect(sent(changed(envelope, { count: 'six' }))).toMatchObject({ headers: { count: 'six' } })
    expect(sent(changed(envelope, { count: 1.5 }))).toMatchObject({ headers: { count: 1.5 }, headerTypes: undefined })
  })

  it.each(['^a=L', '^a=?', '^a=AAAA', '^a', '^=l', '^%zz=l', '^a=l;^a=b', '^a=F'])(
    'that no table has, %s, are not written',
    (headerTypes) => {
      const headers = { a: 5 }
      const envelope = new Envelope({
        messageId: '1',
        timestamp: '2026-11-23T20:00:00Z',
        source: 's',
        payload: null,
        headers,
        headerTypes,
      })
      expect(sent(envelope)).toMatchObject({ headers })
    },
  )
})

describe('the frames of a connection', () => {
  const header = (bytes: Buffer): Buffer => {
    const head = Buffer.from([2, 0, 7, 0, 0, 0, 12 + bytes.length, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4])
    return Buffer.concat([head, bytes, Buffer.from([0xce])])
  }
  class Driver implements FrameReader {
    rest: Buffer = Buffer.alloc(0)
    readonly maxFrameSize = 4096
    readonly passed: Buffer[] = []
    recvFrame(): unknown {
      this.passed.push(this.rest)
      return false
    }
  }

  it('leave all but whole content headers to the driver', () => {
    const driver = new Driver()
    readOwnProperties(driver)
    const whole = header(Buffer.from([0x04, 0, 2, 0xff, 0xfe]))
    for (let length = 0; length < whole.length; length += 1) {
      driver.rest = whole.subarray(0, length)
      expect(driver.recvFrame()).toBe(false)
    }
    driver.rest = Buffer.concat([whole, Buffer.from('next')])
    expect(driver.recvFrame()).toEqual({ id: 60, channel: 7, size: 4, fields: { correlationId: 'base64:__4' } })
    expect(String(driver.rest)).toBe('next')
    expect(driver.passed).toHaveLength(whole.length)
  })
})
