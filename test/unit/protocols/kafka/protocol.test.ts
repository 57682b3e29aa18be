import { describe, expect, it } from '@jest/globals'
import { deal } from '../../../../protocols/kafka/client/assignment.ts'
import { topicRegExp } from '../../../../protocols/kafka/client/topics.ts'
import { topicDestination } from '../../../../protocols/kafka/destination.ts'
import { brokerError, toGatewayError } from '../../../../protocols/kafka/errors.ts'
import { kafka } from '../../../../protocols/kafka/index.ts'

describe('topic destination', () => {
  it.each([
    ['berlin', 'berlin'],
    ['site_1', 'site_1'],
    ['a.b', 'a_2Eb'],
    ['a/b', 'a_2Fb'],
    ['a_2Fb', 'a_5F2Fb'],
    ['ü', '_C3_BC'],
    ['', '_FF'],
    ['_FF', '_5FFF'],
  ])('writes %j as %j', (value, written) => {
    expect(topicDestination.encode(value)).toBe(written)
  })

  it.each(['', '.', '..', 'a b', 'a/b', 'x'.repeat(250)])('finds fault with %j', (text) => {
    expect(topicDestination.check(text)).toEqual(expect.any(String))
  })

  it('has nothing against a legal name', () => {
    expect(topicDestination.check('telemetry.berlin_7-a')).toBeUndefined()
  })
})

describe('topic pattern', () => {
  it.each([
    ['telemetry.{site}', 'telemetry.berlin', true],
    ['telemetry.{site}', 'telemetry.berlin.old', false],
    ['telemetry.{site}', 'telemetryXberlin', false],
    ['telemetry.{rest#}', 'telemetry.berlin.old', true],
    ['{a}.x.{b}', 'one.x.two', true],
    ['{a}.x.{b}', 'one.y.two', false],
  ])('%s and %s', (pattern, topic, matches) => {
    expect(topicRegExp(pattern).test(topic)).toBe(matches)
  })
})

it('deal gives every partition to exactly one member that reads its topic, evenly', () => {
  const members = [
    { memberId: 'b', topics: new Set(['x']) },
    { memberId: 'a', topics: new Set(['x', 'y']) },
  ]
  const dealt = deal(members, [
    { topic: 'x', partitions: 4 },
    { topic: 'y', partitions: 2 },
  ])
  expect({ ...dealt.get('a') }).toEqual({ x: [0, 2], y: [0, 1] })
  expect({ ...dealt.get('b') }).toEqual({ x: [1, 3] })
})

describe('errors', () => {
  it.each([
    ['MESSAGE_TOO_LARGE', 'MESSAGE_TOO_LARGE', false],
    ['UNKNOWN_TOPIC_OR_PARTITION', 'NOT_FOUND', true],
    ['TOPIC_AUTHORIZATION_FAILED', 'ACCESS_DENIED', true],
    ['NOT_LEADER_FOR_PARTITION', 'PEER_UNREACHABLE', true],
    ['SOMETHING_NEW', 'PEER_FAILED', true],
  ])('%s is %s', (type, code, retryable) => {
    expect(brokerError(type, 'topic t')).toMatchObject({ code, retryable })
  })

  it('keep the cause and say what was attempted', () => {
    const cause = Object.assign(new Error('nobody there'), { name: 'KafkaJSConnectionError' })
    expect(toGatewayError(cause, 'sending')).toMatchObject({
      code: 'PEER_UNREACHABLE',
      message: 'sending: nobody there',
      cause,
    })
  })
})

describe('configuration', () => {
  const parse = (settings: Record<string, unknown>) => kafka.connection.parse({ brokers: ['a:9092'], ...settings })

  it('fills in its defaults', () => {
    expect(parse({})).toEqual({
      brokers: ['a:9092'],
      compression: 'none',
      connectTimeout: 10_000,
      replyTopic: 'trivium.replies',
      requestTimeout: 20_000,
    })
    expect(kafka.source?.schema.parse({ topic: 't' })).toEqual({
      topic: 't',
      startFrom: 'earliest',
      maxInFlight: 1000,
      maxBytes: 32 * 1024 ** 2,
    })
  })

  it.each([[{ brokers: [] }], [{ brokers: ['localhost'] }], [{ brokers: ['a:1'], sasl: { mechanism: 'gssapi' } }]])(
    'refuses %j',
    (settings) => {
      expect(kafka.connection.safeParse(settings).success).toBe(false)
    },
  )

  it.each([[{}], [{ topic: 'a', topics: ['b'] }], [{ topic: 'a/b' }]])('refuses to read from %j', (from) => {
    expect(kafka.source?.schema.safeParse(from).success).toBe(false)
  })

  it('warns of a password sent in the clear, except to this machine', () => {
    const sasl = { mechanism: 'plain', username: 'u', password: 'p' }
    expect(kafka.checkConnection?.(parse({ sasl }))).toEqual([
      { path: ['sasl', 'mechanism'], message: expect.stringContaining('tls') },
    ])
    expect(kafka.checkConnection?.(parse({ sasl, tls: {} }))).toEqual([])
    expect(kafka.checkConnection?.(parse({ sasl, brokers: ['localhost:9092', '127.0.0.1:9093'] }))).toEqual([])
  })
})
