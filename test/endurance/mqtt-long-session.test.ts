import { afterEach, expect, it } from '@jest/globals'
import { FakeBroker, types } from '../support/brokers/fake-mqtt-broker.ts'
import { never } from '../support/contexts/messages.ts'
import { Bench, connectionOf } from '../support/contexts/mqtt-client.ts'
import { acceptAll, RunningSource } from '../support/contexts/running-source.ts'

const bench = new Bench()
afterEach(() => bench.end())

it('waits for a SUBACK that comes behind a long session, as long as packets come', async () => {
  const broker = await FakeBroker.start()
  bench.later(() => broker.stop())
  let subscribed = Buffer.alloc(0)
  broker.suback = (body) => {
    subscribed = Buffer.from(body)
    return Buffer.alloc(0)
  }
  const source = bench.source([{ topic: 'a' }], connectionOf({ url: broker.url }))
  const opening = source.open(never)
  await broker.has(types.subscribe, 1)
  let sent = 0
  const timer = setInterval(() => broker.publish('a', `${sent}`, { id: ++sent }), 1_000)
  bench.later(async () => clearInterval(timer))
  await new Promise((resolve) => setTimeout(resolve, 12_000)) // longer than an answer may take in silence
  clearInterval(timer)
  broker.socket.write(Buffer.from([0x90, 4, subscribed[0]!, subscribed[1]!, 0, 1]))
  await opening
  const running = new RunningSource(source, acceptAll)
  await running.has(sent)
  expect(running.texts).toEqual(Array.from({ length: sent }, (_, n) => `${n}`))
  await running.stop()
}, 60_000)
