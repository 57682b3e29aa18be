/**
 * What every protocol must do. A test file per protocol applies this suite to its Subject; a behaviour may only be
 * skipped with a written reason, which is printed.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from '@jest/globals'
import type { Outcome } from '../../src/adapter/contract.ts'
import { withDeadline } from '../../src/adapter/deadline.ts'
import { RetryableError } from '../../src/errors.ts'
import { testContext } from '../support/contexts/context.ts'
import { textOf } from '../support/contexts/messages.ts'
import { eventually } from '../support/poll.ts'
import { Road } from './road.ts'
import type { Subject } from './subject.ts'

/** How long something must not happen before we believe that it never will: absence sends no event. */
const absenceMs = 400
const neverAborted = new AbortController().signal

type Lay = (wish?: { maxInFlight: number }) => Promise<Road>
type Behaviour = (lay: Lay, subject: Subject) => Promise<void>

export function conforms(subject: Subject): void {
  describe(`${subject.name} conforms`, () => {
    const roads: Road[] = []
    afterEach(async () => {
      await Promise.all(roads.splice(0).map((road) => road.close()))
    })
    const lay: Lay = async (wish) => {
      const road = await Road.lay(subject, wish)
      roads.push(road)
      return road
    }
    for (const [title, behaviour] of Object.entries(behaviours)) {
      const reason = subject.skip?.[title]
      if (reason === undefined) test(title, () => behaviour(lay, subject), 240_000)
      else test.skip(`${title} (skipped: ${reason})`, () => {})
      if (reason !== undefined) process.stderr.write(`${subject.name} skips "${title}": ${reason}\n`)
    }
  })
}

