/**
 * What our own frames save beside amqplib's: CPU µs a message of this process, publishing and consuming at a RabbitMQ
 * (TRIVIUM_TEST_AMQP), in turn. `node bench/amqp-frames.ts [messages] [rounds]`; decision 0019 quotes it.
 */
import { randomUUID } from 'node:crypto'
import amqplib, { type ChannelModel, type ConfirmChannel, type ConsumeMessage } from 'amqplib'
import { AmqpConnection } from '../protocols/amqp/client/connection.ts'
import { type FrameReader, readOwnProperties } from '../protocols/amqp/client/frames.ts'
import { Publisher } from '../protocols/amqp/client/publisher.ts'
import { decode, encode } from '../protocols/amqp/codec.ts'
import type { AmqpTarget } from '../protocols/amqp/config.ts'
import * as kafka from '../protocols/kafka/codec.ts'
import { Flight } from '../src/adapter/outcomes.ts'
import { brokerAddresses } from '../test/support/brokers/addresses.ts'
import { recorder, settingsOf } from '../test/support/contexts/amqp.ts'
import { messageOf } from './message.ts'

const [count, rounds] = [Number(process.argv[2] ?? 20_000), Number(process.argv[3] ?? 4)]
const batch = 500

/** A message as the gateway sends it on from Kafka. */
function encoded(n: number) {
  const { key, body } = messageOf(n)
  const record = { key: Buffer.from(key), value: Buffer.from(body), headers: {}, timestampMs: Date.now(), offset: n }
  const envelope = kafka.decode(record, { connection: 'source', topic: 'bench', partition: 0 })
  const { content, options } = encode({ envelope, target: {}, format: 'binary', hops: 'bench' })
  return { content, options: { ...options, mandatory: true } }
}

async function publishByLibrary(channel: ConfirmChannel, queue: string): Promise<void> {
  for (let from = 0; from < count; from += batch) {
    for (let n = from; n < from + batch; n += 1) {
      const { content, options } = encoded(n)
      channel.publish('', queue, content, options)
    }
    await channel.waitForConfirms()
  }
}

async function publishByOurs(channel: ConfirmChannel, queue: string): Promise<void> {
  const publisher = new Publisher(channel, {
    heard() {},
    closed() {},
    returned: () => {
      throw new Error('a message was returned')
    },
  })
  const target = { queue } as AmqpTarget
  for (let from = 0; from < count; from += batch) {
    const flight = new Flight(batch)
    for (let index = 0; index < batch; index += 1) {
      const place = { exchange: '', routingKey: queue, target, flight, index, bytes: 0 }
      publisher.publish({ ...place, ...encoded(from + index) })
    }
    await flight.outcomes
  }
}

async function consume(model: ChannelModel, queue: string): Promise<void> {
  const channel = await model.createChannel()
  await channel.prefetch(batch)
  const { promise, resolve } = Promise.withResolvers<void>()
  let seen = 0
  const take = (message: ConsumeMessage | null) => {
    if (message === null) return
    decode(message, { connection: 'source', queue })
    seen += 1
    if (seen % 100 === 0 || seen === count) channel.ack(message, true)
    if (seen === count) resolve()
  }
  await channel.consume(queue, take)
  await promise
}

async function consumeByOurs(model: ChannelModel, queue: string): Promise<void> {
  readOwnProperties(model.connection as unknown as FrameReader)
  await consume(model, queue)
}

async function micros(work: () => Promise<void>): Promise<string> {
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return ((user + system) / count).toFixed(1)
}

/** Both over our connection, which gathers the driver's writes too. */
async function publishing(publish: typeof publishByOurs, queue: string): Promise<string> {
  const connection = await AmqpConnection.open(settingsOf(), recorder(), 'sink', new AbortController().signal)
  const channel = await connection.openConfirmChannel()
  const cost = await micros(() => publish(channel, queue))
  await connection.close()
  return cost
}

async function consuming(read: typeof consume, queue: string): Promise<string> {
  const model = await amqplib.connect(brokerAddresses().amqp)
  const cost = await micros(() => read(model, queue))
  await model.close()
  return cost
}

const ways = [
  { name: 'amqplib', publish: publishByLibrary, read: consume },
  { name: 'ours', publish: publishByOurs, read: consumeByOurs },
]
const admin = await amqplib.connect(brokerAddresses().amqp)
const channel = await admin.createChannel()
console.log('| frames | publish µs/msg | consume |\n|---|--:|--:|')
for (let round = 0; round < rounds; round += 1) {
  for (const { name, publish, read } of round % 2 === 0 ? ways : ways.toReversed()) {
    const { queue } = await channel.assertQueue(`bench-${randomUUID().slice(0, 8)}`, { durable: true })
    console.log(`| ${name} | ${await publishing(publish, queue)} | ${await consuming(read, queue)} |`)
    await channel.deleteQueue(queue)
  }
}
await admin.close()
