import { createRequire } from 'node:module'
import { describe, expect, test } from '@jest/globals'
import type { Persistence, StoredPacket } from '../../../protocols/mqtt/broker/driver.ts'
import {
  numberedKey,
  pairKey,
  parseNumberedKey,
  parsePairKey,
} from '../../../protocols/mqtt/broker/sessions/records.ts'
import { type SessionRules, Sessions } from '../../../protocols/mqtt/broker/sessions/sessions.ts'
import { FakeKept } from '../../support/contexts/kept.ts'

const memory: () => Persistence = createRequire(import.meta.url)('aedes-persistence')

const anything: SessionRules = {
  mayKeep: () => true,
  usernameOf: () => 'user',
  onEnd: () => {},
  onDropped: () => {},
  onExpired: () => {},
  hasListener: () => false,
}

/** The sessions of a broker that starts on what is on disk. */
async function start(kept: FakeKept | undefined, rules: Partial<SessionRules> = {}) {
  const broker = { id: `broker-${Math.random()}`, counter: 0 }
  const sessions = new Sessions(memory(), { ...anything, ...rules }, kept)
  await sessions.setup(broker)
  return { sessions, broker }
}

function packet(counter: number, changes: Partial<StoredPacket> = {}): StoredPacket {
  const payload = Buffer.from(String(counter))
  return { cmd: 'publish', topic: 't', payload, qos: 1, retain: false, dup: false, brokerCounter: counter, ...changes }
}

async function waiting(sessions: Sessions, id: string, nextId?: number): Promise<StoredPacket[]> {
  const client = nextId === undefined ? { id } : { id, _nextId: nextId }
  return (await sessions.outgoingStream(client).toArray()) as StoredPacket[]
}

async function retained(sessions: Sessions, filter: string): Promise<string[]> {
  const packets = (await sessions.createRetainedStream(filter).toArray()) as StoredPacket[]
  return packets.map(({ topic, payload, qos }) => `${topic} ${Buffer.from(payload).toString('hex')} ${qos}`)
}

const wills = ({ lostWills }: Sessions) =>
  lostWills.map(({ clientId, username, packet: { topic, payload } }) => [
    clientId,
    username,
    topic,
    Buffer.from(payload).toString('hex'),
  ])