const behaviours: Readonly<Record<string, Behaviour>> = {
  'opens and closes twice': async (lay) => {
    const road = await lay()
    for (const _round of [1, 2]) {
      await road.openSource()
      await road.sink.open(neverAborted)
      await road.sink.close()
      await road.source.close()
    }
    await Promise.all([road.sink.close(), road.source.close()])
    await openBoth(road)
    const outcomes = road.send('after all that')
    const [delivery] = await road.consuming.receive(1)
    expect(textOf(delivery!)).toBe('after all that')
    await acceptUntilAnswered(road, outcomes)
  },

  'keeps bytes and repeated headers': async (lay) => {
    const road = await openBoth(await lay())
    const fields = {
      payload: Uint8Array.from({ length: 256 }, (_, byte) => byte),
      headers: { tag: ['first', 'second', 'first'], Ünï: 'ĉođe', empty: '', bytes: Uint8Array.of(0, 255, 128, 10) },
      contentType: 'application/octet-stream',
      correlationId: 'correlation 7',
      eventType: 'com.example.Tested',
      version: '3',
      key: 'key/7',
    }
    const outcomes = road.sendOutbound([road.outbound(fields)])
    const [delivery] = await road.consuming.receive(1)
    const { payload, headers, ...others } = delivery!.envelope
    expect(Buffer.from(payload ?? [])).toEqual(Buffer.from(fields.payload))
    expect(plain(headers)).toMatchObject(plain(fields.headers))
    const { payload: _payload, headers: _headers, ...expected } = fields
    expect(others).toMatchObject(expected)
    await acceptUntilAnswered(road, outcomes)
  },

  'keeps order within a key': async (lay) => {
    const road = await openBoth(await lay({ maxInFlight: 50 }))
    const texts = Array.from({ length: 300 }, (_, index) => `${index % 5}:${String(index).padStart(3, '0')}`)
    const batch = texts.map((text) => road.outbound({ payload: Buffer.from(text), key: text[0] }))
    const outcomes = road.sendInChunks(chunksOf(batch, road.sink.keepsOrder ? 25 : 1))
    await road.consuming.acceptUntil(() => road.consuming.deliveries.length >= texts.length, 'all messages')
    for (const key of ['0', '1', '2', '3', '4']) {
      const ofKey = (text: string) => text.startsWith(key)
      expect(road.consuming.texts.filter(ofKey)).toEqual(texts.filter(ofKey))
    }
    expectDelivered(await outcomes)
  },

  'never exceeds maxInFlight': async (lay) => {
    const road = await openBoth(await lay({ maxInFlight: 5 }))
    const { consuming } = road
    const texts = numbered(40)
    const outcomes = road.send(...texts)
    await consuming.receive(5)
    await sleep(absenceMs)
    expect(consuming.deliveries).toHaveLength(5)
    await consuming.acceptUntil(() => consuming.deliveries.length >= texts.length, 'all messages')
    expect(consuming.peak).toBe(5)
    expectDelivered(await outcomes)
  },

  'resumes after saturation': async (lay) => {
    const road = await openBoth(await lay({ maxInFlight: 4 }))
    const { consuming } = road
    const outcomes = road.send(...numbered(12))
    for (const full of [4, 8, 12]) {
      await consuming.receive(full)
      consuming.acceptAll()
    }
    expect([...consuming.texts].sort()).toEqual(numbered(12))
    expectDelivered(await outcomes)
  },

  'does not accept before the sink confirmed': async (lay) => {
    const road = await openBoth(await lay())
    const texts = numbered(6)
    const outcomes = road.send(...texts)
    const received = await road.consuming.receive(6)
    const isConfirmed = (text: string) => Number(text) % 2 === 1
    for (const delivery of received) if (isConfirmed(textOf(delivery))) road.consuming.settle(delivery, 'accept')
    await road.reopen()
    await road.consuming.receiveAll(texts.filter((text) => !isConfirmed(text)))
    await acceptUntilAnswered(road, outcomes)
    await road.stop()
  },

  'withholds the confirmation of what is not settled': async (lay) => {
    const road = await openBoth(await lay())
    let isAnswered = false
    const outcomes = road.send('one').finally(() => {
      isAnswered = true
    })
    await road.consuming.receive(1)
    await sleep(absenceMs)
    expect(isAnswered).toBe(false)
    await acceptUntilAnswered(road, outcomes)
  },

  'redelivers what was released': async (lay) => {
    const road = await openBoth(await lay())
    const outcomes = road.send('again', 'other')
    const first = await road.consuming.receive(2)
    const again = first.find((delivery) => textOf(delivery) === 'again')!
    road.consuming.settle(again, 'release')
    const count = () => road.consuming.texts.filter((text) => text === 'again').length
    await eventually(() => count() >= 2, { withinMs: 20_000, what: 'the released message' })
    await acceptUntilAnswered(road, outcomes)
    await road.stop()
  },

  'never redelivers what was rejected': async (lay, { tellsRejected }) => {
    const road = await openBoth(await lay())
    const outcomes = road.send('poison')
    const [poison] = await road.consuming.receive(1)
    road.consuming.settle(poison!, 'reject')
    expect(await outcomes).toMatchObject([{ kind: tellsRejected ? 'rejected' : 'delivered' }])
    await sleep(absenceMs)
    expect(road.consuming.texts).toEqual(['poison'])
    await road.stop()
    await expectOnlyTheMarker(road)
  },

  'redelivers what was unsettled at a kill': async (lay) => {
    const road = await openBoth(await lay())
    const texts = numbered(5)
    const outcomes = road.send(...texts)
    await road.consuming.receive(5)
    const killed = road.consuming
    await road.kill()
    if (road.way.sever !== undefined) expect(await killed.ended).toBeInstanceOf(RetryableError)
    await road.consuming.receiveAll(texts)
    await acceptUntilAnswered(road, outcomes)
    await road.stop()
    await expectOnlyTheMarker(road)
  },

  'settles once through a reconnect': async (lay) => {
    const road = await openBoth(await lay())
    const texts = numbered(4)
    const outcomes = road.send(...texts)
    const old = road.consuming
    await old.receive(4)
    await road.kill()
    await road.consuming.receiveAll(texts)
    old.acceptAll() // too late: these are the old connection's
    await road.reopen()
    await road.consuming.receiveAll(texts)
    await acceptUntilAnswered(road, outcomes)
    await road.stop()
    await expectOnlyTheMarker(road)
  },

  'drains on stop': async (lay) => {
    const road = await openBoth(await lay())
    const { consuming } = road
    const outcomes = road.send(...numbered(3))
    const [first, ...others] = [...(await consuming.receive(3))]
    consuming.settle(first!, 'accept')
    consuming.abort()
    await sleep(absenceMs)
    expect(consuming.isOver).toBe(false)
    for (const delivery of others) consuming.settle(delivery, 'accept')
    expect(await withDeadline(consuming.ended, 10_000, 'draining')).toBeUndefined()
    await road.source.close()
    expectDelivered(await outcomes)
  },

  'stops at once when nothing is in flight': async (lay) => {
    const road = await openBoth(await lay())
    await road.stop()
    expect(await road.consuming.ended).toBeUndefined()
  },

  'calls an unreachable broker retryable': async (lay, subject) => {
    const { protocol } = subject
    const connection = protocol.connection.parse(subject.unreachable)
    const { way } = await lay()
    const from = protocol.source?.schema.parse(way.source.from)
    const source = protocol.source!.create(connection, [from], testContext('unreachable'))
    const sink = protocol.sink!.create(connection, testContext('unreachable'))
    for (const end of [source, sink]) {
      const error = await end.open(neverAborted).then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      expect(error).toBeInstanceOf(RetryableError)
      expect((error as RetryableError).isOutage).toBe(true)
      await end.close()
    }
  },

  'calls a refused message permanent': async (lay, subject) => {
    const road = await openBoth(await lay())
    const ordinary = () => road.outbound({ payload: Buffer.from('ordinary') })
    const spoilt = subject.spoil(road.outbound({ payload: Buffer.from('spoilt') }))
    const [refused] = await road.sendOutbound([spoilt])
    expect(refused).toMatchObject({ kind: 'rejected', error: { retryable: false } })
    const outcomes = road.sendOutbound([ordinary()])
    await road.consuming.receive(1)
    await acceptUntilAnswered(road, outcomes)
    expect(road.consuming.texts).toEqual(['ordinary'])
  },
}

