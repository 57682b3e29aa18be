import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { Budget } from '../../../src/adapter/budget.ts'
import type { Delivery, Settlement } from '../../../src/adapter/contract.ts'
import { SourceDelivery } from '../../../src/adapter/source-delivery.ts'
import { type SourcePeer, SourceSession, type SourceSessionOptions } from '../../../src/adapter/source-session.ts'
import { Envelope } from '../../../src/envelope/envelope.ts'
import { RetryableError } from '../../../src/errors.ts'
import { WatchedBudget } from './watched-budget.ts'

const lost = new RetryableError('PEER_LOST', 'the peer is gone')

/** A peer with messages that wait, which notes what it is told. */
class FakePeer implements SourcePeer<SourceDelivery> {
  readonly waiting: string[] = []
  readonly said: string[] = []

  next(): SourceDelivery | undefined {
    const text = this.waiting.shift()
    return text === undefined ? undefined : messageOf(text)
  }
  settle(delivery: SourceDelivery, settlement: Settlement): void {
    this.said.push(`${settlement} ${textOf(delivery)}`)
  }
  settleLate(delivery: SourceDelivery, settlement: Settlement): void {
    this.said.push(`late ${settlement} ${textOf(delivery)}`)
  }
  pause(): void {
    this.said.push('pause')
  }
  resume(): void {
    this.said.push('resume')
  }
  handingOver(batch: readonly SourceDelivery[]): void {
    this.said.push(`batch of ${batch.length}`)
  }
}

function messageOf(text: string): SourceDelivery {
  const envelope = new Envelope({
    messageId: text,
    timestamp: '2026-01-02T03:04:05.678Z',
    source: 'test://here',
    payload: Buffer.from(text),
  })
  return new SourceDelivery(envelope, 'address', 10)
}

const textOf = ({ envelope }: Delivery) => envelope.messageId

/** A session that runs, and what it has handed over. */
function start(wish: Partial<SourceSessionOptions> & { maxCount?: number } = {}) {
  const peer = new FakePeer()
  const parent = new Budget({ maxCount: 1_000, maxBytes: 100_000 })
  const { budget = new Budget({ maxCount: wish.maxCount ?? 100, maxBytes: 10_000, parent }), ...others } = wish
  const session = new SourceSession(peer, { gather: 'turn', ...others, budget })
  const stopping = new AbortController()
  const batches: (readonly Delivery[])[] = []
  const ended = session.run((batch) => void batches.push([...batch]), stopping.signal)
  let end: unknown = 'running'
  ended.then(
    () => {
      end = 'drained'
    },
    (error: unknown) => {
      end = error
    },
  )
  const arrive = async (...texts: string[]) => {
    peer.waiting.push(...texts)
    session.arrived()
    await turn()
    await turn()
  }
  const texts = () => batches.map((batch) => batch.map(textOf).join(' '))
  return { peer, parent, budget, session, stopping, batches, texts, arrive, endOf: () => end }
}

/** What the peer was told of messages, and of nothing else. */
const settlements = ({ said }: FakePeer) => said.filter((words) => /accept|release|reject/.test(words))

describe('settle once', () => {
  test('the first settlement is told, and no other', async () => {
    const { peer, batches, arrive, budget, parent } = start()
    await arrive('a', 'b')
    const [a, b] = batches[0]!
    for (const settlement of ['accept', 'release', 'accept'] as const) a!.settle(settlement)
    for (const settlement of ['reject', 'accept'] as const) b!.settle(settlement)
    expect(settlements(peer)).toEqual(['accept a', 'reject b'])
    expect([budget.count, budget.bytes, parent.count]).toEqual([0, 0, 0])
  })

  test('whoever held a message before it was handed over again settles nothing', async () => {
    const { peer, batches, arrive } = start({ redeliverMs: 1 })
    await arrive('a')
    batches[0]![0]!.settle('release')
    await until(() => batches.length === 2)
    batches[0]![0]!.settle('accept')
    expect(settlements(peer)).toEqual([])
    batches[1]![0]!.settle('reject')
    expect(settlements(peer)).toEqual(['reject a'])
  })
})

describe('budget', () => {
  test('is taken by what is handed over, by nothing that waits, and given back by what is settled', async () => {
    const { batches, arrive, budget, parent } = start({ maxCount: 2 })
    await arrive('a', 'b', 'c')
    expect([budget.count, budget.bytes, parent.bytes]).toEqual([2, 20, 20])
    batches[0]![0]!.settle('accept')
    await turn()
    expect([budget.count, parent.count]).toEqual([2, 2]) // the third came in its place
    for (const delivery of batches.flat()) delivery.settle('accept')
    expect([budget.count, parent.bytes]).toEqual([0, 0])
  })

  test('of what is released stays taken until it is settled for good', async () => {
    const { batches, arrive, budget } = start({ redeliverMs: 1 })
    await arrive('a')
    batches[0]![0]!.settle('release')
    expect(budget.count).toBe(1)
    await until(() => batches.length === 2)
    expect(budget.count).toBe(1)
    batches[1]![0]!.settle('accept')
    expect(budget.count).toBe(0)
  })

  test('of what an ended session handed over stays taken until it is settled', async () => {
    const { batches, arrive, budget, session } = start()
    await arrive('a', 'b')
    session.end(lost)
    expect(budget.count).toBe(2)
    for (const delivery of batches.flat()) delivery.settle('accept')
    expect([budget.count, budget.bytes]).toEqual([0, 0])
  })
})

