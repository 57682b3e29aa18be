import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { parameterProblems, parametersOf } from '../../../protocols/amqp/client/parameters.ts'
import { bindingKey, checkFrom, checkTarget, inFlightOf } from '../../../protocols/amqp/config.ts'
import { encodeWord, shortStringProblem } from '../../../protocols/amqp/destination.ts'
import { refusalOf, sizeLimitOf, toGatewayError } from '../../../protocols/amqp/errors.ts'
import { amqp } from '../../../protocols/amqp/index.ts'

const from = (value: Record<string, unknown>) => amqp.source!.schema.parse(value)
const target = (value: Record<string, unknown>) => amqp.sink!.schema.parse(value)
const paths = (problems: readonly { path: readonly unknown[] }[]) => problems.map(({ path }) => path.join('.'))

describe('amqp settings', () => {
  test('a connection needs an amqp address and a heartbeat of at least a second', () => {
    expect(amqp.connection.parse({ url: 'amqp://localhost' })).toMatchObject({ heartbeat: 10_000 })
    for (const wrong of [{ url: 'http://localhost' }, { url: 'amqp://localhost', heartbeat: '10ms' }]) {
      expect(amqp.connection.safeParse(wrong).success).toBe(false)
    }
  })

  test('tls needs amqps', () => {
    const check = (url: string) => paths(amqp.checkConnection!(amqp.connection.parse({ url, tls: {} })))
    expect(check('amqp://localhost')).toEqual(['tls'])
    expect(check('amqps://localhost')).toEqual([])
  })

  test('a password needs a user, under its key or in the address', () => {
    const check = (settings: object) => paths(amqp.checkConnection!(amqp.connection.parse(settings)))
    expect(check({ url: 'amqp://localhost', password: 'p' })).toEqual(['password'])
    expect(check({ url: 'amqp://user@localhost', password: 'p' })).toEqual([])
    expect(check({ url: 'amqp://localhost', username: 'user', password: 'p' })).toEqual([])
    expect(amqp.connection.safeParse({ url: 'amqp://localhost', username: '' }).success).toBe(false)
  })

  test('maxInFlight has a former name, which counts where it stands', () => {
    expect(inFlightOf(from({ queue: 'q' }))).toBe(500)
    expect(inFlightOf(from({ queue: 'q', maxInFlight: 7 }))).toBe(7)
    expect(inFlightOf(from({ queue: 'q', prefetch: 3 }))).toBe(3)
  })

  test('a target has either an exchange or a queue', () => {
    expect(checkTarget(target({ queue: 'q' }))).toEqual([])
    expect(checkTarget(target({ exchange: 'e', routingKey: 'k' }))).toEqual([])
    expect(paths(checkTarget(target({})))).toEqual([''])
    expect(paths(checkTarget(target({ exchange: 'e', queue: 'q' })))).toEqual([''])
    expect(paths(checkTarget(target({ queue: 'q', routingKey: 'k' })))).toEqual(['routingKey'])
  })

  test('captures become wildcards for the broker and a pattern for params', () => {
    expect(bindingKey('order.{type}.{rest#}')).toBe('order.*.#')
    expect(bindingKey('order.*.#')).toBe('order.*.#')
    const bound = from({ queue: 'q', bind: { exchange: 'e', routingKey: 'order.{type}.#' } })
    expect(amqp.source!.subjectPattern!(bound)).toEqual({ text: 'order.{type}.#', separator: '.', one: '*', rest: '#' })
    const plain = from({ queue: 'q', bind: { exchange: 'e', routingKey: '#.error' } })
    expect(amqp.source!.subjectPattern!(plain)).toBeUndefined()
    expect(checkFrom(plain)).toEqual([])
  })

  test.each(['order.x{type}', 'order.{}', '#.{type}', '{all#}.new'])(
    '%s is no binding key for captures',
    (routingKey) => {
      const bound = from({ queue: 'q', bind: { exchange: 'e', routingKey } })
      expect(paths(checkFrom(bound))).toContain('bind.routingKey')
    },
  )

  test('parameters of the address are honoured, or told with where they belong', () => {
    expect(parametersOf('amqp://h/v?heartbeat=3&frame_max=8192')).toEqual({ heartbeat: 3, frameMax: 8_192 })
    expect(parameterProblems('amqp://h/v?heartbeat=3&channel_max=64')).toEqual([])
    const problems = (query: string) => parameterProblems(`amqp://u:secret@h?${query}`)
    expect(problems('Heartbeat=1')[0]?.unknown?.written).toBe('Heartbeat')
    expect(problems('retry_delay=2')[0]?.help).toContain('reconnects by itself')
    expect(problems('heartbeat=0').concat(problems('heartbeat=1.5'), problems('frame_max=1'))).toHaveLength(3)
    expect(problems('__proto__=1')[0]?.message).toContain('is not supported')
    expect(JSON.stringify(problems('a%20b=1'))).not.toMatch(/secret/)
  })

  test('a stream is always durable, and startFrom is for streams', () => {
    const problems = (value: object) => paths(checkFrom(from({ queue: 'q', ...value })))
    expect(problems({ startFrom: 'next' })).toEqual([])
    expect(problems({ startFrom: 7, declare: { type: 'stream' } })).toEqual([])
    expect(problems({ startFrom: 7, declare: { arguments: { 'x-queue-type': 'stream' } } })).toEqual([])
    expect(problems({ startFrom: 7, declare: true })).toEqual(['startFrom'])
    expect(problems({ startFrom: 'last', declare: { type: 'quorum' } })).toEqual(['startFrom'])
    expect(problems({ declare: { type: 'stream', durable: false } })).toEqual(['declare.durable'])
    for (const wrong of ['latest', -1, '2026-02-03']) {
      expect(amqp.source!.schema.safeParse({ queue: 'q', startFrom: wrong }).success).toBe(false)
    }
  })

  test('a destination on the command line is a queue, or an exchange and a routing key', () => {
    const { targetOf, address } = amqp.sink!
    expect(targetOf('orders', undefined)).toMatchObject({ queue: 'orders', persistent: true, declare: false })
    expect(targetOf('alarms/a.b', undefined)).toMatchObject({ exchange: 'alarms', routingKey: 'a.b' })
    expect(address(targetOf('alarms', 'a.b'))).toBe('alarms/a.b')
  })
})