describe('what the embedded broker keeps, after a crash', () => {
  test('subscriptions and messages of a session are there, in order', async () => {
    const kept = new FakeKept()
    const { sessions } = await start(kept)
    await sessions.addSubscriptions({ id: 'a b' }, [{ topic: 't/+', qos: 2 }])
    for (const counter of [1, 2, 10, 9, 100]) await sessions.outgoingEnqueue({ clientId: 'a b' }, packet(counter))
    await sessions.flushed()
    const { sessions: next, broker } = await start(kept.crash())
    expect(await next.subscriptionsByClient({ id: 'a b' })).toMatchObject([{ topic: 't/+', qos: 2 }])
    expect(await next.subscriptionsByTopic('t/x')).toMatchObject([{ clientId: 'a b', qos: 2 }])
    expect((await waiting(next, 'a b')).map(({ payload }) => payload.toString())).toEqual(['1', '2', '9', '10', '100'])
    expect(broker.counter).toBe(100)
    expect([...next.kept()]).toEqual([{ clientId: 'a b', username: 'user' }])
  })

  test('what was not flushed is not there, and nothing is torn', async () => {
    const kept = new FakeKept()
    const { sessions } = await start(kept)
    await sessions.addSubscriptions({ id: 'a' }, [{ topic: 't', qos: 1 }])
    await sessions.outgoingEnqueue({ clientId: 'a' }, packet(1))
    const { sessions: next } = await start(kept.crash())
    expect(await waiting(next, 'a')).toEqual([])
    expect(await next.subscriptionsByClient({ id: 'a' })).toHaveLength(1)
  })

  test('a QoS 2 message keeps the packet id it was sent with, and its PUBREL when it has come so far', async () => {
    const kept = new FakeKept()
    const { sessions } = await start(kept)
    await sessions.addSubscriptions({ id: 'a' }, [{ topic: 't', qos: 2 }])
    for (const counter of [1, 2, 3]) await sessions.outgoingEnqueue({ clientId: 'a' }, packet(counter, { qos: 2 }))
    await sessions.outgoingUpdate({ id: 'a' }, packet(1, { qos: 2, messageId: 11 }))
    await sessions.outgoingUpdate({ id: 'a' }, packet(2, { qos: 2, messageId: 12 }))
    await sessions.outgoingUpdate({ id: 'a' }, { cmd: 'pubrel', messageId: 11 } as StoredPacket)
    const { sessions: next } = await start(kept.crash())
    const came = await waiting(next, 'a', 12)
    expect(came).toMatchObject([{ cmd: 'pubrel', messageId: 11 }, { messageId: 12 }, { messageId: 13 }])
    for (const one of came) await next.outgoingUpdate({ id: 'a' }, one)
    expect(came.map((one) => next.isResent(one))).toEqual([true, true, false])
  })

  test('an acknowledged message does not come again', async () => {
    const kept = new FakeKept()
    const { sessions } = await start(kept)
    await sessions.addSubscriptions({ id: 'a' }, [{ topic: 't', qos: 1 }])
    await sessions.outgoingEnqueue({ clientId: 'a' }, packet(1))
    await sessions.outgoingUpdate({ id: 'a' }, packet(1, { messageId: 11 }))
    await sessions.outgoingClearMessageId({ id: 'a' }, { messageId: 11 })
    await sessions.flushed()
    const { sessions: next } = await start(kept.crash())
    expect(await waiting(next, 'a')).toEqual([])
  })

  test('retained messages are there, with their bytes; an empty one has removed its topic', async () => {
    const kept = new FakeKept()
    const { sessions } = await start(kept)
    const store = (topic: string, payload: number[]) =>
      sessions.storeRetained(packet(1, { topic, payload: Buffer.from(payload), retain: true, qos: 2 }))
    await store('a/b c', [0, 10, 13, 255])
    await store('a/gone', [1])
    await store('a/gone', [])
    await sessions.flushed()
    const { sessions: next } = await start(kept.crash())
    expect(await retained(next, 'a/#')).toEqual(['a/b c 000a0dff 2'])
  })

  test('the will of a connected device is due, also where it is back before that was done', async () => {
    const kept = new FakeKept()
    const { sessions } = await start(kept)
    await sessions.putWill({ id: 'a' }, packet(1, { topic: 'w', payload: Buffer.from([10, 0]) }))
    await sessions.putWill({ id: 'left' }, packet(1))
    await sessions.delWill({ id: 'left' })
    await sessions.flushed()
    const second = kept.crash()
    const { sessions: next } = await start(second)
    expect(wills(next)).toEqual([['a', 'user', 'w', '0a00']])
    await next.delWill({ id: 'a' }) // what aedes does when the device connects
    await next.putWill({ id: 'a' }, packet(1, { topic: 'w2', payload: Buffer.from([1]) }))
    const third = second.crash()
    const { sessions: last } = await start(third)
    expect(wills(last).map(([, , topic]) => topic)).toEqual(['w', 'w2'])
    for (const will of last.lostWills) last.forgetWill(will)
    await last.flushed()
    expect(third.size).toBe(0)
  })

  test('wills stay when the broker is told to close', async () => {
    const kept = new FakeKept()
    const { sessions } = await start(kept)
    await sessions.putWill({ id: 'a' }, packet(1, { topic: 'w' }))
    sessions.freezeWills()
    await sessions.delWill({ id: 'a' })
    await sessions.close()
    await sessions.delWill({ id: 'a' })
    const { sessions: next } = await start(kept.crash())
    expect(wills(next).map(([, , topic]) => topic)).toEqual(['w'])
  })
})

describe('open QoS 2 handshakes', () => {
  test('a message committed with its note is taken, not yet published; its PUBREL ends it', async () => {
    const kept = new FakeKept()
    const { sessions } = await start(kept)
    sessions.begin('a', 'user')
    kept.put(sessions.noteOfIncoming('a', 7)!)
    await kept.flushed()
    const second = kept.crash()
    const { sessions: next } = await start(second)
    expect(next.hasIncoming('a', 7)).toBe(true)
    await expect(next.incomingGetPacket({ id: 'a' }, { messageId: 7 })).rejects.toThrow()
    await next.incomingStorePacket({ id: 'a' }, packet(1, { messageId: 7 }))
    await next.flushed()
    const third = second.crash()
    const { sessions: last } = await start(third)
    expect(await last.incomingGetPacket({ id: 'a' }, { messageId: 7 })).toMatchObject({ messageId: 7 })
    await last.incomingDelPacket({ id: 'a' }, { messageId: 7 })
    const { sessions: after } = await start(third.crash())
    expect(after.hasIncoming('a', 7)).toBe(false)
  })

  test('a note that is committed after its session has ended means nothing for the next one', async () => {
    const kept = new FakeKept()
    const { sessions } = await start(kept)
    sessions.begin('a', 'user')
    const note = sessions.noteOfIncoming('a', 7)!
    await sessions.end('a')
    sessions.begin('a', 'user')
    kept.put(note)
    await kept.flushed()
    const next = kept.crash()
    expect((await start(next)).sessions.hasIncoming('a', 7)).toBe(false)
    expect([...next.all('incoming')]).toEqual([])
  })

  test('a device has 1,000 of them at most', async () => {
    const { sessions } = await start(undefined)
    for (let messageId = 1; messageId <= 1_000; messageId += 1) {
      await sessions.incomingStorePacket({ id: 'a' }, packet(1, { messageId }))
    }
    await expect(sessions.incomingStorePacket({ id: 'a' }, packet(1, { messageId: 1_001 }))).rejects.toThrow('PUBREL')
    await sessions.incomingStorePacket({ id: 'a' }, packet(1, { messageId: 1 }))
    expect(sessions.hasRoomForIncoming('a', 0)).toBe(false)
  })
})

