/**
 * The yardstick: the same client libraries without a gateway. Parse, one condition, key, send in batches, acknowledge
 * after the confirm; no formats, no retry, no reconnect, no metrics. Argument: JSON of `Task`.
 */
import amqplib from 'amqplib'
import { Kafka, logLevel } from 'kafkajs'
import mqtt from 'mqtt'
import type { Task } from './task.ts'

type Take = (bodies: readonly Buffer[]) => Promise<void>
const { from, to, addresses, withFields = false } = JSON.parse(process.argv[2] ?? '') as Task
const wanted = (body: Buffer) => {
  const payload = JSON.parse(body.toString())
  return { passes: payload.temperature > -300, key: payload.device as string, body }
}

/** Gathers what arrives while a batch is under way. */
function gathering<T>(take: (items: T[]) => Promise<void>) {
  const items: T[] = []
  let isBusy = false
  const work = async () => {
    isBusy = true
    while (items.length > 0) {
      const batch = items.splice(0, 1000)
      await take(batch)
    }
    isBusy = false
  }
  return (item: T) => {
    items.push(item)
    if (!isBusy && items.length === 1) setImmediate(work)
  }
}

const sources = {
  async mqtt(take: Take) {
    const options = {
      protocolVersion: 5,
      clean: false,
      clientId: `${from.name}-in`,
      properties: { receiveMaximum: 1000 },
    } as const
    const client = mqtt.connect(addresses.mqtt, options)
    const send = client as unknown as { _sendPacket(packet: object): void }
    const add = gathering<{ payload: Buffer; messageId: number }>(async (packets) => {
      await take(packets.map(({ payload }) => payload))
      for (const { messageId } of packets) send._sendPacket({ cmd: 'puback', messageId })
    })
    client.handleMessage = (packet, done) => {
      add(packet as unknown as { payload: Buffer; messageId: number })
      done(new Error('acknowledged later'))
    }
  },
  async amqp(take: Take) {
    const channel = await (await amqplib.connect(addresses.amqp)).createChannel()
    await channel.prefetch(1000)
    const add = gathering<amqplib.ConsumeMessage>(async (messages) => {
      await take(messages.map(({ content }) => content))
      channel.ack(messages.at(-1)!, true)
    })
    await channel.consume(from.name, (message) => message && add(message))
  },
  async kafka(take: Take) {
    const consumer = new Kafka({ brokers: addresses.kafka, logLevel: logLevel.NOTHING }).consumer({
      groupId: from.name,
    })
    await consumer.connect()
    await consumer.subscribe({ topic: from.name, fromBeginning: true })
    await consumer.run({ eachBatch: ({ batch }) => take(batch.messages.map(({ value }) => value!)) })
  },
}

let sent = 0

/** Properties of a message; with fields, those of the format `binary`, as the gateway writes them. */
function optionsOf(key: string): amqplib.Options.Publish {
  const options = { persistent: true, mandatory: true }
  if (!withFields) return options
  const now = new Date()
  sent += 1
  const messageId = `${from.name}/0/${sent}`
  const headers = {
    cloudEvents_specversion: '1.0',
    cloudEvents_id: messageId,
    cloudEvents_time: now.toISOString(),
    cloudEvents_source: `${from.protocol}://source/${from.name}`,
    cloudEvents_type: 'trivium.raw',
    'trivium-hops': 'bench',
    ...(from.protocol === 'kafka' ? { cloudEvents_partitionkey: key } : {}), // no other source of a road has one
  }
  return { ...options, headers, messageId, timestamp: Math.floor(now.getTime() / 1000) }
}

const sinks = {
  async mqtt(): Promise<Take> {
    const client = await mqtt.connectAsync(addresses.mqtt, { protocolVersion: 5 })
    return async (bodies) => {
      const messages = bodies.map(wanted).filter(({ passes }) => passes)
      await Promise.all(messages.map(({ key, body }) => client.publishAsync(`${to.name}/${key}`, body, { qos: 1 })))
    }
  },
  async amqp(): Promise<Take> {
    const channel = await (await amqplib.connect(addresses.amqp)).createConfirmChannel()
    return async (bodies) => {
      const messages = bodies.map(wanted).filter(({ passes }) => passes)
      for (const { key, body } of messages) channel.sendToQueue(to.name, body, optionsOf(key))
      await channel.waitForConfirms()
    }
  },
  async kafka(): Promise<Take> {
    const producer = new Kafka({ brokers: addresses.kafka, logLevel: logLevel.NOTHING }).producer({
      idempotent: true,
      maxInFlightRequests: 1,
    })
    await producer.connect()
    return async (bodies) => {
      const messages = bodies.map(wanted).filter(({ passes }) => passes)
      await producer.send({ topic: to.name, messages: messages.map(({ key, body }) => ({ key, value: body })) })
    }
  },
  async http(): Promise<Take> {
    const { Agent } = await import('undici')
    const agent = new Agent({ connections: 64 }) // as many as the gateway's
    const post = async ({ key, body }: ReturnType<typeof wanted>) => {
      const path = `/${to.name}/${key}`
      const answer = await agent.request({ origin: addresses.http ?? '', path, method: 'POST', body })
      await answer.body.dump()
      if (answer.statusCode >= 300) throw new Error(`status ${answer.statusCode}`)
    }
    return async (bodies) => {
      await Promise.all(
        bodies
          .map(wanted)
          .filter(({ passes }) => passes)
          .map(post),
      )
    }
  },
}

process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'
await sources[from.protocol](await sinks[to.protocol]())
