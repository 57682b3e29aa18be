import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll } from '@jest/globals'
import { mqtt } from '../../protocols/mqtt/index.ts'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { startProxy, type TcpProxy } from '../support/brokers/proxy.ts'
import { freePort } from '../support/ports.ts'
import type { Subject } from './subject.ts'
import { conforms } from './suite.ts'

const url = brokerAddresses().mqtt
const closedPort = await freePort()
let proxy: TcpProxy

beforeAll(async () => {
  proxy = await startProxy(Number(new URL(url).port))
})
afterAll(() => proxy.close())

const keptByTheBroker = {
  'withholds the confirmation of what is not settled': 'the broker keeps messages itself and confirms at receipt',
}
conforms(clientOf(5, keptByTheBroker))
conforms(clientOf(4, { ...keptByTheBroker, 'keeps bytes and repeated headers': 'MQTT 3.1.1 has no headers' }))

function clientOf(protocolVersion: 4 | 5, skip: Record<string, string>): Subject {
  const session = { protocolVersion, sessionExpiry: '5m' }
  return {
    name: `mqtt, a client of version ${protocolVersion}`,
    protocol: mqtt,
    unreachable: { url: `mqtt://127.0.0.1:${closedPort}` },
    async makeWay({ maxInFlight }) {
      const topic = `conformance/${randomUUID()}`
      const behindProxy = { url: `mqtt://127.0.0.1:${proxy.port}`, ...session }
      return {
        source: { connection: behindProxy, from: { topic, maxInFlight } },
        sink: { connection: { url, protocolVersion }, target: { topic } },
        sever() {
          proxy.cut()
          proxy.restore()
        },
      }
    },
    spoil({ envelope, format }) {
      return { envelope, format, target: mqtt.sink?.schema.parse({ topic: 'wild/+/card' }) }
    },
    skip,
  }
}
