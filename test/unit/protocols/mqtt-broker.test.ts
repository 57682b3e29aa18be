import { describe, expect, test } from '@jest/globals'
import { HeaderScanner } from '../../../protocols/mqtt/broker/admission/header-scanner.ts'
import { createUsers } from '../../../protocols/mqtt/broker/admission/users.ts'
import { parseListenUrl, MqttBrokerConnection as schema } from '../../../protocols/mqtt/broker/config.ts'
import { compileFilter, filterProblem, topicProblem } from '../../../protocols/mqtt/broker/filter.ts'
import { EntryStore } from '../../../protocols/mqtt/broker/sessions/entry-store.ts'
import { OutgoingQueue } from '../../../protocols/mqtt/broker/sessions/outgoing.ts'
import { covers } from '../../../protocols/mqtt/client/subscription.ts'
import { isLoopback } from '../../../src/adapter/loopback.ts'
import { randomFrom } from '../../support/random.ts'

describe('settings', () => {
  test('one address or several, users, limits', () => {
    const settings = {
      listen: ['mqtt://127.0.0.1:1883', 'wss://[::1]:443'],
      users: [{ username: 'a', password: 'b', publish: ['s/#'] }],
      maxPacketSize: '64KiB',
      connectTimeout: '2s',
    }
    expect(schema.parse(settings)).toMatchObject({ maxPacketSize: 65_536, connectTimeout: 2_000 })
    expect(schema.parse({ listen: 'ws://localhost' })).toMatchObject({ listen: 'ws://localhost', users: [] })
  })

  test.each([
    [{ listen: 'http://127.0.0.1:1883' }],
    [{ listen: 'mqtt://127.0.0.1:70000' }],
    [{ listen: 'mqtt://user:password@127.0.0.1:1883' }],
    [{ listen: [] }],
    [{ users: [{ username: '', password: 'x' }] }],
    [{ users: [{ username: 'a', password: 'x', publish: ['a/#/b'] }] }],
    [
      {
        users: [
          { username: 'a', password: 'x' },
          { username: 'a', password: 'y' },
        ],
      },
    ],
    [{ maxTopicLevels: 101 }],
    [{ maxConnections: 0 }],
  ])('%j is refused', (settings) => {
    expect(schema.safeParse(settings).success).toBe(false)
  })

  test.each([
    ['mqtt://localhost', { scheme: 'mqtt', host: 'localhost', port: 1883 }, true],
    ['mqtts://0.0.0.0', { scheme: 'mqtts', host: '0.0.0.0', port: 8883 }, false],
    ['wss://[::1]:9001/', { scheme: 'wss', host: '::1', port: 9001 }, true],
    ['ws://127.0.0.1.example.org:80', { scheme: 'ws', host: '127.0.0.1.example.org', port: 80 }, false],
  ])('%s is read', (text, parts, loopback) => {
    const address = parseListenUrl(text)
    expect(address).toMatchObject(parts)
    expect(address && isLoopback(address.host)).toBe(loopback)
  })
})

describe('filters', () => {
  test.each([
    ['#', 'a/b', true],
    ['#', '$SYS/a', false],
    ['+/a', '$SYS/a', false],
    ['$SYS/#', '$SYS/a', true],
    ['a/#', 'a', true],
    ['a/#', 'a/b/c', true],
    ['a/#', 'ab', false],
    ['a/+', 'a', false],
    ['a/+', 'a/', true],
    ['a/+/c', 'a/b/c', true],
    ['a/+', 'a/b/c', false],
    ['+/+', '/x', true],
    ['a', 'a', true],
  ])('%s and %s match: %s', (filter, topic, matches) => {
    expect(compileFilter(filter)(topic)).toBe(matches)
  })

  test.each(['', 'a/#/b', 'a#', '#a', 'a+', '+a/b', 'a/\0', '\ud800'])('the filter %j is illegal', (filter) => {
    expect(filterProblem(filter)).toBeDefined()
  })

  test.each(['', '+', 'a/#', 'a\0', 'a/\ufffd', 'a/b/c/d'])('the topic %j is illegal', (topic) => {
    expect(topicProblem(topic, { maxTopicLevels: 3, maxTopicBytes: 64 })).toBeDefined()
  })

  test('an allowed filter matches granted topics only: 100,000 random triples', () => {
    const random = randomFrom(42)
    const level = () => ['a', 'b', '', '$c', '+', '#'][random(6)] as string
    const text = (pick: () => string) => Array.from({ length: 1 + random(4) }, pick).join('/')
    const plain = () => ['a', 'b', '', '$c'][random(4)] as string
    let allowed = 0
    for (let i = 0; i < 100_000; i += 1) {
      const [grant, filter, topic] = [text(level), text(level), text(plain)]
      if (filterProblem(grant) ?? filterProblem(filter)) continue
      if (!covers(grant, filter)) continue
      allowed += 1
      if (compileFilter(filter)(topic) && !compileFilter(grant)(topic))
        throw new Error(`${filter} in ${grant}: ${topic}`)
    }
    expect(allowed).toBeGreaterThan(1_000)
  })
})

