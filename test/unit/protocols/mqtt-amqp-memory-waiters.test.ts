/** Connections that come and go while the process's budget is full: none of them may stay behind, waiting for room. */

import { EventEmitter } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import type { AmqpConnection } from '../../../protocols/amqp/client/connection.ts'
import { Consumption } from '../../../protocols/amqp/consumption.ts'
import { Window } from '../../../protocols/amqp/window.ts'
import { memory, memoryBus } from '../../../protocols/memory/index.ts'
import type { Arrival } from '../../../protocols/mqtt/broker/arrival.ts'
import { type Consumer, Intake as DeviceIntake } from '../../../protocols/mqtt/broker/intake.ts'
import type { Link } from '../../../protocols/mqtt/client/connection.ts'
import { createSession, Intake } from '../../../protocols/mqtt/client/intake.ts'
import { Budget } from '../../../src/adapter/budget.ts'
import { RetryableError } from '../../../src/errors.ts'
import { testContext } from '../../support/contexts/context.ts'
import { never } from '../../support/contexts/messages.ts'
import { WatchedBudget } from '../adapter/watched-budget.ts'

const gone = new RetryableError('PEER_LOST', 'gone')
const childOf = (parent: Budget) => new Budget({ maxCount: 10, maxBytes: 1_000_000, parent })

/** One connection of each source with a message to read, lost again. */
const connections = {
  mqtt(budget: Budget) {
    const session = createSession(testContext('plant', { budget }), [10])
    return async () => {
      const intake = new Intake(session, testContext('plant', { budget }), { readersOf: () => undefined })
      const link = { version: 5, sessionPresent: true, write() {}, pause() {}, resume() {} }
      intake.start(link as unknown as Link)
      intake.consume(() => {}, never).catch(() => {})
      intake.take({ cmd: 'publish', topic: 't', payload: 'x', qos: 1, messageId: 1, dup: false, retain: false })
      await turn()
      intake.stop(gone)
    }
  },

  'the embedded MQTT broker'(budget: Budget) {
    const intake = new DeviceIntake(['#'])
    intake.offer({ packet: { topic: 't' }, isAbandoned: () => false, onWaiting() {} } as unknown as Arrival)
    return async () => {
      const consumer = { budget: childOf(budget) } as unknown as Consumer
      intake.attach(consumer)
      await turn()
      await turn()
      intake.detach(consumer)
      await turn()
    }
  },

  amqp(budget: Budget) {
    const own = childOf(budget)
    return async () => {
      let receive = (_: object) => {}
      const channel = Object.assign(new EventEmitter(), {
        close: async () => {},
        prefetch: async () => {},
        registerConsumer() {},
        cancel: async () => {},
        consume: async (_queue: string, callback: typeof receive) => {
          receive = callback
          return { consumerTag: 'c' }
        },
      })
      const connection = { lost: new Promise(() => {}), openChannel: async () => channel }
      const consumption = await Consumption.open({
        connection: connection as unknown as AmqpConnection,
        context: testContext('orders', { budget }),
        queue: 'q',
        budget: own,
        window: new Window(10, own),
      })
      const run = consumption.run(() => {}, never).catch(() => {})
      receive({ content: Buffer.from('x'), properties: {}, fields: { deliveryTag: 1, routingKey: 'q' } })
      await turn()
      await consumption.close()
      await run
    }
  },

  memory(budget: Budget) {
    const settings = memory.connection.parse({ bus: 'waiters' })
    const source = memory.source!.create(
      settings,
      [memory.source!.schema.parse({ topic: '#' })],
      testContext('b', { budget }),
    )
    memoryBus('waiters').publish('t', { payload: Buffer.from('x') })
    return async () => {
      await source.open(never)
      source.consume(() => {}, never).catch(() => {})
      await turn()
      await source.close()
    }
  },
}

test.each(Object.entries(connections))('%s: no lost connection waits for room', async (_name, connectionOf) => {
  const budget = new WatchedBudget()
  budget.take(1)
  const comeAndGo = connectionOf(budget)
  for (let i = 0; i < 50; i += 1) await comeAndGo()
  await turn()
  expect({ waiting: budget.waiting, most: budget.most }).toEqual({ waiting: 0, most: 1 })
})
