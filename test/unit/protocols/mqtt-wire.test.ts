import { describe, expect, it } from '@jest/globals'
import * as fc from 'fast-check'
import mqttPacket, { type IPublishPacket, type Packet } from 'mqtt-packet'
import {
  AckWriter,
  ackHeader,
  disconnectPacket,
  type Publish,
  PublishWriter,
  pingPacket,
} from '../../../protocols/mqtt/client/wire.ts'

/** What mqtt.js's own parser makes of the bytes. */
function parsed(chunks: readonly Uint8Array[], version: 4 | 5): Packet[] {
  const packets: Packet[] = []
  const parser = mqttPacket.parser({ protocolVersion: version })
  parser.on('packet', (packet) => packets.push(packet))
  parser.on('error', (error: Error) => {
    throw error
  })
  for (const chunk of chunks) parser.parse(Buffer.from(chunk))
  return packets
}

const string = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((text) => !/\p{Cc}/u.test(text))
const message: fc.Arbitrary<Publish> = fc.record({
  topic: string.filter((text) => text !== ''),
  payload: fc.uint8Array({ maxLength: 300 }),
  qos: fc.constantFrom(0, 1, 2),
  retain: fc.boolean(),
  properties: fc.record(
    {
      payloadFormatIndicator: fc.boolean(),
      messageExpiryInterval: fc.nat(0xffff_ffff),
      contentType: string,
      responseTopic: string.filter((text) => text !== ''),
      correlationData: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      userProperties: fc.dictionary(
        string.filter((name) => name !== '' && name !== '__proto__'),
        fc.oneof(
          string,
          fc.array(
            string.filter((text) => text !== ''),
            { minLength: 2, maxLength: 3 },
          ),
        ),
        { maxKeys: 4 },
      ),
    },
    { requiredKeys: [] },
  ),
})

it.each([4, 5] as const)('PUBLISH packets of version %i read back as they were', (version) => {
  void fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 6 }), (messages) => {
      const writer = new PublishWriter(version, Number.POSITIVE_INFINITY)
      for (const [i, each] of messages.entries()) writer.add(each, i + 250)
      const packets = parsed(writer.take(), version) as IPublishPacket[]
      expect(packets).toHaveLength(messages.length)
      for (const [i, { topic, payload, qos, retain, properties }] of messages.entries()) {
        expect(packets[i]).toMatchObject({ cmd: 'publish', topic, qos, retain, dup: false })
        expect(Buffer.compare(packets[i]?.payload as Buffer, payload)).toBe(0)
        if (qos > 0) expect(packets[i]?.messageId).toBe(i + 250)
        if (version === 5) expectProperties(packets[i]?.properties ?? {}, properties ?? {})
      }
    }),
  )
})

function expectProperties(
  actual: NonNullable<IPublishPacket['properties']>,
  expected: NonNullable<Publish['properties']>,
) {
  for (const [name, value] of Object.entries(expected)) {
    if (name === 'userProperties') expect({ ...actual.userProperties }).toEqual({ ...(value as object) })
    else expect(actual[name as keyof typeof actual]).toEqual(value)
  }
}

it.each([0, 126, 127, 128, 16_382, 16_384, 16_385, 65_536, 2_097_152])(
  'a payload of %i bytes keeps its length and bytes',
  (size) => {
    const writer = new PublishWriter(5, Number.POSITIVE_INFINITY)
    const payload = Buffer.alloc(size, 7)
    writer.add({ topic: 'a', payload, qos: 1, retain: false }, 1)
    writer.add({ topic: 'b', payload: Buffer.from('next'), qos: 0, retain: false }, 0)
    const [first, second] = parsed(writer.take(), 5) as IPublishPacket[]
    expect(Buffer.compare(first?.payload as Buffer, payload)).toBe(0)
    expect(`${second?.payload}`).toBe('next')
  },
)

describe('what a broker would hang up on', () => {
  const base = { topic: 'a', payload: Buffer.alloc(0), qos: 1, retain: false } as const

  it.each([
    [{ ...base, topic: 'a\0' }, 'MESSAGE_REFUSED'],
    [{ ...base, properties: { contentType: 'a\nb' } }, 'MESSAGE_REFUSED'],
    [{ ...base, properties: { userProperties: { a: ['fine', 'b\x85'] } } }, 'MESSAGE_REFUSED'],
    [{ ...base, properties: { userProperties: { a: 'x'.repeat(65_536) } } }, 'MESSAGE_TOO_LARGE'],
    [{ ...base, properties: { correlationData: Buffer.alloc(65_536) } }, 'MESSAGE_TOO_LARGE'],
    [{ ...base, payload: Buffer.alloc(1_000) }, 'MESSAGE_TOO_LARGE'],
  ])('is refused before it is written: %#', (bad, code) => {
    const writer = new PublishWriter(5, 1_000)
    writer.add(base, 1)
    expect(() => writer.add(bad, 2)).toThrow(expect.objectContaining({ code, retryable: false }))
    expect(parsed(writer.take(), 5)).toHaveLength(1)
  })

  it('a packet as large as the broker takes goes out, one byte more does not', () => {
    const size = (payload: number) => 1 + 1 + 2 + 1 + 2 + 1 + payload
    const writer = new PublishWriter(5, size(50))
    writer.add({ ...base, payload: Buffer.alloc(50) }, 1)
    expect(Buffer.concat(writer.take())).toHaveLength(size(50))
    expect(() => writer.add({ ...base, payload: Buffer.alloc(51) }, 1)).toThrow(/the broker takes 58/)
  })
})

it('acknowledgements gather, in order, in both versions', () => {
  const writer = new AckWriter()
  for (let id = 1; id <= 500; id += 1) writer.add(ackHeader.puback, id)
  writer.add(ackHeader.pubrec, 65_535)
  writer.add(ackHeader.pubrel, 256)
  writer.add(ackHeader.pubcomp, 3)
  const bytes = writer.take()
  for (const version of [4, 5] as const) {
    const packets = parsed([bytes], version)
    expect(packets.slice(0, 500).map(({ messageId }) => messageId)).toEqual(
      Array.from({ length: 500 }, (_, i) => i + 1),
    )
    expect(packets.slice(500)).toMatchObject([
      { cmd: 'pubrec', messageId: 65_535 },
      { cmd: 'pubrel', messageId: 256 },
      { cmd: 'pubcomp', messageId: 3 },
    ])
  }
  expect(writer.isEmpty).toBe(true)
  expect(writer.take()).toHaveLength(0)
})

it('PINGREQ and DISCONNECT are two bytes', () => {
  expect(parsed([pingPacket, disconnectPacket], 5)).toMatchObject([{ cmd: 'pingreq' }, { cmd: 'disconnect' }])
})