describe('users', () => {
  const users = createUsers([
    { username: 'all', password: 'x' },
    { username: 'publisher', password: 'y', publish: ['s/+'] },
  ])
  const login = (username?: string, password?: string) =>
    users.login(username, password === undefined ? undefined : Buffer.from(password))

  test('only the right password of a known name gets in', () => {
    expect(login('all', 'x')?.username).toBe('all')
    expect([login('all', 'y'), login('all'), login(), login('', ''), login('ALL', 'x')]).toEqual(
      Array(5).fill(undefined),
    )
  })

  test('neither list means every topic, one list alone empties the other', () => {
    const [all, publisher] = [login('all', 'x'), login('publisher', 'y')].map((account) => account?.rightsAs('any'))
    expect([all?.mayPublish('a/b'), all?.maySubscribe('#')]).toEqual([true, true])
    expect([publisher?.mayPublish('s/1'), publisher?.mayPublish('t/1')]).toEqual([true, false])
    expect(publisher?.maySubscribe('s/1')).toBe(false)
  })
})

describe('gate', () => {
  const connect = Buffer.from([0x10, 13, 0, 4, ...Buffer.from('MQTT'), 4, 2, 0, 0, 0, 1, 0x61])

  test('packets in any pieces pass, and boundaries are known', () => {
    const stream = Buffer.concat([connect, Buffer.from([0xc0, 0]), Buffer.from([0x30, 0x82, 1]), Buffer.alloc(130)])
    for (let size = 1; size < stream.length; size += 1) {
      const gate = new HeaderScanner(200)
      for (let at = 0; at < stream.length; at += size)
        expect(gate.admit(stream.subarray(at, at + size))).toBeUndefined()
      expect(gate.isAtBoundary).toBe(true)
    }
  })

  test.each([
    ['more than 64 KiB before CONNECT', Buffer.from([0x10, 0x81, 0x80, 0x04, 0, 4, ...Buffer.from('MQTT'), 4])],
    ['more than allowed after it', Buffer.concat([connect, Buffer.from([0x30, 0xc9, 1])])],
    ['a length without an end', Buffer.concat([connect, Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80])])],
    ['another protocol', Buffer.from([0x10, 14, 0, 4, ...Buffer.from('HTTP'), 4, 2, 0, 0, 0, 1, 0x61])],
  ])('%s is refused, in one piece and byte by byte', (_name, bytes) => {
    expect(new HeaderScanner(200).admit(bytes)).toBeDefined()
    const gate = new HeaderScanner(200)
    const refusals = [...bytes].map((byte) => gate.admit(Buffer.from([byte])))
    expect(refusals.some((refusal) => refusal !== undefined)).toBe(true)
  })
})

describe('queue of a kept session', () => {
  const packet = (counter: number, qos: 1 | 2 = 1) =>
    ({
      cmd: 'publish',
      topic: 't',
      payload: Buffer.from('x'),
      qos,
      retain: false,
      dup: false,
      brokerId: 'b',
      brokerCounter: counter,
    }) as const

  test('acknowledged messages leave it, others come again in order, known again where they were sent', () => {
    const queue = new OutgoingQueue('device', new EntryStore(undefined))
    for (const counter of [1, 2, 3]) queue.add(packet(counter))
    queue.update({ ...packet(1), messageId: 11 })
    queue.update({ ...packet(2), messageId: 12 })
    expect(queue.remove(11)).toMatchObject({ brokerCounter: 1 })
    expect(queue.remove(11)).toBeUndefined()
    expect(queue.remove(undefined)).toBeUndefined()
    expect([...queue.replay()].map(({ brokerCounter, messageId }) => [brokerCounter, messageId])).toEqual([
      [2, 12],
      [3, undefined],
    ])
    expect([queue.update({ ...packet(2), messageId: 12 }), queue.update({ ...packet(3), messageId: 13 })]).toEqual([
      true,
      false,
    ])
  })

  test('of a QoS 2 message only PUBREL is sent again after PUBREC', () => {
    const queue = new OutgoingQueue('device', new EntryStore(undefined))
    queue.add(packet(1, 2))
    queue.update({ ...packet(1, 2), messageId: 7 })
    queue.update({ cmd: 'pubrel', messageId: 7 } as never)
    expect([...queue.replay()]).toEqual([{ cmd: 'pubrel', messageId: 7 }])
    queue.remove(7)
    expect([queue.size, queue.bytes]).toEqual([0, 0])
  })
})
