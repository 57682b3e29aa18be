/** The yardstick of HTTP into Kafka: an express handler that parses, looks at one field, and produces with `acks=all`. Argument: JSON of `BareHttp`. */
import express from 'express'
import { Kafka, logLevel } from 'kafkajs'

export interface BareHttp {
  readonly port: number
  readonly brokers: readonly string[]
  readonly topic: string
}

const { port, brokers, topic } = JSON.parse(process.argv[2] ?? '') as BareHttp
process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1'
const producer = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).producer({
  idempotent: true,
  maxInFlightRequests: 1,
})
await producer.connect()

interface Call {
  readonly key: string
  readonly value: string
  readonly done: () => void
}
let waiting: Call[] = []
let isBusy = false

express()
  .post('/:road/:device', express.text({ type: 'application/json' }), (request, response) => {
    const value = request.body as string
    const payload = JSON.parse(value) as { device: string; temperature: number }
    if (payload.temperature <= -300) return void response.sendStatus(200)
    waiting.push({ key: payload.device, value, done: () => response.sendStatus(202) })
    if (!isBusy) setImmediate(send)
  })
  .listen(port, '127.0.0.1', () => console.log('ready'))

/** What comes while a batch is under way leaves with the next. */
async function send(): Promise<void> {
  if (isBusy) return
  isBusy = true
  while (waiting.length > 0) {
    const calls = waiting
    waiting = []
    await producer.send({ topic, messages: calls.map(({ key, value }) => ({ key, value })) })
    for (const { done } of calls) done()
  }
  isBusy = false
}
