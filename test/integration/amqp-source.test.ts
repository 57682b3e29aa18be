import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { Delivery } from '../../src/adapter/contract.ts'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { Bench, outbound, recorder, targetOf } from '../support/contexts/amqp.ts'
import { never, textOf } from '../support/contexts/messages.ts'
import { RunningSource } from '../support/contexts/running-source.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'

let bench: Bench
beforeEach(() => {
  bench = new Bench()
})
afterEach(() => bench.end())

const acceptAll = (batch: readonly Delivery[]) => {
  for (const delivery of batch) delivery.settle('accept')
}

async function fill(queue: string, count: number): Promise<void> {
  const client = await bench.client()
  for (let index = 0; index < count; index += 1)
    client.sendToQueue(queue, Buffer.from(`${index}`), { persistent: true })
  await eventually(async () => (await bench.depth(queue)) >= count, { what: 'the messages to arrive' })
}

describe('amqp source', () => {
  test('hands over in order, in batches, and leaves nothing unacknowledged behind', async () => {
    const queue = await bench.queue()
    await fill(queue, 5_000)
    const context = recorder()
    const running = await bench.source({ queue, prefetch: 200 }, context)
    running.onBatch = acceptAll
    await running.has(5_000)
    await running.stop()
    await running.source.close()
    expect(running.received.map(textOf)).toEqual(Array.from({ length: 5_000 }, (_, index) => `${index}`))
    expect(Math.max(...running.batches)).toBeGreaterThan(1)
    expect(running.received[0]).toMatchObject({ address: queue, subject: queue })
    expect(context.budget.count).toBe(0)
    expect(await bench.depth(queue)).toBe(0)
  })

  test('never holds more than the prefetch unsettled, and goes on once there is room', async () => {
    const queue = await bench.queue()
    await fill(queue, 30)
    const running = await bench.source({ queue, prefetch: 4 })
    await running.has(4)
    expect(await bench.depth(queue)).toBe(26)
    expect(running.received).toHaveLength(4)
    acceptAll(running.received.slice(0, 2))
    await running.has(6)
    expect(running.received).toHaveLength(6)
    acceptAll(running.received.slice(2))
    running.onBatch = acceptAll
    await running.has(30)
  })

  test('settlements in any order leave exactly the unsettled to be delivered again', async () => {
    const queue = await bench.queue()
    await fill(queue, 10)
    const first = await bench.source({ queue })
    await first.has(10)
    for (const index of [9, 0, 5, 1, 2, 8]) first.received[index]!.settle('accept')
    await first.source.close()
    await expect(first.done).rejects.toMatchObject({ code: 'PEER_LOST', retryable: true })
    const second = await bench.source({ queue })
    await second.has(4)
    expect(second.received.map(textOf).sort()).toEqual(['3', '4', '6', '7'])
    acceptAll(second.received)
  })

  test('a settlement after the connection is gone does nothing but free the budget', async () => {
    const queue = await bench.queue()
    await fill(queue, 3)
    const context = recorder()
    const running = await bench.source({ queue }, context)
    await running.has(3)
    await running.source.close()
    expect(context.budget.count).toBe(3)
    acceptAll(running.received)
    expect(context.budget).toMatchObject({ count: 0, bytes: 0 })
    await eventually(async () => (await bench.depth(queue)) === 3, { what: 'all three back in the queue' })
  })

  test('what is unsettled from before a reconnect still counts, and makes room when it is settled', async () => {
    const queue = await bench.queue()
    await fill(queue, 10)
    const context = recorder()
    const first = await bench.source({ queue, prefetch: 4 }, context)
    await first.has(4)
    await first.source.close()
    await first.source.open(never)
    const second = new RunningSource(first.source)
    const isBack = async () => (await bench.depth(queue)) === 9 // and one is sent ahead, as the queue stays in use
    await eventually(isBack, { what: 'the unsettled to be back' })
    expect(second.received).toHaveLength(0)
    acceptAll(first.received.slice(0, 2))
    await second.has(2)
    expect(second.received.map(textOf)).toEqual(['0', '1'])
    acceptAll(first.received.slice(2))
    second.onBatch = acceptAll
    acceptAll(second.received)
    await second.has(10)
    await second.stop()
    expect(context.budget.count).toBe(0)
  })

  test('what is released comes again, what is rejected goes to the dead-letter exchange', async () => {
    const dead = await bench.queue()
    const queue = await bench.queue({ deadLetterExchange: '', deadLetterRoutingKey: dead })
    await fill(queue, 2)
    const running = await bench.source({ queue, prefetch: 2 })
    await running.has(2)
    running.received[0]!.settle('release')
    running.received[1]!.settle('reject')
    await running.has(3)
    expect(textOf(running.received[2]!)).toBe('0')
    running.received[2]!.settle('accept')
    const [found] = await eventually(async () => ((await bench.depth(dead)) === 1 ? bench.drain(dead) : undefined), {
      what: 'the dead letter',
    })
    expect(found?.content.toString()).toBe('1')
  })

  test('after the signal it takes no more and ends when all in flight is settled', async () => {
    const queue = await bench.queue()
    await fill(queue, 10)
    const running = await bench.source({ queue, prefetch: 3 })
    await running.has(3)
    let isDone = false
    const stopped = running.stop().then(() => {
      isDone = true
    })
    acceptAll(running.received.slice(0, 2))
    await bench.depth(queue)
    expect(isDone).toBe(false)
    running.received[2]!.settle('accept')
    await stopped
    await running.source.close()
    expect(running.received).toHaveLength(3)
    await eventually(async () => (await bench.depth(queue)) === 7, { what: 'the other seven in the queue' })
  })

  test('stops reading while the process budget is full, and resumes', async () => {
    const queue = await bench.queue()
    await fill(queue, 300)
    const context = recorder({ maxCount: 20 })
    const running = await bench.source({ queue, prefetch: 10 }, context)
    const other = await bench.source({ queue, prefetch: 10 }, context)
    await eventually(() => context.budget.count === 20, { what: 'a full budget' })
    const settle = (batch: readonly Delivery[]) => setImmediate(acceptAll, batch)
    running.onBatch = other.onBatch = settle
    for (const { received } of [running, other]) acceptAll(received)
    await eventually(() => running.received.length + other.received.length >= 300, { what: 'all of them' })
    await Promise.all([running.stop(), other.stop()])
    expect(context.budget.count).toBe(0)
  })

  test('a full process budget keeps a new source from handing anything over, and its queue is in use', async () => {
    const queue = await bench.queue()
    await fill(queue, 3)
    const context = recorder({ maxCount: 1 })
    context.budget.take(1)
    const running = await bench.source({ queue }, context)
    const client = await bench.client()
    await eventually(async () => (await bench.depth(queue)) === 2, { what: 'one to be sent ahead' })
    expect((await client.checkQueue(queue)).consumerCount).toBe(1)
    expect(running.received).toHaveLength(0)
    context.budget.give(1)
    running.onBatch = acceptAll
    await running.has(3)
  })

  test('large messages are held back by the byte budget, not by the prefetch', async () => {
    const queue = await bench.queue()
    const client = await bench.client()
    for (let n = 0; n < 40; n += 1) client.sendToQueue(queue, Buffer.alloc(256 * 1024))
    await eventually(async () => (await bench.depth(queue)) === 40, { what: 'the messages to arrive' })
    const context = recorder({ maxBytes: 2 * 1024 * 1024 })
    const running = await bench.source({ queue }, context)
    await running.has(8)
    expect(running.received).toHaveLength(8)
    expect(context.budget.bytes).toBeLessThan(2.25 * 1024 * 1024)
    expect(await bench.depth(queue)).toBeGreaterThanOrEqual(40 - 8 - 5) // the first four and one more may be here
    running.onBatch = acceptAll
    acceptAll(running.received)
    await running.has(40)
  })

  test('small messages after large ones get all of the prefetch again', async () => {
    const queue = await bench.queue()
    const client = await bench.client()
    const running = await bench.source({ queue, prefetch: 100 }, recorder({ maxBytes: 4 * 1024 * 1024 }))
    running.onBatch = acceptAll
    for (let n = 0; n < 20; n += 1) client.sendToQueue(queue, Buffer.alloc(1024 * 1024))
    await running.has(20)
    const small = (count: number) => {
      for (let n = 0; n < count; n += 1) client.sendToQueue(queue, Buffer.from('small'))
    }
    small(1_000)
    await running.has(1_020)
    running.onBatch = () => {}
    small(200)
    await running.has(1_120)
    await eventually(async () => (await bench.depth(queue)) === 100, { what: 'the rest to wait in the queue' })
    acceptAll(running.received.slice(1_020))
    running.onBatch = acceptAll
    await running.has(1_220)
  })

  test('the time to live of a message that waits for room counts from its arrival', async () => {
    const queue = await bench.queue()
    const client = await bench.client()
    client.sendToQueue(queue, Buffer.from('x'), { expiration: 60_000 })
    await eventually(async () => (await bench.depth(queue)) === 1, { what: 'the message to arrive' })
    const context = recorder({ maxCount: 1 })
    context.budget.take(1)
    const running = await bench.source({ queue }, context)
    const hereAt = await eventually(async () => (await bench.depth(queue)) === 0 && Date.now(), { what: 'it here' })
    await eventually(() => Date.now() > hereAt + 30, { what: 'time to pass' })
    context.budget.give(1)
    await running.has(1)
    expect(Date.parse(running.received[0]!.envelope.timestamp)).toBeLessThanOrEqual(hereAt)
    acceptAll(running.received)
  })

  test('a queue deleted under it ends the run as lost', async () => {
    const queue = await bench.queue()
    const running = await bench.source({ queue })
    await eventually(async () => (await (await bench.client()).checkQueue(queue)).consumerCount === 1, { what: 'it' })
    await (await bench.client()).deleteQueue(queue)
    await expect(running.done).rejects.toMatchObject({ code: 'PEER_LOST', message: expect.stringContaining(queue) })
  })

  test('a queue with an exclusive consumer elsewhere is refused at the opening', async () => {
    const queue = await bench.queue()
    await (await bench.client()).consume(queue, () => {}, { exclusive: true })
    await expect(bench.source({ queue })).rejects.toMatchObject({
      code: 'ACCESS_DENIED',
      retryable: true,
      message: expect.stringContaining(queue),
    })
  })

  test('an exclusive consumer elsewhere is warned of without a word of being connected', async () => {
    const queue = await bench.queue()
    await (await bench.client()).consume(queue, () => {}, { exclusive: true })
    const gateway = new TestGateway(`
gateway: { id: ${queue}, drain: 1s, admin: false }
connections: { orders: { protocol: amqp, url: "${brokerAddresses().amqp}" }, here: { protocol: mqtt, listen: "mqtt://127.0.0.1:0" } }
routes: [{ name: road, from: { connection: orders, queue: ${queue} }, to: [{ connection: here, topic: t }] }]
`)
    bench.later(() => gateway.stop())
    await eventually(() => gateway.link('orders', 'source').reconnects >= 3, { what: 'three attempts' })
    const said = gateway.lines.filter(({ message }) => message.startsWith('orders'))
    expect(said.map(({ message }) => message)).toEqual([expect.stringMatching(/not available as source: .*exclusive/)])
  })

  test('a missing queue is retryable and named', async () => {
    const queue = unique('missing')
    const opening = bench.source({ queue })
    await expect(opening).rejects.toMatchObject({
      code: 'NOT_FOUND',
      retryable: true,
      message: expect.stringContaining(queue),
    })
  })

  test('declares its queue, of the wanted type, where asked to', async () => {
    const queue = unique('made')
    bench.later(async () => (await bench.client()).deleteQueue(queue))
    const running = await bench.source({ queue, declare: { type: 'quorum' } })
    running.onBatch = acceptAll
    ;(await bench.client()).sendToQueue(queue, Buffer.from('hello'))
    await running.has(1)
    await running.stop()
    const again = await bench.source({ queue, declare: true })
    await again.stop()
  })

  test.each([
    ['direct', { routingKey: 'a' }, 'a', {}, 'b', {}],
    ['topic', { routingKey: 'order.{type}.{rest#}' }, 'order.new.x.y', {}, 'invoice.new', {}],
    ['headers', { arguments: { 'x-match': 'all', site: 'berlin' } }, '', { site: 'berlin' }, '', { site: 'paris' }],
  ])('binds to a %s exchange, and a sink reaches it', async (type, bind, key, headers, otherKey, otherHeaders) => {
    const queue = unique('bound')
    const exchange = unique(type)
    bench.later(async () => (await bench.client()).deleteExchange(exchange))
    bench.later(async () => (await bench.client()).deleteQueue(queue))
    const from = { queue, declare: true, bind: { exchange, exchangeType: type, ...bind } }
    const running = await bench.source(from)
    const sink = await bench.sink()
    const outcomes = await sink.send(
      [
        outbound(targetOf({ exchange, routingKey: key }), {
          payload: 'yes',
          headers: headers as Record<string, string>,
        }),
        outbound(targetOf({ exchange, routingKey: otherKey }), { headers: otherHeaders as Record<string, string> }),
      ],
      never,
    )
    expect(outcomes[0]?.kind).toBe('delivered')
    expect(outcomes[1]).toMatchObject({ kind: 'rejected', error: { code: 'MESSAGE_UNROUTABLE' } })
    await running.has(1)
    expect(running.received.map(textOf)).toEqual(['yes'])
    expect(running.received[0]?.subject).toBe(key)
    acceptAll(running.received)
  })

  test('a fanout exchange fills every bound queue', async () => {
    const exchange = await bench.exchange('fanout')
    const sources = await Promise.all(
      ['a', 'b'].map(async (name) => {
        const queue = unique(name)
        bench.later(async () => (await bench.client()).deleteQueue(queue))
        return bench.source({ queue, declare: true, bind: { exchange } })
      }),
    )
    const sink = await bench.sink()
    await sink.send([outbound(targetOf({ exchange }), { payload: 'all' })], never)
    for (const source of sources) await source.has(1)
    expect(sources.map(({ received }) => textOf(received[0]!))).toEqual(['all', 'all'])
    for (const { received } of sources) acceptAll(received)
  })
})
