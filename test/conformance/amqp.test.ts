import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll } from '@jest/globals'
import { amqp } from '../../protocols/amqp/index.ts'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { startProxy, type TcpProxy } from '../support/brokers/proxy.ts'
import { freePort } from '../support/ports.ts'
import { conforms } from './suite.ts'

const url = brokerAddresses().amqp
const closedPort = await freePort()
let proxy: TcpProxy

beforeAll(async () => {
  proxy = await startProxy(Number(new URL(url).port))
})
afterAll(() => proxy.close())

conforms({
  name: 'amqp',
  protocol: amqp,
  unreachable: { url: `amqp://guest:guest@127.0.0.1:${closedPort}` },
  async makeWay({ maxInFlight }) {
    const queue = `conformance-${randomUUID()}`
    const behindProxy = new URL(url)
    behindProxy.port = String(proxy.port)
    const declare = { durable: true, arguments: { 'x-expires': 300_000 } }
    return {
      source: { connection: { url: behindProxy.href }, from: { queue, maxInFlight, declare } },
      sink: { connection: { url }, target: { queue, declare } },
      sever() {
        proxy.cut()
        proxy.restore()
      },
    }
  },
  spoil({ envelope, format }) {
    const target = amqp.sink?.schema.parse({ exchange: 'amq.direct', routingKey: `nobody-${randomUUID()}` })
    return { envelope, format, target } // mandatory, and no queue is bound
  },
  skip: {
    'withholds the confirmation of what is not settled': 'the broker keeps messages itself and confirms at receipt',
  },
})
