import { randomUUID } from 'node:crypto'
import { mqtt } from '../../protocols/mqtt/index.ts'
import { freePort } from '../support/ports.ts'
import { conforms } from './suite.ts'

conforms({
  name: 'mqtt, the embedded broker',
  protocol: mqtt,
  confirmsOnSettle: true,
  async makeWay({ maxInFlight }) {
    const topic = `conformance/${randomUUID()}`
    const url = `mqtt://127.0.0.1:${await freePort()}`
    return {
      source: { connection: { listen: url }, from: { topic: 'conformance/{id}', maxInFlight } },
      sink: { connection: { url, protocolVersion: 4 }, target: { topic } },
    }
  },
  spoil({ envelope, format }) {
    return { envelope, format, target: mqtt.sink?.schema.parse({ topic: 'wild/+/card' }) }
  },
  skip: {
    'keeps bytes and repeated headers': 'it speaks MQTT 3.1.1, which has no headers',
    'calls an unreachable broker retryable': 'it is the broker',
  },
})
