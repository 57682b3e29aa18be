import { PassThrough } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import type { Arrival } from '../../../protocols/mqtt/broker/arrival.ts'
import { Arrivals } from '../../../protocols/mqtt/broker/arrivals.ts'
import { Device } from '../../../protocols/mqtt/broker/device.ts'
import type { PublishPacket } from '../../../protocols/mqtt/broker/driver.ts'
import { type Consumer, type DeviceMessage, devices, Intake } from '../../../protocols/mqtt/broker/intake.ts'
import { ReceiveBuffer } from '../../../protocols/mqtt/broker/receive-buffer.ts'
import { WillPublisher, type WillPublisherParts } from '../../../protocols/mqtt/broker/will-publisher.ts'
import { Budget } from '../../../src/adapter/budget.ts'
import type { Delivery, Settlement } from '../../../src/adapter/contract.ts'
import { SourceSession } from '../../../src/adapter/source-session.ts'
import { Envelope } from '../../../src/envelope/envelope.ts'
import { eventually } from '../../support/poll.ts'

const slowMs = 8
const fields = { messageId: 'i', timestamp: '2026-12-01T12:00:00Z', source: 's' }

/** Reads whatever it is given; a message whose payload is `slow` takes long, and ends the reader's turn. */
class Reader implements Consumer {
  readonly budget: Budget
  readonly session: SourceSession<DeviceMessage>
  readonly got: Delivery[] = []
  constructor(maxCount = 1_000) {
    this.budget = new Budget({ maxCount, maxBytes: Number.POSITIVE_INFINITY, parts: 3 })
    this.session = new SourceSession(devices, { budget: this.budget, gather: 'turn' })
  }

  get texts(): string[] {
    return this.got.map(({ envelope }) => `${envelope.payload}`)
  }

  decode: Consumer['decode'] = ({ payload }) => new Envelope({ ...fields, payload: payload as Buffer })
  onUndecodable(error: unknown): void {
    throw error
  }
  deliver = (batch: Iterable<Delivery>): void => {
    this.#read(batch[Symbol.iterator]())
  }

  #read(batch: Iterator<Delivery>): void {
    for (let next = batch.next(); !next.done; next = batch.next()) {
      this.got.push(next.value)
      if (`${next.value.envelope.payload}`.startsWith('slow')) {
        busyFor(slowMs)
        setImmediate(() => this.#read(batch))
        return
      }
    }
  }
}

/** Of a device: who sent it, where to, and what. */
function arrival(sender: object, topic: string, text: string): Arrival & { settled: Settlement[]; waits: boolean } {
  const packet = { topic, payload: Buffer.from(text), qos: 1 } as unknown as Arrival['packet']
  const settled: Settlement[] = []
  return {
    ...{ packet, sender, settled, arrivedAt: 0, waits: false },
    isAbandoned: () => false,
    onWaiting() {
      this.waits = true
    },
    onLeft() {},
    onTaken() {},
    onSettled: (settlement) => void settled.push(settlement),
  }
}

/** Resolves when it takes no more: where the machine was busy elsewhere, a turn ends early, and another goes on. */
async function allTaken(reader: Reader): Promise<void> {
  for (let before = -1; before < reader.got.length; ) {
    before = reader.got.length
    await turn()
    await turn()
  }
}

function busyFor(ms: number): void {
  const endMs = performance.now() + ms
  while (performance.now() < endMs);
}

const [greedy, other, healthy] = [{ name: 'greedy' }, { name: 'other' }, { name: 'healthy' }]

test('the messages of one sender stay in their order, whatever routes they are for', async () => {
  const intake = new Intake(['away', 'a', '+'])
  const reader = new Reader(10)
  intake.attach(reader)
  for (let i = 0; i < 10; i += 1) intake.offer(arrival(other, 'away', 'x'))
  await allTaken(reader)
  const taken = reader.got.length
  for (const topic of ['away', 'a', 'away', 'b']) intake.offer(arrival(greedy, topic, topic))
  await allTaken(reader)
  expect(reader.got.length).toBe(taken)
  for (let i = 0; i < 14; i += 1) {
    const next = await eventually(() => reader.got[i], { what: `message ${i}` })
    next.settle('accept')
  }
  expect(reader.texts.filter((text) => text !== 'x')).toEqual(['away', 'a', 'away', 'b'])
})

