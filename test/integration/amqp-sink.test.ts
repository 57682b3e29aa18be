import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { Bench, outbound, recorder, settingsOf, targetOf } from '../support/contexts/amqp.ts'
import { codes, kinds, never } from '../support/contexts/messages.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'

let bench: Bench
beforeEach(() => {
  bench = new Bench()
})
afterEach(() => bench.end())

describe('amqp sink', () => {
  test('gives 10,000 outcomes for 10,000 messages, and they are all in the queue in order', async () => {
    const queue = await bench.queue()
    const sink = await bench.sink()
    const target = targetOf({ queue })
    const sends = Array.from({ length: 20 }, (_, batch) =>
      Array.from({ length: 500 }, (_, index) => outbound(target, { payload: `${batch * 500 + index}` })),
    )
    const outcomes = (await Promise.all(sends.map((batch) => sink.send(batch, never)))).flat()
    expect(outcomes).toHaveLength(10_000)
    expect(new Set(kinds(outcomes))).toEqual(new Set(['delivered']))
    expect(await bench.depth(queue)).toBe(10_000)
    const running = await bench.source({ queue, prefetch: 5_000 })
    running.onBatch = (batch) => batch.forEach((delivery) => void delivery.settle('accept'))
    await running.has(10_000)
    const order = running.received.map((delivery) => Number(Buffer.from(delivery.envelope.payload!).toString()))
    expect(order).toEqual(order.map((_, index) => index))
  })

  test('messages are persistent and keep id, body and headers', async () => {
    const queue = await bench.queue()
    const sink = await bench.sink()
    const message = outbound(targetOf({ queue }), { messageId: 'm-1', payload: 'body', headers: { site: 'berlin' } })
    expect(kinds(await sink.send([message], never))).toEqual(['delivered'])
    const [found] = await bench.drain(queue)
    expect(found?.content.toString()).toBe('body')
    expect(found?.properties).toMatchObject({ messageId: 'm-1', deliveryMode: 2, headers: { site: 'berlin' } })
  })

  test('a sink begins with little, and gives full batches once the broker has confirmed quickly', async () => {
    const queue = await bench.queue()
    const sink = await bench.sink()
    const sizes: number[] = []
    for (let sends = 0; sends < 6; sends += 1) {
      sizes.push(sink.maxBatch)
      const batch = Array.from({ length: sink.maxBatch }, () => outbound(targetOf({ queue })))
      expect(new Set(kinds(await sink.send(batch, never)))).toEqual(new Set(['delivered']))
    }
    expect([...sizes, sink.maxBatch]).toEqual([16, 32, 64, 128, 256, 500, 500])
  })

  test('a missing queue is declared, durable, and declared again when it was deleted', async () => {
    const queue = unique('made')
    const sink = await bench.sink()
    const target = targetOf({ queue })
    bench.later(async () => (await bench.client()).deleteQueue(queue))
    expect(kinds(await sink.send([outbound(target)], never))).toEqual(['delivered'])
    await (await bench.client()).deleteQueue(queue)
    expect(codes(await sink.send([outbound(target)], never))).toEqual(['NOT_FOUND'])
    expect(kinds(await sink.send([outbound(target)], never))).toEqual(['delivered'])
    expect(await bench.depth(queue)).toBe(1)
  })

  test('an existing queue of other arguments is used as it is', async () => {
    const queue = await bench.queue({ durable: false, maxLength: 5 })
    const sink = await bench.sink()
    expect(kinds(await sink.send([outbound(targetOf({ queue }))], never))).toEqual(['delivered'])
  })

  test('of a batch only what no queue takes is rejected as unroutable', async () => {
    const exchange = await bench.exchange('direct')
    const queue = await bench.queue()
    await (await bench.client()).bindQueue(queue, exchange, 'known')
    const sink = await bench.sink()
    const to = (routingKey: string) => outbound(targetOf({ exchange, routingKey }))
    const outcomes = await sink.send([to('known'), to('other'), to('known'), to('other')], never)
    expect(codes(outcomes)).toEqual(['delivered', 'MESSAGE_UNROUTABLE', 'delivered', 'MESSAGE_UNROUTABLE'])
    expect(kinds(outcomes)[1]).toBe('rejected')
    expect(await bench.depth(queue)).toBe(2)
  })

  test('a return finds its message among others of the same id and body', async () => {
    const exchange = await bench.exchange('headers')
    const queue = await bench.queue()
    await (await bench.client()).bindQueue(queue, exchange, '', { 'x-match': 'all', site: 'berlin' })
    const sink = await bench.sink()
    const same = { messageId: 'same', payload: 'same' }
    const target = targetOf({ exchange })
    const batch = ['berlin', 'paris', 'berlin'].map((site) => outbound(target, { ...same, headers: { site } }))
    expect(codes(await sink.send(batch, never))).toEqual(['delivered', 'MESSAGE_UNROUTABLE', 'delivered'])
  })

  test('a target that does not declare rejects what its missing queue cannot take', async () => {
    const sink = await bench.sink()
    const target = targetOf({ queue: unique('missing'), declare: false })
    expect(codes(await sink.send([outbound(target)], never))).toEqual(['MESSAGE_UNROUTABLE'])
  })

  test('a missing exchange is retryable for its own messages only, and found once it is there', async () => {
    const queue = await bench.queue()
    const sink = await bench.sink()
    const exchange = unique('later')
    const bad = targetOf({ exchange, routingKey: 'x', mandatory: false })
    const good = targetOf({ queue })
    const outcomes = await sink.send([outbound(good), outbound(bad), outbound(good), outbound(bad)], never)
    expect(codes(outcomes)).toEqual(['delivered', 'NOT_FOUND', 'delivered', 'NOT_FOUND'])
    expect(outcomes[1]).toMatchObject({ kind: 'retryable', error: { isOutage: false } })
    await (await bench.client()).assertExchange(exchange, 'fanout')
    bench.later(async () => (await bench.client()).deleteExchange(exchange))
    await eventually(async () => (await sink.send([outbound(bad)], never))[0]?.kind === 'delivered', {
      what: 'delivery',
    })
  })

  test('an exchange that goes away ends nothing but the attempt', async () => {
    const queue = await bench.queue()
    const exchange = await bench.exchange('fanout')
    await (await bench.client()).bindQueue(queue, exchange, '')
    const sink = await bench.sink()
    const target = targetOf({ exchange })
    expect(codes(await sink.send([outbound(target)], never))).toEqual(['delivered'])
    await (await bench.client()).deleteExchange(exchange)
    const good = outbound(targetOf({ queue }))
    const mixed = await sink.send([outbound(target), good], never)
    expect(kinds(mixed)).toEqual(['retryable', 'retryable'])
    expect(codes(await sink.send([outbound(target), good], never))).toEqual(['NOT_FOUND', 'delivered'])
  })

  test('an exchange is declared where its type is given', async () => {
    const exchange = unique('made')
    const sink = await bench.sink()
    const target = targetOf({ exchange, exchangeType: 'topic', routingKey: 'a.b', mandatory: false })
    expect(codes(await sink.send([outbound(target)], never))).toEqual(['delivered'])
    await (await bench.client()).checkExchange(exchange)
    await (await bench.client()).deleteExchange(exchange)
  })

  test('a full queue that refuses makes messages retryable', async () => {
    const queue = await bench.queue({ maxLength: 1, overflow: 'reject-publish' })
    const sink = await bench.sink()
    const target = targetOf({ queue })
    const outcomes = await sink.send([outbound(target), outbound(target), outbound(target)], never)
    expect(codes(outcomes)).toContain('TARGET_BUSY')
    expect(await bench.depth(queue)).toBe(1)
  })

  test('what one message did to the channel does not stay with the others', async () => {
    const queue = await bench.queue()
    const internal = unique('internal')
    await (await bench.client()).assertExchange(internal, 'fanout', { internal: true })
    bench.later(async () => (await bench.client()).deleteExchange(internal))
    const sink = await bench.sink()
    const good = Array.from({ length: 5 }, () => outbound(targetOf({ queue })))
    const bad = outbound(targetOf({ exchange: internal }))
    let waiting = [...good.slice(0, 2), bad, ...good.slice(2)]
    const ends = new Map<unknown, string>()
    for (let attempt = 0; attempt < 4 && waiting.length > 0; attempt += 1) {
      const outcomes = await sink.send(waiting, never)
      outcomes.forEach((outcome, index) => {
        if (outcome.kind !== 'retryable' || !outcome.error.isOutage) ends.set(waiting[index], codes([outcome])[0]!)
      })
      waiting = waiting.filter((message) => !ends.has(message))
    }
    expect(good.map((message) => ends.get(message))).toEqual(Array(5).fill('delivered'))
    expect(ends.get(bad)).toBe('ACCESS_DENIED')
    expect(codes(await sink.send([good[0]!, bad, good[1]!], never))).toEqual([
      'delivered',
      'ACCESS_DENIED',
      'delivered',
    ])
  })

  test('a body over the limit is too large, and leaves the others alone', async () => {
    const queue = await bench.queue()
    const sink = await bench.sink(settingsOf({ maxMessageSize: '1KiB' }))
    const target = targetOf({ queue })
    const outcomes = await sink.send(
      [outbound(target, { payload: 'x'.repeat(4096) }), outbound(target, { payload: 'x'.repeat(1024) })],
      never,
    )
    expect(codes(outcomes)).toEqual(['MESSAGE_TOO_LARGE', 'delivered'])
  })

  test('bodies far beyond the byte budget go through in order', async () => {
    const queue = await bench.queue()
    const sink = await bench.sink()
    const target = targetOf({ queue })
    const batch = Array.from({ length: 40 }, (_, index) =>
      outbound(target, { messageId: `m-${index}`, payload: Buffer.alloc(1 << 20, index) }),
    )
    const [first, second] = [batch.slice(0, 20), batch.slice(20)]
    const outcomes = (await Promise.all([sink.send(first, never), sink.send(second, never)])).flat()
    expect(new Set(kinds(outcomes))).toEqual(new Set(['delivered']))
    const found = await bench.drain(queue)
    expect(found.map((message) => message.content[0])).toEqual(batch.map((_, index) => index))
  })

  test('a routing key the protocol cannot carry rejects its message only', async () => {
    const queue = await bench.queue()
    const exchange = await bench.exchange('topic')
    const sink = await bench.sink()
    const long = targetOf({ exchange, routingKey: 'x'.repeat(300) })
    const outcomes = await sink.send([outbound(long), outbound(targetOf({ queue }))], never)
    expect(codes(outcomes)).toEqual(['MESSAGE_REFUSED', 'delivered'])
  })

  test('what is unconfirmed at close is retryable, and a sink opens again', async () => {
    const queue = await bench.queue()
    const sink = await bench.sink()
    const target = targetOf({ queue })
    const sending = sink.send(
      Array.from({ length: 500 }, () => outbound(target)),
      never,
    )
    await sink.close()
    const outcomes = await sending
    expect(outcomes.every((outcome) => outcome.kind === 'delivered' || outcome.kind === 'retryable')).toBe(true)
    expect(codes(outcomes)).toContain('PEER_LOST')
    expect(codes(await sink.send([outbound(target)], never))).toEqual(['PEER_LOST'])
    await sink.close()
    await sink.open(never)
    expect(codes(await sink.send([outbound(target)], never))).toEqual(['delivered'])
  })

  test('an aborted send ends at once', async () => {
    const queue = await bench.queue()
    const sink = await bench.sink(settingsOf(), recorder())
    const abort = new AbortController()
    const sending = sink.send([outbound(targetOf({ queue }))], abort.signal)
    abort.abort()
    expect(codes(await sending)).toEqual(['PEER_LOST'])
  })
})
