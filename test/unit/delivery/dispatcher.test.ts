import { describe, expect, test } from '@jest/globals'
import { delivered } from '../../../src/adapter/contract.ts'
import { Dispatcher } from '../../../src/delivery/dispatcher.ts'
import type { Parcel } from '../../../src/delivery/parcel.ts'
import { eventually } from '../../support/poll.ts'
import { randomOf } from '../../support/random.ts'
import {
  busy,
  busyFor,
  lost,
  notFound,
  ParkingOwner,
  parcel,
  RecordingOwner,
  refused,
  ScriptedSink,
} from './scripted.ts'

function started(sink: ScriptedSink, onOutage: (dispatcher: Dispatcher) => void = () => {}): Dispatcher {
  const dispatcher: Dispatcher = new Dispatcher(sink, () => onOutage(dispatcher))
  dispatcher.resume()
  return dispatcher
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve))

describe('dispatcher', () => {
  test('sends what one turn has gathered in one batch', async () => {
    const sink = new ScriptedSink()
    const owner = new RecordingOwner()
    const dispatcher = started(sink)
    for (const text of ['a', 'b', 'c']) dispatcher.add(parcel(owner, text))
    await owner.ended(3)
    expect(sink.batches).toEqual([['a', 'b', 'c']])
  })

  test('of a sink without order one slow answer holds up no other', async () => {
    const sink = new ScriptedSink({ keepsOrder: false, maxConcurrentSends: 2, maxBatch: 1 })
    sink.isHolding = true
    const owner = new RecordingOwner()
    const dispatcher = started(sink)
    for (const text of ['slow', 'a', 'b', 'c']) dispatcher.add(parcel(owner, text))
    await nextTurn()
    for (const at of [1, 2, 3]) {
      sink.held[at]?.answer([at === 1 ? busyFor(200) : delivered])
      await nextTurn()
    }
    expect(owner.events).toEqual(['confirmed b', 'confirmed c'])
    await eventually(() => sink.held.length === 5, { what: 'the second attempt' })
    sink.held[4]?.answer([delivered])
    sink.held[0]?.answer([delivered])
    await owner.ended(4)
    expect(owner.events.slice(2)).toEqual(['confirmed a', 'confirmed slow'])
    expect(dispatcher.size).toBe(0)
  })

  test('a request that is over while it is on trial holds up nothing of its lane', async () => {
    const sink = new ScriptedSink()
    const owner = new RecordingOwner({ attempts: 9 })
    const dispatcher = started(sink)
    const ask = { token: 't', replyTo: undefined, isOver: false }
    const first = parcel(owner, 'first', 'k')
    dispatcher.add(Object.assign(first, { outbound: { ...first.outbound, ask } }))
    sink.script.set('first', [busy])
    sink.pause = async () => dispatcher.suspend()
    await nextTurn()
    await new Promise((resolve) => setTimeout(resolve, 5)) // fires after that of its back-off: now it is on trial
    dispatcher.add(parcel(owner, 'second', 'k'))
    ask.isOver = true
    dispatcher.sweep()
    expect(owner.events).toEqual(['failed first MESSAGE_EXPIRED'])
    sink.pause = undefined
    dispatcher.resume()
    await owner.ended(2)
    expect(owner.events[1]).toBe('confirmed second')
    expect(dispatcher.size).toBe(0)
  })

  test('gathers the next batch while one is under way', async () => {
    const sink = new ScriptedSink()
    sink.isHolding = true
    const owner = new RecordingOwner()
    const dispatcher = started(sink)
    dispatcher.add(parcel(owner, 'a'))
    await nextTurn()
    for (const text of ['b', 'c']) dispatcher.add(parcel(owner, text))
    await nextTurn()
    expect(sink.batches).toEqual([['a']])
    sink.held[0]?.answer([delivered])
    await nextTurn()
    expect(sink.batches).toEqual([['a'], ['b', 'c']])
  })

  test('what waits, for its target or behind one that failed, is told to own its bytes; what leaves at once is not', async () => {
    const waiting: string[] = []
    const owner = new (class extends RecordingOwner {
      waits({ outbound }: Parcel): void {
        waiting.push(Buffer.from(outbound.envelope.payload ?? []).toString())
      }
    })()
    const sink = new ScriptedSink()
    sink.script.set('k1', [busy])
    const dispatcher = started(sink)
    for (const text of ['k1', 'k2']) dispatcher.add(parcel(owner, text, 'k'))
    dispatcher.add(parcel(owner, 'x1', 'x'))
    await owner.ended(3)
    expect(waiting).toEqual(['k1', 'k2'])
    dispatcher.suspend()
    dispatcher.add(parcel(owner, 'x2', 'x'))
    expect(waiting).toEqual(['k1', 'k2', 'x2'])
  })

  test('sends a failed message and all behind it in its lane again, in order, while other lanes go on', async () => {
    const sink = new ScriptedSink()
    sink.script.set('k1', [busy])
    const owner = new RecordingOwner()
    const dispatcher = started(sink)
    for (const [text, key] of [
      ['k1', 'k'],
      ['x1', 'x'],
      ['k2', 'k'],
      ['k3', 'k'],
    ] as const) {
      dispatcher.add(parcel(owner, text, key))
    }
    await owner.ended(4)
    expect(sink.batches).toEqual([['k1', 'x1', 'k2', 'k3'], ['k1'], ['k2', 'k3']])
    expect(owner.events).toEqual(['confirmed x1', 'confirmed k1', 'confirmed k2', 'confirmed k3'])
  })

  test('tries the first of a lane alone, so that what is behind it is not sent again each time', async () => {
    const sink = new ScriptedSink()
    sink.script.set('k1', [notFound, notFound, notFound, notFound, notFound])
    const owner = new RecordingOwner()
    const dispatcher = started(sink)
    for (const text of ['k1', 'k2', 'k3']) dispatcher.add(parcel(owner, text, 'k'))
    await nextTurn()
    dispatcher.add(parcel(owner, 'k4', 'k'))
    await owner.ended(4)
    const tries = Array.from({ length: 5 }, () => ['k1'])
    expect(sink.batches).toEqual([['k1', 'k2', 'k3'], ...tries, ['k2', 'k3', 'k4']])
    expect(owner.events).toEqual(['confirmed k1', 'confirmed k2', 'confirmed k3', 'confirmed k4'])
    expect(dispatcher.size).toBe(0)
  })

  test('one that is not due yet holds back what comes behind it, not what is under way before it', async () => {
    const sink = new ScriptedSink()
    sink.isHolding = true
    const owner = new RecordingOwner()
    const dispatcher = started(sink)
    dispatcher.add(parcel(owner, 'k1', 'k'))
    await nextTurn()
    dispatcher.add(Object.assign(parcel(owner, 'k2', 'k'), { dueAt: Date.now() + 20 }))
    dispatcher.add(parcel(owner, 'k3', 'k'))
    sink.isHolding = false
    sink.held[0]?.answer([delivered])
    await owner.ended(3)
    expect(sink.batches).toEqual([['k1'], ['k2'], ['k3']])
    expect(owner.events).toEqual(['confirmed k1', 'confirmed k2', 'confirmed k3'])
  })

  test('a lane goes on although what was to be sent before it expired unsent', async () => {
    const sink = new ScriptedSink()
    const owner = new RecordingOwner()
    const dispatcher = started(sink)
    dispatcher.add(parcel(owner, 'k1', 'k', { ttlMs: 1_000, timestamp: '2020-01-01T00:00:00Z' }))
    dispatcher.add(Object.assign(parcel(owner, 'k2', 'k'), { dueAt: Date.now() + 20 }))
    await owner.ended(2)
    expect(owner.events).toEqual(['failed k1 MESSAGE_EXPIRED', 'confirmed k2'])
  })

  test('a target that is lost while the first of a lane is tried takes all of the lane back to disk, and none is forgotten', async () => {
    const sink = new ScriptedSink({ maxBatch: 1 })
    const owner = new ParkingOwner()
    const dispatcher = started(sink)
    sink.script.set('k1', [busy])
    dispatcher.add(parcel(owner, 'k1', 'k'))
    await nextTurn()
    sink.isHolding = true
    dispatcher.add(parcel(owner, 'x1', 'x'))
    await new Promise((resolve) => setTimeout(resolve, 10)) // k1 is due and must wait for its turn
    dispatcher.suspend()
    sink.held[0]?.answer([lost])
    await owner.ended(2)
    expect(owner.events.sort()).toEqual(['parked k1', 'parked x1'])
    expect(dispatcher.size).toBe(0)
    dispatcher.resume()
    sink.isHolding = false
    dispatcher.add(parcel(owner, 'k1', 'k'))
    await owner.ended(3)
    expect(owner.events.at(-1)).toBe('confirmed k1')
  })

  test('keeps later messages of a waiting lane behind it', async () => {
    const sink = new ScriptedSink()
    sink.script.set('k1', [busy])
    const owner = new RecordingOwner()
    const dispatcher = started(sink)
    dispatcher.add(parcel(owner, 'k1', 'k'))
    await nextTurn()
    dispatcher.add(parcel(owner, 'k2', 'k'))
    await owner.ended(2)
    expect(owner.events).toEqual(['confirmed k1', 'confirmed k2'])
  })

  test('keeps the order of a lane over two sends under way, when the first fails after the second was confirmed', async () => {
    const sink = new ScriptedSink({ maxConcurrentSends: 2 })
    sink.isHolding = true
    const owner = new RecordingOwner()
    const dispatcher = started(sink)
    dispatcher.add(parcel(owner, 'k1', 'k'))
    await nextTurn()
    dispatcher.add(parcel(owner, 'k2', 'k'))
    await nextTurn()
    sink.held[1]?.answer([delivered])
    await nextTurn()
    expect(owner.events).toEqual([])
    sink.isHolding = false
    sink.held[0]?.answer([busy])
    await owner.ended(2)
    expect(sink.batches).toEqual([['k1'], ['k2'], ['k1'], ['k2']])
    expect(owner.events).toEqual(['confirmed k1', 'confirmed k2'])
  })

  test('gives a message up after its attempts, and its lane goes on', async () => {
    const sink = new ScriptedSink()
    sink.script.set('k1', [busy, busy, busy, busy])
    const owner = new RecordingOwner({ attempts: 3 })
    const dispatcher = started(sink)
    for (const text of ['k1', 'k2']) dispatcher.add(parcel(owner, text, 'k'))
    await owner.ended(2)
    expect(owner.events).toEqual(['failed k1 TARGET_BUSY', 'confirmed k2'])
    expect(sink.sent.filter((text) => text === 'k1')).toHaveLength(3)
  })

  test('a refused message fails at once and its lane goes on', async () => {
    const sink = new ScriptedSink()
    sink.script.set('k1', [refused])
    const owner = new RecordingOwner()
    const dispatcher = started(sink)
    for (const text of ['k1', 'k2']) dispatcher.add(parcel(owner, text, 'k'))
    await owner.ended(2)
    expect(owner.events).toEqual(['failed k1 MESSAGE_REFUSED', 'confirmed k2'])
    expect(sink.batches).toHaveLength(1)
  })

  test('counts no attempt while the target is away, and resumes by itself when it is back', async () => {
    const sink = new ScriptedSink()
    sink.script.set(
      'a',
      Array.from({ length: 10 }, () => lost),
    )
    const owner = new RecordingOwner({ attempts: 2 })
    let outages = 0
    const dispatcher = started(sink, (self) => {
      outages += 1
      setImmediate(() => self.resume())
    })
    dispatcher.add(parcel(owner, 'a', 'k'))
    dispatcher.add(parcel(owner, 'b', 'k'))
    await owner.ended(2)
    expect(owner.events).toEqual(['confirmed a', 'confirmed b'])
    expect(outages).toBe(10)
  })

  test('counts no attempt while the destination does not exist', async () => {
    const sink = new ScriptedSink()
    sink.script.set('a', [notFound, notFound, notFound, notFound])
    const owner = new RecordingOwner({ attempts: 2 })
    const dispatcher = started(sink)
    dispatcher.add(parcel(owner, 'a'))
    await owner.ended(1)
    expect(owner.events).toEqual(['confirmed a'])
  })

  test('a message whose time is over is not sent', async () => {
    const sink = new ScriptedSink()
    const owner = new RecordingOwner()
    const dispatcher = started(sink)
    dispatcher.add(parcel(owner, 'old', 'k', { ttlMs: 1_000, timestamp: '2020-01-01T00:00:00Z' }))
    dispatcher.add(parcel(owner, 'new', 'k', { ttlMs: 60_000 }))
    await owner.ended(2)
    expect(owner.events).toEqual(['failed old MESSAGE_EXPIRED', 'confirmed new'])
    expect(sink.sent).toEqual(['new'])
  })

  test('has one message of a lane under way where the sink keeps no order', async () => {
    const sink = new ScriptedSink({ keepsOrder: false, maxConcurrentSends: 4 })
    sink.isHolding = true
    const owner = new RecordingOwner()
    const dispatcher = started(sink)
    for (const [text, key] of [
      ['k1', 'k'],
      ['k2', 'k'],
      ['x1', 'x'],
    ] as const)
      dispatcher.add(parcel(owner, text, key))
    await nextTurn()
    expect(sink.batches).toEqual([['k1', 'x1']])
    sink.held[0]?.answer([delivered, delivered])
    await nextTurn()
    expect(sink.batches[1]).toEqual(['k2'])
  })

  test('stop releases what is not under way, and what comes later', async () => {
    const sink = new ScriptedSink()
    sink.isHolding = true
    const owner = new RecordingOwner()
    const dispatcher = started(sink)
    dispatcher.add(parcel(owner, 'a'))
    await nextTurn()
    dispatcher.add(parcel(owner, 'b'))
    dispatcher.stop()
    dispatcher.add(parcel(owner, 'c'))
    expect(owner.events).toEqual(['released b', 'released c'])
    sink.held[0]?.answer([delivered])
    await owner.ended(3)
    expect(owner.events).toEqual(['released b', 'released c', 'confirmed a'])
  })

  test('takes a missing outcome for no confirmation', async () => {
    const sink = new ScriptedSink()
    sink.isHolding = true
    const owner = new RecordingOwner({ attempts: 1 })
    const dispatcher = started(sink)
    dispatcher.add(parcel(owner, 'a'))
    dispatcher.add(parcel(owner, 'b'))
    await nextTurn()
    sink.held[0]?.answer(new Array(2).with(1, delivered))
    await owner.ended(2)
    expect(owner.events).toEqual(['failed a PEER_FAILED', 'confirmed b'])
  })

  test('an outage told by a send from before the sink was opened anew does not end the new connection', async () => {
    const sink = new ScriptedSink({ maxConcurrentSends: 2 })
    sink.isHolding = true
    const owner = new RecordingOwner()
    let outages = 0
    const dispatcher = started(sink, () => {
      outages += 1
    })
    dispatcher.add(parcel(owner, 'a'))
    await nextTurn()
    dispatcher.suspend()
    dispatcher.resume()
    sink.held[0]?.answer([lost])
    await nextTurn()
    sink.held[1]?.answer([delivered])
    await owner.ended(1)
    expect(owner.events).toEqual(['confirmed a'])
    expect(outages).toBe(0)
  })

  test.each(['on disk', 'in memory'])(
    'as it ends, what came behind a message that goes back goes back too: %s',
    async (where) => {
      const sink = new ScriptedSink({ maxConcurrentSends: 2, maxBatch: 1 })
      sink.isHolding = true
      const owner = where === 'on disk' ? new ParkingOwner() : new RecordingOwner()
      const dispatcher = started(sink)
      dispatcher.add(parcel(owner, 'a', 'k'))
      dispatcher.add(parcel(owner, 'b', 'k'))
      await nextTurn()
      sink.held[0]!.answer([busyFor(60_000)])
      await nextTurn()
      dispatcher.windDown()
      if (where === 'in memory') dispatcher.stop()
      sink.held[1]!.answer([delivered])
      await owner.ended(2)
      const end = where === 'on disk' ? 'parked' : 'released'
      expect(owner.events).toEqual([`${end} a`, `${end} b`])
    },
  )

  test.each([
    ['keeps order', true, 1],
    ['keeps order', true, 2],
    ['keeps no order', false, 3],
  ])(
    'every message ends exactly once, in order of its key, whatever a sink answers that %s',
    async (_, keepsOrder, seed) => {
      const random = randomOf(seed)
      const sink = new ScriptedSink({ maxConcurrentSends: 3, maxBatch: 7, keepsOrder })
      const owner = new RecordingOwner({ attempts: 1_000 })
      const dispatcher = started(sink, (self) => setImmediate(() => self.resume()))
      const total = 500
      for (let n = 0; n < total; n += 1) {
        const text = `${n % 10}-${String(n).padStart(4, '0')}`
        const first = random.between(0, 1) < 0.1 ? (random.between(0, 1) < 0.5 ? busy : notFound) : delivered
        sink.script.set(text, [first, random.between(0, 1) < 0.05 ? lost : delivered])
        dispatcher.add(parcel(owner, text, String(n % 10)))
        if (random.between(0, 1) < 0.05) await nextTurn()
      }
      await owner.ended(total)
      expect(new Set(owner.events).size).toBe(total)
      for (let key = 0; key < 10; key += 1) {
        const ofKey = owner.events.filter((event) => event.startsWith(`confirmed ${key}-`))
        expect(ofKey).toEqual([...ofKey].sort())
        expect(ofKey).toHaveLength(total / 10)
      }
      expect(dispatcher.size).toBe(0)
    },
  )
})