test('a message may be taken from a budget of its own, one at a time, and counts as in flight', async () => {
  const { session, budget, peer, stopping, endOf } = start()
  const part = new Budget({ maxCount: 5, maxBytes: 1_000, parent: budget })
  const message = messageOf('a')
  message.budget = part
  expect(session.take(message)).toBe(message)
  expect([session.inFlight, part.bytes, budget.bytes]).toEqual([1, 10, 10])
  stopping.abort()
  await turn()
  expect(endOf()).toBe('running')
  message.settle('accept')
  await turn()
  expect([endOf(), settlements(peer), part.bytes, budget.bytes]).toEqual(['drained', ['accept a'], 0, 0])
})

describe('gather', () => {
  test('what came in one turn of the event loop is one batch', async () => {
    const { peer, session, texts } = start()
    for (const text of ['a', 'b']) {
      peer.waiting.push(text)
      session.arrived()
      await Promise.resolve()
    }
    expect(texts()).toEqual([])
    await turn()
    expect(texts()).toEqual(['a b'])
  })

  test('what came in one read is one batch, handed over before the turn is over', async () => {
    const { peer, session, texts } = start({ gather: 'read' })
    await turn()
    for (const text of ['a', 'b']) {
      peer.waiting.push(text)
      session.arrived()
    }
    expect(texts()).toEqual([])
    await Promise.resolve()
    expect(texts()).toEqual(['a b'])
  })

  test('what was there before the start is handed over, and the peer hears of a batch before it goes', async () => {
    const peer = new FakePeer()
    peer.waiting.push('a')
    const budget = new Budget({ maxCount: 10, maxBytes: 10_000 })
    const session = new SourceSession(peer, { budget, gather: 'turn' })
    session.arrived() // nobody listens yet
    await turn()
    expect(peer.waiting).toEqual(['a'])
    session.start((batch) => void peer.said.push(`delivered ${[...batch].map(textOf)}`))
    await turn()
    expect(peer.said).toEqual(['batch of 1', 'delivered a'])
  })

  test('where the peer throws, nothing is handed over and nothing is kept', async () => {
    const { session, peer, batches, budget } = start({ redeliverMs: 1 })
    peer.waiting.push('a', 'b')
    const next = () => {
      if (peer.waiting.length === 0) throw lost
      return peer.next()
    }
    expect(() => session.handOver(next)).toThrow(lost)
    expect(settlements(peer)).toEqual(['release a', 'release b'])
    await until(() => budget.count === 0)
    expect([batches, session.inFlight]).toEqual([[], 0])
  })

  test('no more than asked for, and no more than there is room for', () => {
    const { session, peer, texts } = start({ maxCount: 3 })
    peer.waiting.push('a', 'b', 'c', 'd')
    expect([session.handOver(() => peer.next(), 2), session.handOver(() => peer.next(), 2)]).toEqual([2, 1])
    expect([texts(), peer.waiting]).toEqual([['a b', 'c'], ['d']])
  })
})

describe('room', () => {
  test('a full budget pauses the peer, and room for it resumes it once nothing waits', async () => {
    const { peer, batches, texts, arrive } = start({ maxCount: 2 })
    await arrive('a', 'b', 'c')
    expect([texts(), peer.said]).toEqual([['a b'], ['batch of 2', 'pause']])
    await arrive() // it stays paused, whatever arrives
    expect(peer.said).toEqual(['batch of 2', 'pause'])
    for (const delivery of batches[0]!) delivery.settle('accept')
    await turn()
    expect([texts().at(-1), peer.said.slice(-2)]).toEqual(['c', ['batch of 1', 'resume']])
  })

  test.each(['turn', 'read'] as const)(
    'what had no room goes on where all before it is settled at once (%s)',
    async (gather) => {
      const peer = new FakePeer()
      const budget = new Budget({ maxCount: 2, maxBytes: 10_000 })
      const session = new SourceSession(peer, { budget, gather })
      const got: string[] = []
      let isAccepting = false
      session.start((batch) => {
        for (const delivery of batch) {
          got.push(textOf(delivery))
          if (isAccepting) delivery.settle('accept')
          else held.push(delivery)
        }
      })
      const held: Delivery[] = []
      peer.waiting.push(...'abcdefg')
      session.arrived()
      await turn()
      await turn()
      expect(got).toEqual(['a', 'b'])
      isAccepting = true
      for (const delivery of held) delivery.settle('accept') // after a pause
      for (let i = 0; i < 5; i += 1) await turn()
      expect(got.join('')).toBe('abcdefg')
      peer.waiting.push(...'hijkl')
      session.arrived() // without one
      for (let i = 0; i < 5; i += 1) await turn()
      expect([got.join(''), budget.count]).toEqual(['abcdefghijkl', 0])
    },
  )

  test('room of the whole process is waited for too', async () => {
    const { parent, texts, arrive } = start()
    for (let i = 0; i < 1_000; i += 1) parent.take(0)
    await arrive('a')
    expect(texts()).toEqual([])
    for (let i = 0; i < 1_000; i += 1) parent.give(0)
    await turn()
    expect(texts()).toEqual(['a'])
  })

  test.each(['stop', 'end'] as const)('nobody waits for it after %s', async (how) => {
    const budget = new WatchedBudget(1)
    const { session, peer, texts, batches, arrive } = start({ budget })
    await arrive('a', 'b')
    expect(budget.waiting).toBe(1)
    if (how === 'stop') session.stop()
    else session.end(lost)
    await turn()
    expect(budget.waiting).toBe(0)
    batches[0]![0]!.settle('accept')
    await turn()
    expect([texts(), peer.said.includes('resume')]).toEqual([['a'], false])
  })
})

