import { mostBytes } from '../../protocols/memory/connection.ts'
import { memory } from '../../protocols/memory/index.ts'
import { unique } from '../support/names.ts'
import { conforms } from './suite.ts'

conforms({
  name: 'memory',
  protocol: memory,
  async makeWay({ maxInFlight }) {
    const connection = { bus: unique('bus') }
    return {
      source: { connection, from: { topic: 'orders/{site}', maxInFlight } },
      sink: { connection, target: { topic: 'orders/berlin' } },
    }
  },
  spoil({ envelope, target, format }) {
    return { envelope: envelope.with({ payload: new Uint8Array(mostBytes + 1) }), target, format }
  },
  skip: {
    'withholds the confirmation of what is not settled': 'the bus keeps messages itself and confirms at receipt',
    'calls an unreachable broker retryable': 'the bus is inside the process: it is never away',
  },
})