test('what one turn brought is one batch, in the order it came', async () => {
  const intake = new Intake(['a/#', 'b'])
  const reader = new Reader()
  intake.attach(reader)
  for (let i = 0; i < 5; i += 1) intake.offer(arrival(i % 2 === 0 ? greedy : other, 'a/x', `${i}`))
  await turn()
  expect(reader.texts).toEqual(['0', '1', '2', '3', '4'])
})

test('who has sent a slow message waits behind all who have not, by turns with others of its kind', async () => {
  const intake = new Intake(['a/#', 'b'])
  const reader = new Reader()
  intake.attach(reader)
  for (let i = 0; i < 3; i += 1) for (const sender of [greedy, other]) intake.offer(arrival(sender, 'a/x', `slow ${i}`))
  intake.offer(arrival(greedy, 'a/x', 'at last'))
  while (reader.got.length < 2) await turn()
  intake.offer(arrival(healthy, 'a/x', 'first'))
  intake.offer(arrival(healthy, 'b', 'second'))
  await eventually(() => reader.got.length === 9, { what: 'all' })
  expect(reader.texts).toEqual([
    'slow 0',
    'slow 0',
    'first',
    'second',
    'slow 1',
    'slow 1',
    'slow 2',
    'slow 2',
    'at last',
  ])
})

test('who is slow still has a turn where messages of others never end', async () => {
  const intake = new Intake(['a'])
  const reader = new Reader(100_000)
  let isEndless = true
  const readers = { ...reader, budget: reader.budget, decode: reader.decode, onIdle() {}, onUndecodable() {} }
  const deliver = (batch: Iterable<Delivery>) => {
    const deliveries = batch[Symbol.iterator]()
    const read = function* () {
      for (let next = deliveries.next(); !next.done; next = deliveries.next()) {
        if (isEndless) intake.offer(arrival({}, 'a', 'endless'))
        if (`${next.value.envelope.payload}` === 'slow 2') isEndless = false
        yield next.value
      }
    }
    reader.deliver(read())
  }
  intake.attach({ ...readers, deliver })
  for (let i = 0; i < 3; i += 1) intake.offer(arrival(greedy, 'a', `slow ${i}`))
  await eventually(() => !isEndless, { withinMs: 5_000, what: 'the last of the slow ones' })
  expect(reader.texts.filter((text) => text !== 'endless')).toEqual(['slow 0', 'slow 1', 'slow 2'])
  expect(reader.got.length).toBeLessThan(5_000)
})

test('a route that settles nothing holds up its own messages alone, and its next are taken in order', async () => {
  const intake = new Intake(['away', 'a', '+'])
  const reader = new Reader(100)
  intake.attach(reader)
  const away = Array.from({ length: 200 }, (_, i) => arrival(greedy, 'away', `${i}`))
  for (const each of away) intake.offer(each)
  for (let i = 0; i < 100; i += 1) await turn()
  const taken = reader.got.length
  expect(taken).toBeLessThan(100)
  expect(away.slice(taken).every(({ waits }) => waits)).toBe(true)
  for (let i = 0; i < 300; i += 1) {
    intake.offer(arrival(healthy, 'a', 'healthy'))
    await turn()
    const [got] = reader.got.splice(taken)
    expect(`${got?.envelope.payload}`).toBe('healthy')
    got?.settle('accept')
  }
  for (const delivery of reader.got) delivery.settle('accept')
  for (let i = 0; i < 100; i += 1) await turn()
  expect(reader.texts).toEqual(reader.texts.map((_, index) => `${index}`))
  expect(reader.got.length).toBeGreaterThan(taken)
})

test('who was slow on a route that settles nothing is not held up on another', async () => {
  const intake = new Intake(['away', 'a', '+'])
  const reader = new Reader(100)
  intake.attach(reader)
  for (let i = 0; i < 200; i += 1) intake.offer(arrival(other, 'away', `${i}`))
  for (let i = 0; i < 100; i += 1) await turn()
  const taken = reader.got.length
  expect(taken).toBeLessThan(100)
  reader.got[0]?.settle('accept')
  intake.clear()
  for (let i = 0; i < 100; i += 1) await turn()
  reader.got.splice(0)
  intake.offer(arrival(greedy, 'away', 'slow')) // the last that this route has room for
  await eventually(() => reader.texts.includes('slow'), { what: 'the slow one' })
  for (let i = 0; i < 200; i += 1) intake.offer(arrival(other, 'away', `${i}`))
  for (let i = 0; i < 100; i += 1) await turn()
  intake.offer(arrival(greedy, 'a', 'for another route'))
  await eventually(() => reader.texts.includes('for another route'), { withinMs: 2_000, what: 'it' })
})

