/** Fills a place with messages before a run, and counts what has arrived at one. */

import amqplib from 'amqplib'
import { Kafka, logLevel } from 'kafkajs'
import mqtt from 'mqtt'
import { createTopics } from '../test/support/places/topics.ts'
import { messageOf } from './message.ts'
import type { Addresses, ProtocolName } from './task.ts'
import type { Web } from './web.ts'

const chunk = 2000

export interface Filler {
  /** Makes the place ready to keep messages for a reader that is not there yet. */
  prepare(name: string): Promise<void>
  fill(name: string, count: number): Promise<void>
  /** A count of what the place holds. */
  counter(name: string): Promise<{ count(): Promise<number>; close(): Promise<void> }>
  remove(name: string): Promise<void>
}

export function fillers(addresses: Addresses, web?: Web): Record<ProtocolName, Filler> {
  const { mqtt: mqttUrl, amqp, kafka } = addresses
  return { mqtt: mqttFiller(mqttUrl), amqp: amqpFiller(amqp), kafka: kafkaFiller(kafka), http: webFiller(web) }
}

/** It keeps nothing. */
function webFiller(web: Web | undefined): Filler {
  return {
    async prepare() {},
    async fill() {
      throw new Error('a web service is no source')
    },
    counter: async (name) => ({ count: async () => web?.countOf(name) ?? 0, async close() {} }),
    async remove() {},
  }
}

/** The messages of one fill, in chunks. */
function* chunks(count: number): Generator<{ key: string; body: string }[]> {
  for (let start = 0; start < count; start += chunk) {
    yield Array.from({ length: Math.min(chunk, count - start) }, (_, n) => messageOf(start + n))
  }
}

function mqttFiller(url: string): Filler {
  const session = (name: string, clean: boolean) =>
    mqtt.connectAsync(url, {
      protocolVersion: 5,
      clientId: `${name}-in`, // the gateway's name for its source's session
      clean,
      properties: clean ? {} : { sessionExpiryInterval: 3600 },
    })
  return {
    // the broker queues for the session that the bridge will take up
    async prepare(name) {
      const client = await session(name, false)
      await client.subscribeAsync(`${name}/#`, { qos: 1 })
      await client.endAsync()
    },
    async fill(name, count) {
      const client = await mqtt.connectAsync(url, { protocolVersion: 5 })
      for (const messages of chunks(count)) {
        await Promise.all(messages.map(({ key, body }) => client.publishAsync(`${name}/${key}`, body, { qos: 1 })))
      }
      await client.endAsync()
    },
    async counter(name) {
      const client = await mqtt.connectAsync(url, { protocolVersion: 4 })
      let count = 0
      client.handleMessage = (_packet, done) => {
        count += 1
        done()
      }
      await client.subscribeAsync(`${name}/#`, { qos: 0 })
      return { count: async () => count, close: () => client.endAsync(true) }
    },
    async remove(name) {
      await (await session(name, true)).endAsync()
    },
  }
}

function amqpFiller(url: string): Filler {
  return {
    async prepare(name) {
      const connection = await amqplib.connect(url)
      await (await connection.createChannel()).assertQueue(name, { durable: true })
      await connection.close()
    },
    async fill(name, count) {
      const connection = await amqplib.connect(url)
      const channel = await connection.createConfirmChannel()
      for (const messages of chunks(count)) {
        for (const { body } of messages) channel.sendToQueue(name, Buffer.from(body), { persistent: true })
        await channel.waitForConfirms()
      }
      await connection.close()
    },
    async counter(name) {
      const connection = await amqplib.connect(url)
      const channel = await connection.createChannel()
      return {
        count: async () => (await channel.checkQueue(name)).messageCount,
        close: () => connection.close(),
      }
    },
    async remove(name) {
      const connection = await amqplib.connect(url)
      await (await connection.createChannel()).deleteQueue(name)
      await connection.close()
    },
  }
}

function kafkaFiller(brokers: string[]): Filler {
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING })
  const withAdmin = async <T>(use: (admin: ReturnType<typeof kafka.admin>) => Promise<T>): Promise<T> => {
    const admin = kafka.admin()
    await admin.connect()
    return use(admin).finally(() => admin.disconnect())
  }
  return {
    prepare: (name) =>
      withAdmin(async (admin) => {
        await createTopics(admin, [{ topic: name, numPartitions: 3 }])
      }),
    async fill(name, count) {
      const producer = kafka.producer()
      await producer.connect()
      for (const messages of chunks(count)) {
        await producer.send({ topic: name, messages: messages.map(({ key, body }) => ({ key, value: body })) })
      }
      await producer.disconnect()
    },
    async counter(name) {
      const admin = kafka.admin()
      await admin.connect()
      const count = async () => {
        const offsets = await admin.fetchTopicOffsets(name)
        return offsets.reduce((sum, { high }) => sum + Number(high), 0)
      }
      return { count, close: () => admin.disconnect() }
    },
    remove: (name) => withAdmin((admin) => admin.deleteTopics({ topics: [name] })),
  }
}
