/** What bindings leave behind when the configuration asks for others. */
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { Bench, recorder } from '../support/contexts/amqp.ts'
import { FakeKept } from '../support/contexts/kept.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { unique } from '../support/names.ts'

let bench: Bench
beforeEach(() => {
  bench = new Bench()
})
afterEach(() => bench.end())

test('a binding that is asked for no more is told once, and stays', async () => {
  const exchange = await bench.exchange('topic')
  const queue = await bench.queue()
  const kept = new FakeKept()
  const start = async (routingKey: string) => {
    const context = { ...recorder(), kept, group: queue }
    const running = await bench.source({ queue, bind: { exchange, routingKey } }, context)
    await running.stop()
    await running.source.close()
    await kept.flushed()
    return context.texts().filter((line) => line.includes('is bound to'))
  }
  expect(await start('a.{kind}')).toEqual([])
  const [line] = await start('b.*')
  expect(line).toContain(`queue ${queue} is bound to exchange ${exchange} by a.*, which no route asks for any more`)
  expect(await start('b.*')).toEqual([])
  ;(await bench.client()).publish(exchange, 'a.x', Buffer.from('still there'))
  const running = await bench.source({ queue })
  await running.has(1)
  running.received[0]?.settle('accept')
})

test('a queue that no route reads any more, and its binding, are told at the next start', async () => {
  const exchange = await bench.exchange('fanout')
  const queue = await bench.queue()
  const yaml = (routes: object[]) =>
    JSON.stringify({
      gateway: { id: unique('bindings'), dataDir: '${env:TRIVIUM_DATA_DIR}' },
      connections: {
        orders: { protocol: 'amqp', url: brokerAddresses().amqp },
        plant: { protocol: 'mqtt', url: brokerAddresses().mqtt },
      },
      routes,
    })
  const to = [{ connection: 'plant', topic: `test/bindings/${queue}` }]
  const read = { name: 'read', from: { connection: 'orders', queue, bind: { exchange } }, to }
  const other = { name: 'other', from: { connection: 'plant', topic: `test/${queue}/+`, qos: 0 }, to }
  const first = await new TestGateway(yaml([read, other])).ready()
  await first.pause()
  const second = await new TestGateway(yaml([other]), first.dataDir).ready()
  bench.later(() => second.stop())
  const lines = second.lines.filter(({ message }) => message.includes(`queue ${queue}`))
  expect(lines).toMatchObject([
    {
      level: 'warn',
      message: `no route reads this any more, but the broker goes on filling it: queue ${queue} is bound to exchange ${exchange}`,
    },
  ])
})