describe('released', () => {
  beforeEach(() => void jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask', 'nextTick'] }))
  afterEach(() => void jest.useRealTimers())

  test('it comes again after the pause, each after its own, in order', async () => {
    const { batches, texts, arrive } = start({ redeliverMs: 100 })
    await arrive('a', 'b', 'c')
    const [a, b, c] = batches[0]!
    b!.settle('release')
    a!.settle('release')
    jest.advanceTimersByTime(60)
    c!.settle('release')
    jest.advanceTimersByTime(39)
    expect(texts()).toHaveLength(1)
    jest.advanceTimersByTime(1)
    expect(texts().slice(1)).toEqual(['b a'])
    jest.advanceTimersByTime(59)
    expect(texts()).toHaveLength(2)
    jest.advanceTimersByTime(2)
    expect(texts().slice(2)).toEqual(['c'])
  })

  test('without a pause of the session it is the peer that gives it again', async () => {
    const { peer, batches, arrive, budget } = start()
    await arrive('a')
    batches[0]![0]!.settle('release')
    expect([settlements(peer), budget.count]).toEqual([['release a'], 0])
  })

  test.each(['stop', 'end'] as const)('what has not come again by %s is given back, and never comes', async (how) => {
    const { peer, batches, session, arrive, budget } = start({ redeliverMs: 100 })
    await arrive('a', 'b')
    for (const delivery of batches[0]!) delivery.settle('release')
    if (how === 'stop') session.stop()
    else session.end(lost)
    const late = how === 'end' ? 'late ' : ''
    expect([settlements(peer), budget.count]).toEqual([[`${late}release a`, `${late}release b`], 0])
    expect(jest.getTimerCount()).toBe(0)
    jest.advanceTimersByTime(1_000)
    expect(batches).toHaveLength(1)
  })
})

describe('drain', () => {
  test('after the signal nothing is handed over, and all that was is waited for', async () => {
    const { peer, stopping, batches, texts, arrive, endOf } = start({ redeliverMs: 1 })
    await arrive('a', 'b')
    stopping.abort()
    expect(peer.said.at(-1)).toBe('pause')
    await arrive('c')
    const [a, b] = batches[0]!
    a!.settle('accept')
    await turn()
    expect([endOf(), texts()]).toEqual(['running', ['a b']])
    b!.settle('release')
    await turn()
    expect([endOf(), settlements(peer)]).toEqual(['drained', ['accept a', 'release b']])
  })

  test('with nothing in flight it is over at once', async () => {
    const { stopping, arrive, batches, endOf } = start()
    await arrive('a')
    batches[0]![0]!.settle('accept')
    await turn()
    expect(endOf()).toBe('running')
    stopping.abort()
    await turn()
    expect(endOf()).toBe('drained')
  })

  test('idle is when all is settled, also while it reads', async () => {
    const { session, arrive, batches } = start()
    await session.whenIdle()
    await arrive('a')
    let isIdle = false
    void session.whenIdle().then(() => {
      isIdle = true
    })
    await turn()
    expect(isIdle).toBe(false)
    batches[0]![0]!.settle('accept')
    await turn()
    expect(isIdle).toBe(true)
  })
})

describe('end', () => {
  test('rejects with its error, while reading and while draining; what is settled late settles nothing', async () => {
    for (const isDraining of [false, true]) {
      const { peer, session, stopping, batches, arrive, endOf } = start()
      await arrive('a', 'b')
      if (isDraining) stopping.abort()
      session.end(lost)
      await turn()
      expect(endOf()).toBe(lost)
      batches[0]![0]!.settle('accept')
      expect(settlements(peer)).toEqual(['late accept a'])
      await arrive('c')
      expect(batches).toHaveLength(1)
    }
  })

  test('the first reason counts, and nobody has to be listening', async () => {
    const budget = new Budget({ maxCount: 10, maxBytes: 10_000 })
    const session = new SourceSession(new FakePeer(), { budget, gather: 'turn' })
    session.end(lost)
    session.end(new Error('another'))
    await turn()
    await expect(session.run(() => {}, new AbortController().signal)).rejects.toBe(lost)
  })
})

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}
