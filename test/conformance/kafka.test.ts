import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll } from '@jest/globals'
import { type Admin, Kafka, logLevel } from 'kafkajs'
import { kafka } from '../../protocols/kafka/index.ts'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { createTopics } from '../support/places/topics.ts'
import { freePort } from '../support/ports.ts'
import { conforms } from './suite.ts'

const brokers = brokerAddresses().kafka
const closedPort = await freePort()
const admin: Admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin()

beforeAll(() => admin.connect())
afterAll(() => admin.disconnect())

conforms({
  name: 'kafka',
  protocol: kafka,
  unreachable: { brokers: [`127.0.0.1:${closedPort}`] },
  async makeWay({ maxInFlight }) {
    const topic = `conformance-${randomUUID()}`
    await createTopics(admin, [{ topic, numPartitions: 3, replicationFactor: 1 }])
    return {
      source: { connection: { brokers }, from: { topic, group: topic, startFrom: 'earliest', maxInFlight } },
      sink: { connection: { brokers }, target: { topic } },
    }
  },
  spoil({ envelope, target, format }) {
    const tooLarge = new Uint8Array(2 * 1024 ** 2) // the broker's message.max.bytes is 1 MiB
    return { envelope: envelope.with({ payload: tooLarge }), target, format }
  },
  skip: {
    'withholds the confirmation of what is not settled': 'the broker keeps messages itself and confirms at receipt',
  },
})
