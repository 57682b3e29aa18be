import { describe, expect, test } from '@jest/globals'
import { mostBytes, mostMessages } from '../../../protocols/memory/connection.ts'
import { memory, memoryBus } from '../../../protocols/memory/index.ts'
import { testContext } from '../../support/contexts/context.ts'
import { codes, never, outboundTo } from '../../support/contexts/messages.ts'
import { RunningSource } from '../../support/contexts/running-source.ts'
import { unique } from '../../support/names.ts'

const payload = Buffer.from('x')
const half = new Uint8Array(mostBytes / 2 + 1)

describe('the memory bus', () => {
  test('takes so many messages in and no more, until one is done with', () => {
    const bus = memoryBus(unique('bus'))
    const answers = Array.from({ length: mostMessages + 1 }, () => bus.publish('a', { payload }))
    expect(answers.at(-2)).toBe('confirmed')
    expect(answers.at(-1)).toBe('full')
    const subscription = bus.subscribe('a')
    subscription.finish(subscription.take()!)
    expect(bus.publish('a', { payload })).toBe('confirmed')
    expect(bus.publish('a', { payload })).toBe('full')
  })

  test('takes so many bytes in and no more; what never fits is refused for good', () => {
    const bus = memoryBus(unique('bus'))
    expect(bus.publish('a', { payload: half })).toBe('confirmed')
    expect(bus.publish('a', { payload: half })).toBe('full')
    expect(bus.publish('a', { payload: new Uint8Array(mostBytes + 1) })).toBe('too-large')
    const subscription = bus.subscribe('a')
    subscription.finish(subscription.take()!)
    expect(bus.publish('a', { payload: half })).toBe('confirmed')
  })

  test('holds a message until every subscription is done with it', () => {
    const bus = memoryBus(unique('bus'))
    const [one, other] = [bus.subscribe('a'), bus.subscribe('+')]
    bus.publish('a', { payload })
    one.finish(one.take()!)
    expect(bus.size).toBe(1)
    other.finish(other.take()!)
    expect(bus.size).toBe(0)
  })

  test('gives a subscription what nobody wanted before it', () => {
    const bus = memoryBus(unique('bus'))
    for (const topic of ['a', 'b', 'a']) bus.publish(topic, { payload })
    const subscription = bus.subscribe('a')
    expect([subscription.take(), subscription.take(), subscription.take()].map((message) => message?.topic)).toEqual([
      'a',
      'a',
      undefined,
    ])
    expect(bus.size).toBe(3)
  })

  test('a source frees what is accepted or rejected, and keeps what is released', async () => {
    const bus = unique('bus')
    const connection = memory.connection.parse({ bus })
    const from = memory.source!.schema.parse({ topic: 'a', releaseDelay: '1h' })
    const source = memory.source!.create(connection, [from], testContext('inside'))
    await source.open(never)
    for (let n = 0; n < 3; n += 1) memoryBus(bus).publish('a', { payload })
    const running = new RunningSource(source)
    await running.has(3)
    for (const [n, settlement] of (['accept', 'reject', 'release'] as const).entries()) {
      running.received[n]!.settle(settlement)
    }
    await running.stop()
    expect(memoryBus(bus).size).toBe(1)
    await source.close()
  })

  test('a full bus is retryable to a sink, a message that never fits is not', async () => {
    const bus = unique('bus')
    const sink = memory.sink!.create(memory.connection.parse({ bus }), testContext('inside'))
    await sink.open(never)
    const sizes = [mostBytes / 2 + 1, mostBytes / 2 + 1, mostBytes + 1]
    const batch = sizes.map((size) => outboundTo({ topic: 'a' }, { payload: new Uint8Array(size) }))
    expect(codes(await sink.send(batch, never))).toEqual(['delivered', 'TARGET_BUSY', 'MESSAGE_TOO_LARGE'])
    await sink.close()
    expect(codes(await sink.send(batch.slice(0, 1), never))).toEqual(['PEER_LOST'])
  })
})
