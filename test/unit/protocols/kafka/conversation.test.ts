import { describe, expect, it } from '@jest/globals'
import type { InHeaders } from '../../../../protocols/kafka/client/record-set.ts'
import { decode, encode } from '../../../../protocols/kafka/codec.ts'
import { replyTarget } from '../../../../protocols/kafka/conversation.ts'
import { Envelope, type EnvelopeFields, type Format } from '../../../../src/envelope/envelope.ts'
import { pairsOf } from './batches.ts'

const at = { connection: 'events', topic: 't', partition: 0 }
const partition = (hex: string) => ({ kafka_replyTopic: 'answers', kafka_replyPartition: Buffer.from(hex, 'hex') })
const receive = (headers: InHeaders, value = Buffer.from('q')) =>
  decode({ offset: 1, timestampMs: 0, key: null, value, headers }, at)

function send(changes: Partial<EnvelopeFields>, options: { format?: Format; ask?: boolean } = {}) {
  const fields = { messageId: 'm', timestamp: '2026-12-01T00:00:00Z', source: 's', payload: Buffer.from('q') }
  const ask = { token: 'token-1', replyTo: 'trivium.replies', isOver: false }
  const envelope = new Envelope({ ...fields, ...changes })
  const outbound = { envelope, target: {}, format: options.format, ...(options.ask === true ? { ask } : {}) }
  const { headers } = encode(outbound)
  const own = pairsOf(headers).filter(([name]) => String(name).startsWith('kafka_'))
  return own.map(([name, value]) => [name, Buffer.from(value ?? '').toString('hex')])
}
const hex = (text: string) => Buffer.from(text).toString('hex')

describe('headers of a conversation', () => {
  it.each([
    ['text', hex('abc'), 'abc'],
    ['nothing', '', ''],
    ['bytes that are no text', 'fffe', 'base64:__4'],
    ['text that looks like marked bytes', hex('base64:__4'), 'base64:YmFzZTY0Ol9fNA'],
  ])('a correlation of %s comes and goes untouched', (_what, bytes, text) => {
    const buffer = Buffer.from(bytes, 'hex')
    const kafka_correlationId = bytes === 'fffe' ? buffer : buffer.toString()
    const { correlationId, headers } = receive({ kafka_correlationId, ce_correlationid: 'another' })
    expect({ correlationId, custom: Object.keys(headers) }).toEqual({ correlationId: text, custom: [] })
    for (const format of [undefined, 'envelope', 'cloudevents'] as const) {
      expect(send({ correlationId }, format && { format })).toEqual([['kafka_correlationId', bytes]])
    }
  })

  it('a reply address comes and goes with its partition', () => {
    const { replyTo } = receive({ ...partition('00000103') })
    expect(replyTo).toBe('kafka:answers/259')
    expect(send({ replyTo })).toEqual([
      ['kafka_replyTopic', hex('answers')],
      ['kafka_replyPartition', '00000103'],
    ])
    expect(replyTarget(receive(partition('00000103')))).toEqual({ topic: 'answers', partition: 259, mustExist: true })
  })

  it('of a repeated header the last counts', () => {
    const headers = { kafka_replyTopic: ['a', 'b'], kafka_correlationId: ['1', '2'] }
    expect(receive(headers)).toMatchObject({ replyTo: 'kafka:b', correlationId: '2' })
  })

  it.each<[string, InHeaders]>([
    ['a partition of three bytes', partition('000001')],
    ['a partition below zero', partition('ffffffff')],
    ['a name that is no topic', { kafka_replyTopic: 'a/b' }],
    ['a name that is too long', { kafka_replyTopic: 'a'.repeat(250) }],
    ['no topic', { kafka_replyPartition: Buffer.alloc(4).toString() }],
    ['null', { kafka_replyTopic: null }],
  ])('%s is no reply address, and stays a custom header', (_what, headers) => {
    const envelope = receive(headers)
    expect(replyTarget(envelope)).toBeUndefined()
    expect({ ...envelope.headers }).toEqual(headers)
  })

  it.each(['amqp:q', 'kafka:', 'kafka:a/01', 'kafka:a/4294967296', 'kafka:..', undefined])(
    'an answer to %s has no place here',
    (replyTo) => {
      expect(replyTarget(new Envelope({ ...receive({}), replyTo }))).toBeUndefined()
      expect(send({ replyTo })).toEqual([])
    },
  )

  it.each<Format | undefined>([undefined, 'envelope', 'raw'])(
    'a request of this gateway bears its own alone: %s',
    (format) => {
      const custom = { kafka_replyPartition: Buffer.from([0xff]), kafka_correlationId: 'another' }
      const changes = { correlationId: 'token-1', replyTo: 'kafka:theirs/3', headers: custom }
      expect(send(changes, { ask: true, ...(format && { format }) })).toEqual([
        ['kafka_replyTopic', hex('trivium.replies')],
        ['kafka_correlationId', hex('token-1')],
      ])
    },
  )
})