async function openBoth(road: Road): Promise<Road> {
  await road.openSource()
  await road.sink.open(neverAborted)
  return road
}

/** Proves that nothing is left on the way: the first to come is what is sent now. */
async function expectOnlyTheMarker(road: Road): Promise<void> {
  await road.openSource()
  const outcomes = road.send('marker')
  await road.consuming.receiveAll(['marker'])
  expect(road.consuming.texts).toEqual(['marker'])
  await acceptUntilAnswered(road, outcomes)
  await road.stop()
  road.settleLate()
  expect([road.budget.count, road.budget.bytes]).toEqual([0, 0]) // each was taken once and given back once
}

/** Accepts what has come, and what still comes where the sender must send again, until all is confirmed. */
async function acceptUntilAnswered(road: Road, outcomes: Promise<readonly Outcome[]>): Promise<void> {
  let isAnswered = false
  void outcomes.finally(() => {
    isAnswered = true
  })
  await road.consuming.acceptUntil(() => isAnswered, 'all confirmations')
  expectDelivered(await outcomes)
}

function expectDelivered(outcomes: readonly Outcome[]): void {
  expect(outcomes.filter((outcome) => outcome.kind !== 'delivered')).toEqual([])
}

/** `001`, `002` and so on: sorted as sent. */
function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(index + 1).padStart(3, '0'))
}

function chunksOf<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  )
}

/** Headers as comparable values: a Buffer is as good as a Uint8Array, an object without prototype as one with. */
function plain(value: unknown): object {
  return comparable(value) as object
}

function comparable(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value]
  if (Array.isArray(value)) return value.map(comparable)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, comparable(part)]))
}
