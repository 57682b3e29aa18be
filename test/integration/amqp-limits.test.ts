import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { type RunningRabbitmq, startRabbitmq } from '../support/brokers/rabbitmq.ts'
import { Bench, outbound, recorder, settingsOf, targetOf } from '../support/contexts/amqp.ts'
import { codes, never, textOf } from '../support/contexts/messages.ts'
import { RunningSource } from '../support/contexts/running-source.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'

let broker: RunningRabbitmq
let bench: Bench
beforeAll(async () => {
  const conf = ['max_message_size = 2000', 'consumer_timeout = 1000']
  broker = await startRabbitmq({ conf, args: '-rabbit channel_tick_interval 500' })
}, 90_000)
afterAll(() => broker.stop())
beforeEach(() => {
  bench = new Bench()
})
afterEach(() => bench.end())
const settings = () => settingsOf({ url: broker.address })

describe('amqp limits of a broker of its own', () => {
  test("the broker's smaller size limit is learnt, and only the large message pays", async () => {
    const sink = await bench.sink(settings())
    const target = targetOf({ queue: unique('limits') })
    const [small, large] = [outbound(target), outbound(target, { payload: 'x'.repeat(3000) })]
    const first = codes(await sink.send([small, large, small], never))
    expect(first[1]).toBe('MESSAGE_TOO_LARGE')
    expect(['delivered', 'PEER_LOST']).toContain(first[0])
    expect(codes(await sink.send([small, large, small], never))).toEqual([
      'delivered',
      'MESSAGE_TOO_LARGE',
      'delivered',
    ])
  })

  test('a message held for longer than consumer_timeout comes again, and nothing is lost', async () => {
    const sink = await bench.sink(settings())
    const queue = unique('held')
    await sink.send(
      Array.from({ length: 10 }, (_, n) => outbound(targetOf({ queue }), { payload: `${n}` })),
      never,
    )
    const held = await bench.source({ queue, prefetch: 4 }, recorder(), settings())
    await held.has(4)
    await expect(held.done).rejects.toMatchObject({ retryable: true, message: expect.stringContaining('timeout') })
    await held.source.open(never)
    const again = new RunningSource(held.source)
    again.onBatch = (batch) => {
      for (const delivery of batch) delivery.settle('accept')
    }
    for (const delivery of held.received) delivery.settle('accept') // delivered late: it comes twice, as documented
    await again.has(10)
    expect(new Set(again.received.map(textOf))).toEqual(new Set(Array.from({ length: 10 }, (_, n) => `${n}`)))
    await again.stop()
  })

  // the last one: the alarm stays
  test('a memory alarm makes messages wait until the sink is closed', async () => {
    const context = recorder()
    const sink = await bench.sink(settings(), context)
    await broker.control('set_vm_memory_high_watermark', 'absolute', '1MB')
    const target = targetOf({ queue: unique('limits') })
    const first = sink.send([outbound(target)], never)
    await eventually(() => context.counts.get('blocked') === 1, { what: 'the alarm' })
    const second = sink.send([outbound(target)], never)
    await sink.close()
    expect(codes([...(await first), ...(await second)])).toEqual(['PEER_LOST', 'PEER_LOST'])
    expect(context.texts().some((line) => line.includes('low on memory'))).toBe(true)
  })
})
