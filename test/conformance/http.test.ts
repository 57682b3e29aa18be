import { httpWithSender } from '../support/contexts/http-sender.ts'
import { freePort } from '../support/ports.ts'
import { conforms } from './suite.ts'

conforms({
  name: 'http',
  protocol: httpWithSender,
  confirmsOnSettle: true,
  tellsRejected: true,
  async makeWay({ maxInFlight }) {
    const listen = `http://127.0.0.1:${await freePort()}`
    return {
      source: { connection: { listen, maxInFlight }, from: { path: '/orders/{site}' } },
      sink: { connection: {}, target: { url: `${listen}/orders/berlin` } },
    }
  },
  spoil({ envelope, target, format }) {
    return { envelope: envelope.with({ payload: Buffer.alloc(1024 ** 2 + 1) }), target, format }
  },
  skip: {
    'calls an unreachable broker retryable': 'it is the one that is reached',
  },
})
