import { describe, expect, it } from '@jest/globals'
import { decode, encode, type MqttProperties } from '../../../protocols/mqtt/codec.ts'
import { Envelope, type EnvelopeFields, type Format } from '../../../src/envelope/envelope.ts'
import { mediaTypes } from '../../../src/envelope/formats.ts'
import { throughMqtt } from './codec-wire.ts'

const nowMs = Date.parse('2026-11-23T20:00:05.000Z')
const fields = {
  messageId: 'm-1',
  timestamp: '2026-11-23T20:00:00.123Z',
  source: 'kafka://e/t',
  payload: Buffer.from('{}'),
}
const event = { specversion: '1.0', id: 'i', source: 's', type: 't' }

function receive(properties?: MqttProperties, format?: Format, version: 4 | 5 = 5, isOfReplies = false): Envelope {
  const packet = {
    topic: 'sensors/7',
    payload: Buffer.from('{"a":1}'),
    properties,
    qos: 1,
    retain: false,
    dup: false,
  } as const
  return decode(packet, { connection: 'devices', version, format, isOfReplies })
}

function send(changes: Partial<EnvelopeFields>, format?: Format, version: 4 | 5 = 5) {
  return encode({ envelope: new Envelope({ ...fields, ...changes }), target: {}, format }, version, nowMs)
}

describe('mqtt decode', () => {
  it('names a device message by its topic and the time of receipt', () => {
    const before = new Date().toISOString()
    const envelope = receive(undefined, undefined, 4)
    expect(envelope.messageId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/)
    expect(envelope).toMatchObject({ source: 'mqtt://devices/sensors/7', headers: {} })
    expect(envelope.timestamp >= before && envelope.timestamp <= new Date().toISOString()).toBe(true)
  })

  it('reads the native properties', () => {
    const correlationData = Buffer.from('c')
    const envelope = receive({ contentType: 'a/b', correlationData, responseTopic: 'r/7', messageExpiryInterval: 60 })
    expect(envelope).toMatchObject({ contentType: 'a/b', correlationId: 'c', replyTo: 'mqtt:r/7', ttlMs: 60_000 })
  })

  it('takes user properties named like attributes for headers unless all mandatory ones are there', () => {
    expect({ ...receive({ userProperties: { id: 'x', type: 'y' } }).headers }).toEqual({ id: 'x', type: 'y' })
    expect(receive({ userProperties: { ...event, other: 'o', 'o-p': 'q' } })).toMatchObject({
      ...{ messageId: 'i', source: 's', eventType: 't' },
      headers: { 'o-p': 'q' },
      extensions: { other: 'o' },
    })
  })

  it('goes by the correlation data of who asks or replies, whatever an attribute says', () => {
    const said = { correlationData: Buffer.from('c'), userProperties: { ...event, correlationid: 'other' } }
    expect(receive(said).correlationId).toBe('other')
    expect(receive({ ...said, responseTopic: 'r' }).correlationId).toBe('c')
    expect(receive(said, undefined, 5, true).correlationId).toBe('c')
    expect(receive(said, 'raw', 5, true)).toMatchObject({ correlationId: 'c', headers: {} })
  })

  it('detects structured bodies by content type, and with MQTT 3.1.1 by the word of the user alone', () => {
    expect(receive({ contentType: mediaTypes.envelope })).toMatchObject({ payload: null, contentType: undefined })
    expect(receive(undefined, 'envelope', 4).payload).toBeNull()
    expect(String(receive(undefined, undefined, 4).payload)).toBe('{"a":1}')
  })
})

describe('mqtt encode', () => {
  it('fills properties and user properties', () => {
    const changes = {
      contentType: 'application/json',
      ttlMs: 60_000,
      correlationId: 'c',
      replyTo: 'mqtt:r/7',
      headers: { a: ['x', 'y'] },
    }
    expect(send(changes).properties).toMatchObject({
      payloadFormatIndicator: true,
      messageExpiryInterval: 56,
      contentType: 'application/json',
      responseTopic: 'r/7',
      correlationData: Buffer.from('c'),
      userProperties: {
        ...{ specversion: '1.0', id: 'm-1', source: 'kafka://e/t', type: 'trivium.raw', time: fields.timestamp },
        ...{ correlationid: 'c', trvttl: '60000', expirytime: '2026-11-23T20:01:00.123Z', a: ['x', 'y'] },
      },
    })
  })

  it('asks with the address and the token it is given, whatever the format and the envelope say', () => {
    const ask = { token: 'i-0-1', replyTo: 'trivium/g/i/replies', isOver: false }
    const envelope = new Envelope({ ...fields, replyTo: 'mqtt:elsewhere' })
    for (const format of ['binary', 'raw', 'cloudevents', 'envelope'] as const) {
      expect(encode({ envelope, target: {}, format, ask }, 5, nowMs).properties).toMatchObject({
        responseTopic: 'trivium/g/i/replies',
        correlationData: Buffer.from('i-0-1'),
      })
    }
    expect(encode({ envelope, target: {}, format: 'raw', ask }, 4, nowMs).properties).toBeUndefined()
  })

  it('gives an answer the very correlation data of its request', () => {
    const correlationData = Buffer.from([0xff, 0xfe, 0])
    const { correlationId } = receive({ correlationData })
    expect(send({ correlationId }).properties?.correlationData).toEqual(correlationData)
  })

  it('claims text only for a payload that is UTF-8', () => {
    const contentType = 'text/plain'
    expect(send({ contentType, payload: Buffer.from([0xff]) }).properties?.payloadFormatIndicator).toBeUndefined()
  })

  it.each(['a\nb', '\u0085', '\ufffe', 'x'.repeat(65_536)])(
    'sends a field that no property can hold in the body',
    (messageId) => {
      const { payload, properties } = send({ messageId })
      expect(properties?.contentType).toBe(mediaTypes.envelope)
      expect(properties?.userProperties).toBeUndefined()
      const packet = throughMqtt({ payload, properties: properties as MqttProperties }, 5)
      expect(decode(packet, { connection: 'devices', version: 5 }).messageId).toBe(messageId)
    },
  )

  it('writes no character into a property that makes a broker hang up', () => {
    const headers = { 'na\nme': 'x', tab: 'a\tb', list: ['\u0080'], table: { '\uffff': '\u{1ffff}' }, id: 'x' }
    const { userProperties } = send({ headers }).properties as MqttProperties
    expect(JSON.stringify(userProperties)).toMatch(/^[\x20-\x7e]*$/)
    expect(Object.values(userProperties ?? {}).join('')).not.toMatch(/[\p{Cc}\p{Noncharacter_Code_Point}]/u)
  })

  it('repeats a header only where the parser of mqtt-packet gives back each', () => {
    expect(send({ headers: { a: ['', 'x'] } }).properties?.userProperties).toMatchObject({
      a: '["","x"]',
      trvtypes: 'a=j',
    })
  })

  it('sends the payload alone with MQTT 3.1.1 and in raw format', () => {
    expect(send({ payload: null }, undefined, 4)).toEqual({ payload: Buffer.alloc(0) })
    expect(send({}, 'binary', 4)).toEqual({ payload: fields.payload })
    expect(send({}, 'raw', 5)).toEqual({ payload: fields.payload })
    expect(String(send({}, 'envelope', 4).payload)).toContain('"messageId":"m-1"')
  })
})
