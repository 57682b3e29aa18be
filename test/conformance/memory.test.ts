import { randomUUID } from 'node:crypto'
import { memory, memoryBus } from '../../protocols/memory/index.ts'
import { conforms } from './suite.ts'

const down = `down-${randomUUID()}`
memoryBus(down).goDown()

let current = memoryBus('none')

conforms({
  name: 'memory',
  protocol: memory,
  unreachable: { bus: down },
  async makeWay({ maxInFlight }) {
    current = memoryBus(randomUUID())
    const connection = { bus: current.name }
    return {
      source: { connection, from: { topic: 'orders/{site}', maxInFlight } },
      sink: { connection, target: { topic: 'orders/berlin' } },
    }
  },
  spoil(outbound) {
    current.refuseNext(1, 'refused')
    return outbound
  },
  skip: {
    'withholds the confirmation of what is not settled': 'the bus keeps messages itself and confirms at receipt',
  },
})