describe('sessions', () => {
  test('a clean session writes nothing', async () => {
    const kept = new FakeKept()
    const { sessions } = await start(kept)
    const client = { id: 'clean', clean: true }
    await sessions.cleanSubscriptions(client)
    await sessions.cleanIncoming(client)
    expect(sessions.noteOfIncoming('clean', 1)).toBeUndefined()
    await sessions.incomingStorePacket(client, packet(1, { messageId: 1 }))
    await sessions.incomingDelPacket(client, { messageId: 1 })
    await sessions.incomingStorePacket(client, packet(1, { messageId: 2 }))
    await sessions.delWill(client)
    await sessions.cleanIncoming(client)
    expect(kept.writes).toBe(0)
  })

  test('one that ended leaves nothing on disk', async () => {
    const kept = new FakeKept()
    const { sessions } = await start(kept)
    await sessions.addSubscriptions({ id: 'a' }, [
      { topic: 't', qos: 1 },
      { topic: 'u', qos: 0 },
    ])
    await sessions.outgoingEnqueue({ clientId: 'a' }, packet(1, { qos: 2 }))
    await sessions.outgoingUpdate({ id: 'a' }, packet(1, { qos: 2, messageId: 3 }))
    await sessions.incomingStorePacket({ id: 'a' }, packet(1, { messageId: 4 }))
    await sessions.flushed()
    expect(kept.size).toBe(6)
    await sessions.end('a')
    expect(kept.size).toBe(0)
    expect(sessions.hasIncoming('a', 4)).toBe(false)
  })

  test('rights that were taken away take filters with them, and the messages that only they matched', async () => {
    const kept = new FakeKept()
    const { sessions } = await start(kept)
    await sessions.addSubscriptions({ id: 'a' }, [
      { topic: 'mine/#', qos: 1 },
      { topic: 'secret/#', qos: 1 },
    ])
    await sessions.outgoingEnqueue({ clientId: 'a' }, packet(1, { topic: 'secret/1' }))
    await sessions.outgoingEnqueue({ clientId: 'a' }, packet(2, { topic: 'mine/1' }))
    await sessions.restrict('a', (filter) => filter.startsWith('mine'))
    expect((await sessions.subscriptionsByClient({ id: 'a' })).map(({ topic }) => topic)).toEqual(['mine/#'])
    expect((await waiting(sessions, 'a')).map(({ topic }) => topic)).toEqual(['mine/1'])
  })

  test('a packet id is on disk before its QoS 2 message leaves, and gone before its PUBCOMP', async () => {
    const kept = new FakeKept()
    const { sessions } = await start(kept)
    await sessions.addSubscriptions({ id: 'a' }, [{ topic: 't', qos: 2 }])
    await sessions.outgoingEnqueue({ clientId: 'a' }, packet(1, { qos: 2 }))
    await sessions.outgoingUpdate({ id: 'a' }, packet(1, { qos: 2, messageId: 3 }))
    expect([...kept.all('sent')]).toHaveLength(1)
    await sessions.incomingStorePacket({ id: 'a' }, packet(1, { messageId: 4 }))
    await sessions.flushed()
    expect([...kept.all('incoming')]).toHaveLength(1)
    await sessions.incomingDelPacket({ id: 'a' }, { messageId: 4 })
    expect([...kept.all('incoming')]).toHaveLength(0)
  })
})

test('keys keep client ids and topics of any characters apart', () => {
  const texts = ['', ' ', '1', '1 1', 'a', 'a ', ' a', '0001', 'ä€😀', '\n', '%20', 'a/b']
  const pairs = texts.flatMap((first) => texts.map((second) => ({ first, second })))
  expect(new Set(pairs.map(({ first, second }) => pairKey(first, second))).size).toBe(pairs.length)
  for (const pair of pairs) expect(parsePairKey(pairKey(pair.first, pair.second))).toEqual(pair)
  for (const text of texts) expect(parseNumberedKey(numberedKey(42, text))).toEqual({ number: 42, text })
  expect([numberedKey(10, 'a'), numberedKey(9, 'b')].sort()).toEqual([numberedKey(9, 'b'), numberedKey(10, 'a')])
})
