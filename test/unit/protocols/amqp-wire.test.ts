import { createRequire } from 'node:module'
import { describe, expect, it } from '@jest/globals'
import * as fc from 'fast-check'
import { type Publish, PublishWriter } from '../../../protocols/amqp/client/publish-writer.ts'
import { encode } from '../../../protocols/amqp/codec.ts'
import { formats } from '../../../src/envelope/envelope.ts'
import { envelopes } from './codec-envelopes.ts'

// the driver's parts are no public entries of its package; a path leads past that
const require = createRequire(import.meta.url)
const driver = '../../../node_modules/amqplib/lib'
const { publish } = require(`${driver}/api_args.js`)
const { encodeMethod, encodeProperties, BasicPublish, BasicProperties } = require(`${driver}/defs.js`)
const { makeBodyFrame, parseFrame } = require(`${driver}/frame.js`)

const channel = 258
const frameMax = 131_072
const nowMs = Date.parse('2026-11-23T20:00:05.000Z')

/** What amqplib writes for the same message. */
function driverBytes({ exchange, routingKey, content, options }: Publish, frameMaxBytes = frameMax): Buffer {
  const fields = { ...publish(exchange, routingKey, options), clusterId: options.clusterId }
  const frames = [
    encodeMethod(BasicPublish, channel, fields),
    encodeProperties(BasicProperties, channel, content.byteLength, fields),
  ]
  const most = frameMaxBytes - 8
  for (let from = 0; from < content.byteLength; from += most) {
    frames.push(makeBodyFrame(channel, content.subarray(from, from + most)))
  }
  return Buffer.concat(frames)
}

function written(messages: readonly Publish[], frameMaxBytes = frameMax): readonly Buffer[] {
  const writer = new PublishWriter(channel, frameMaxBytes)
  for (const message of messages) {
    expect(writer.add(message)).toBe(driverBytes(message, frameMaxBytes).length)
  }
  return writer.take()
}

function expectWholeFrames(chunk: Buffer, frameMaxBytes: number): void {
  let rest = chunk
  while (rest.length > 0) {
    const frame = parseFrame(rest, frameMaxBytes - 8)
    if (frame === false) throw new Error('a write ends within a frame')
    rest = frame.rest
  }
}

const message = (options: object, bytes = 3, fill = 7): Publish => ({
  exchange: 'events',
  routingKey: 'a.b',
  content: Buffer.alloc(bytes, fill),
  options: { headers: {}, persistent: true, ...options },
})

describe('basic.publish', () => {
  it('has the bytes that amqplib would write, whatever the envelope', () => {
    const name = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((text) => Buffer.byteLength(text) <= 255)
    const sent = fc.record({
      // amqplib's writer has no short strings of bytes
      envelope: envelopes(nowMs).filter(({ correlationId }) => correlationId?.startsWith('base64:') !== true),
      exchange: name,
      routingKey: name,
      mandatory: fc.boolean(),
      persistent: fc.boolean(),
      format: fc.constantFrom(...formats),
    })
    void fc.assert(
      fc.property(fc.array(sent, { minLength: 1, maxLength: 8 }), (batch) => {
        const messages = batch.map(({ envelope, exchange, routingKey, mandatory, persistent, format }) => {
          const { content, options } = encode({ envelope, target: {}, format }, nowMs)
          return { exchange, routingKey, content, options: { ...options, mandatory, persistent } }
        })
        const bytes = Buffer.concat(written(messages))
        expect(bytes.equals(Buffer.concat(messages.map((each) => driverBytes(each))))).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  it.each([
    ...[0, 1, -1, 127, 128, -128, -129, 32_767, 32_768, -32_768, -32_769, 2 ** 31 - 1, 2 ** 31, -(2 ** 31)],
    ...[-(2 ** 31) - 1, 2 ** 32, 2 ** 50, -(2 ** 50), 2 ** 53 - 1, -(2 ** 53) + 1, 0.5, -0.5, 2 ** 50 - 0.5, 1e300],
    ...['', 'ü', 'x'.repeat(64), 'x'.repeat(65), `${'x'.repeat(63)}ü`, 'ü'.repeat(1024), 'é'.repeat(1025), '\ud800'],
    ...[true, false, null, Buffer.from([0, 255]), [], [1, ['a', null]], {}, { a: { b: [{}] } }, { skipped: undefined }],
    ...[
      { '!': 'double', value: 3 },
      { '!': 'double', value: -0 },
      { '!': 'timestamp', value: 2 ** 40 + 5 },
    ],
    { '!': 'decimal', value: { places: 2, digits: 4_294_967_295 } },
  ])('gives the value %p the type amqplib gives it', (value) => {
    const one = message({ headers: { value } })
    expect(Buffer.concat(written([one]))).toEqual(driverBytes(one))
  })

  it('splits contents at the negotiated frame size and never ends a write within a frame', () => {
    const frameMaxBytes = 4096
    const sizes = [0, 1, 4087, 4088, 4089, 8176, 8177, 60_000, 200_000, 5]
    const messages = sizes.map((bytes, i) => message({ messageId: `m-${i}`, headers: { i } }, bytes, i))
    const chunks = written(messages, frameMaxBytes)
    expect(Buffer.concat(chunks).equals(Buffer.concat(messages.map((each) => driverBytes(each, frameMaxBytes))))).toBe(
      true,
    )
    for (const chunk of chunks) expectWholeFrames(chunk, frameMaxBytes)
  })

  it('keeps messages together whose headers do not fit the rest of a buffer', () => {
    const messages = Array.from({ length: 40 }, (_, i) => message({ headers: { [`n${i}`]: 'é'.repeat(i * 700), i } }))
    const chunks = written(messages)
    expect(Buffer.concat(chunks).equals(Buffer.concat(messages.map((each) => driverBytes(each))))).toBe(true)
    for (const chunk of chunks) expectWholeFrames(chunk, frameMax)
  })

  it('adds nothing of a message that does not fit, and nothing of it stays', () => {
    const writer = new PublishWriter(channel, 8192)
    const good = message({ messageId: 'good' })
    writer.add(good)
    expect(() => writer.add(message({ messageId: 'x'.repeat(256) }))).toThrow('AMQP carries 255')
    expect(() => writer.add(message({ headers: { ['n'.repeat(256)]: 1 } }))).toThrow('AMQP carries 255')
    expect(() => writer.add(message({ headers: { a: Number.NaN } }))).toThrow('no type in AMQP')
    expect(() => writer.add(message({ headers: { a: [1n] } }))).toThrow('no type in AMQP')
    expect(() => writer.add(message({ headers: { a: 'x'.repeat(9000) } }))).toThrow('the broker takes 8192')
    writer.add(good)
    expect(Buffer.concat(writer.take())).toEqual(Buffer.concat([driverBytes(good), driverBytes(good)]))
    expect(writer.take()).toEqual([])
  })

  it('leaves what it gave away as it was', () => {
    const writer = new PublishWriter(channel, frameMax)
    writer.add(message({ messageId: 'first' }))
    const first = writer.take()
    const before = Buffer.concat(first)
    writer.add(message({ messageId: 'second' }, 70_000))
    writer.take()
    expect(Buffer.concat(first)).toEqual(before)
  })
})
