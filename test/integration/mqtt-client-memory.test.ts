/** What waits for its target holds its own bytes: not the chunk of the socket it was read in. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, expect, it } from '@jest/globals'
import { Budget } from '../../src/adapter/budget.ts'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { Bench, connectionOf, contextOf } from '../support/contexts/mqtt-client.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

const bench = new Bench()
afterEach(() => bench.end())

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const heldBytes = () => {
  collect()
  return process.memoryUsage().arrayBuffers
}

it.each(['delivered', 'stored'])(
  'of a `%s` route whose target is away, between messages that pass',
  async (acknowledge) => {
    const base = unique('memory')
    const url = brokerAddresses().mqtt
    const yaml = JSON.stringify({
      gateway: { id: base.replaceAll('/', '-'), dataDir: '${env:TRIVIUM_DATA_DIR}', drain: '200ms' },
      connections: {
        plant: { protocol: 'mqtt', url, maxInFlight: 2_000 },
        away: { protocol: 'mqtt', url: `mqtt://127.0.0.1:${await freePort()}` },
      },
      routes: [
        {
          name: 'waits',
          from: { connection: 'plant', topic: `${base}/waits` },
          to: [{ connection: 'away', topic: 'x' }],
          acknowledge,
        },
        {
          name: 'passes',
          from: { connection: 'plant', topic: `${base}/passes` },
          to: [{ connection: 'plant', topic: `${base}/out` }],
          acknowledge: 'delivered',
        },
      ],
    })
    const gateway = new TestGateway(yaml)
    bench.later(() => gateway.stop())
    await eventually(() => gateway.link('plant', 'source').state === 'up', { what: 'a source' })
    const client = await bench.client()
    const rounds = 200
    const before = heldBytes()
    const filler = Buffer.alloc(50_000)
    const sent = Array.from({ length: rounds }, () => {
      client.publish(`${base}/passes`, filler, { qos: 0 }) // in one go, so that one read brings some of both
      return client.publishAsync(`${base}/waits`, Buffer.alloc(300), { qos: 1 })
    })
    await Promise.all(sent)
    await eventually(() => gateway.route('waits').matched === rounds && gateway.route('passes').delivered === rounds, {
      what: 'all of both',
    })
    await eventually(() => heldBytes() - before < rounds * 8_192, { what: 'memory of about the size of what waits' })
  },
)

it('the budget counts user properties, not the payload alone', async () => {
  const topic = unique('properties')
  const budget = new Budget({ maxCount: 10_000, maxBytes: 1 << 20 })
  const reading = await bench.run([{ topic }], connectionOf({ protocolVersion: 5 }), { ...contextOf(), budget })
  const client = await bench.client()
  const properties = { userProperties: { note: 'x'.repeat(60_000) } }
  const sent = Array.from({ length: 60 }, (_, i) => client.publishAsync(topic, `${i}`, { qos: 1, properties }))
  await Promise.all(sent)
  await eventually(() => budget.isFull, { what: 'a full budget' })
  expect(reading.received.length).toBeLessThan(20)
  reading.onBatch = (batch) => batch.forEach((delivery) => void setImmediate(() => delivery.settle('accept')))
  for (const delivery of reading.received) delivery.settle('accept')
  await reading.has(60)
  await reading.stop()
  expect(budget.bytes).toBe(0)
})