test('a route that was forgotten while a slow message was read is not lost', async () => {
  const intake = new Intake(['#'])
  const reader = new Reader()
  intake.attach(reader)
  const deliver = reader.deliver
  let isFirst = true
  reader.deliver = (batch) => {
    const deliveries = batch[Symbol.iterator]()
    if (!isFirst) return deliver({ [Symbol.iterator]: () => deliveries })
    isFirst = false
    const { value } = deliveries.next() as { value: Delivery }
    value.settle('accept') // so that nothing of its route waits, or is in flight
    busyFor(slowMs)
    setImmediate(() => {
      for (let i = 0; i < 1_100; i += 1) intake.matches(`topic/${i}`)
      intake.offer(arrival(other, 'b', 'from another'))
      deliver({ [Symbol.iterator]: () => deliveries })
    })
  }
  intake.offer(arrival(greedy, 'a', 'first'))
  await eventually(() => reader.texts.includes('from another'), { withinMs: 2_000, what: 'the other message' })
  intake.offer(arrival(greedy, 'a', 'next'))
  await eventually(() => reader.texts.includes('next'), { withinMs: 2_000, what: 'the next of the slow one' })
})

test('what waits goes to the next consumer, and back where there will be none', async () => {
  const intake = new Intake(['a'])
  const [former, next] = [new Reader(), new Reader()]
  intake.attach(former)
  intake.offer(arrival(greedy, 'a', 'slow'))
  await turn()
  const waiting = [arrival(greedy, 'a', '1'), arrival(other, 'a', '2')]
  for (const each of waiting) intake.offer(each)
  intake.detach(former)
  intake.attach(next)
  await eventually(() => next.got.length === 2, { what: 'both' })
  expect([former.texts, next.texts.toSorted()]).toEqual([['slow'], ['1', '2']])
  intake.detach(next)
  const last = arrival(other, 'a', 'nobody takes it')
  intake.offer(last)
  intake.clear()
  expect([last.waits, last.settled]).toEqual([true, ['release']])
})

test('what a device had waiting goes with it, also where another source has taken the message', async () => {
  const [stored, away] = [new Intake(['a']), new Intake(['a'])]
  const [reader, full] = [new Reader(), new Reader(0)]
  stored.attach(reader)
  away.attach(full)
  const ids = { hasIncoming: () => false, hasRoomForIncoming: () => true, noteOfIncoming: () => undefined }
  const arrivals = new Arrivals(ids, new ReceiveBuffer(1_000), () => {})
  const conn = new PassThrough()
  const device = new Device({ conn, address: '', certifiedAs: undefined, onConnect() {} })
  const answers: unknown[] = []
  const packet = { topic: 'a', payload: Buffer.from('x'), qos: 1 } as unknown as PublishPacket
  arrivals.publish(device, packet, [stored, away], (error) => void answers.push(error))
  await turn()
  expect(reader.texts).toEqual(['x'])
  reader.got[0]?.settle('accept')
  expect([device.waitingBytes > 0, answers]).toEqual([true, []])
  conn.destroy()
  device.left()
  expect([device.waitingBytes, answers.length, answers[0] instanceof Error]).toEqual([0, 1, true])
})

test('the will of a device comes behind what waits of it', async () => {
  const intake = new Intake(['a'])
  const reader = new Reader()
  const parts = { buffer: new ReceiveBuffer(1_000), isClosing: () => false }
  const wills = new WillPublisher(parts as unknown as WillPublisherParts)
  for (const text of ['1', '2', '3']) intake.offer(arrival(greedy, 'a', text))
  const will = { topic: 'a', payload: Buffer.from('will'), qos: 0 } as unknown as PublishPacket
  wills.offer(will, [intake], () => {}, greedy)
  intake.attach(reader)
  await eventually(() => reader.got.length === 4, { what: 'all' })
  expect(reader.texts).toEqual(['1', '2', '3', 'will'])
})