describe('amqp destinations', () => {
  const text = fc.string({ unit: 'binary' }).filter((value) => value.length < 50)

  test('a value is one legal word, and different values give different words', () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        const word = encodeWord(a)
        expect(word).toMatch(/^[^.*#\p{Cc}]+$/u)
        expect(word.isWellFormed()).toBe(true)
        if (a !== b) expect(encodeWord(b)).not.toBe(word)
      }),
      { numRuns: 5_000 },
    )
  })

  test('lone surrogates stay apart', () => {
    expect(encodeWord('\ud800')).not.toBe(encodeWord('\ud801'))
    expect(encodeWord('grün/7')).toBe('grün/7')
  })

  test('a short string has at most 255 bytes', () => {
    expect(shortStringProblem('ü'.repeat(127), 1)).toBeUndefined()
    expect(shortStringProblem('ü'.repeat(128), 1)).toMatch(/255/)
    expect(shortStringProblem('', 1)).toMatch(/empty/)
    expect(shortStringProblem('', 0)).toBeUndefined()
    expect(shortStringProblem('a\0b', 0)).toMatch(/control/)
  })
})

describe('amqp errors', () => {
  const failed = (message: string, code?: number | string) => Object.assign(new Error(message), { code })

  test.each([
    ['CREDENTIALS_REFUSED', failed('Handshake terminated by server: 403 (ACCESS-REFUSED) with message "x"')],
    ['ACCESS_DENIED', failed('Expected ConnectionOpenOk; got <ConnectionClose channel:0>')],
    ['NOT_FOUND', failed('Operation failed: QueueDeclare; 404 (NOT-FOUND) with message "no queue \'x\'"', 404)],
    ['ACCESS_DENIED', failed('Operation failed: BasicConsume; 403', 403)],
    ['PEER_FAILED', failed('Channel closed by server: 406 (PRECONDITION-FAILED)', 406)],
    ['PEER_LOST', failed('Connection closed: 320 (CONNECTION-FORCED)', 320)],
    ['PEER_UNREACHABLE', failed('connect ECONNREFUSED 127.0.0.1:1', 'ECONNREFUSED')],
    ['PEER_UNREACHABLE', failed('Socket closed abruptly during opening handshake')],
    ['PEER_LOST', failed('read ECONNRESET', 'ECONNRESET')],
    ['PEER_LOST', failed('Heartbeat timeout')],
  ])('%s', (code, error) => {
    expect(toGatewayError(error, 'testing')).toMatchObject({ code, retryable: true, cause: error })
  })

  test('a refused message is permanent, a refused permission only its own', () => {
    expect(refusalOf(failed('406 invalid expiration', 406), 'publishing')).toMatchObject({ code: 'MESSAGE_REFUSED' })
    const denied = refusalOf(failed('403 access refused', 403), 'publishing')
    expect(denied).toMatchObject({ code: 'ACCESS_DENIED', isOutage: false, countsAsAttempt: false })
  })

  test("the broker's size limit is read from its refusal", () => {
    const text = 'PRECONDITION_FAILED - message size 2000 is larger than configured max size 1000'
    expect(sizeLimitOf(failed(text, 406))).toBe(1000)
    expect(sizeLimitOf(failed('PRECONDITION_FAILED - other', 406))).toBeUndefined()
  })
})
