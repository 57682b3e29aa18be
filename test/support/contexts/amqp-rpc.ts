/** People's own RPC over AMQP, as amqplib's tutorial has it: who asks, and who answers. */
import { randomUUID } from 'node:crypto'
import type { ConsumeMessage, Options } from 'amqplib'
import type { Bench } from './amqp.ts'

const direct = 'amq.rabbitmq.reply-to'

export interface Answer {
  readonly text: string
  readonly properties: ConsumeMessage['properties']
  readonly headers: Readonly<Record<string, unknown>>
}

type Publish = (queue: string, text: string, options: Options.Publish) => void

/** Asks over a channel of its own, by direct reply-to or by a queue of its own; an answer to anything else is an error. */
export class RpcAsker {
  readonly #waiting = new Map<string, (answer: Answer) => void>()
  readonly strangers: Answer[] = []
  readonly #publish: Publish
  readonly #replyTo: string

  private constructor(publish: Publish, replyTo: string) {
    this.#publish = publish
    this.#replyTo = replyTo
  }

  static async open(bench: Bench, replyTo: string = direct): Promise<RpcAsker> {
    const channel = await bench.channel()
    const asker = new RpcAsker((queue, text, options) => {
      channel.sendToQueue(queue, Buffer.from(text), options)
    }, replyTo)
    await channel.consume(replyTo, (message) => message && asker.#hear(message), { noAck: true })
    return asker
  }

  ask(queue: string, text: string, options: Options.Publish = {}): Promise<Answer> {
    const correlationId = options.correlationId ?? randomUUID()
    const { promise, resolve } = Promise.withResolvers<Answer>()
    this.#waiting.set(correlationId, resolve)
    this.#publish(queue, text, { replyTo: this.#replyTo, correlationId, ...options })
    return promise
  }

  #hear({ content, properties }: ConsumeMessage): void {
    const answer = { text: content.toString(), properties, headers: properties.headers ?? {} }
    const resolve = this.#waiting.get(properties.correlationId)
    this.#waiting.delete(properties.correlationId)
    if (resolve === undefined) this.strangers.push(answer)
    else resolve(answer)
  }
}

/** A worker: answers each request with what `work` makes of it, or keeps quiet where that is undefined. */
export async function rpcReplier(
  bench: Bench,
  queue: string,
  work: (text: string, message: ConsumeMessage) => string | undefined | Promise<string | undefined>,
): Promise<{ readonly heard: ConsumeMessage[]; reply(to: ConsumeMessage, text: string): void }> {
  const channel = await bench.channel()
  const heard: ConsumeMessage[] = []
  const reply = ({ properties }: ConsumeMessage, text: string) => {
    channel.sendToQueue(properties.replyTo, Buffer.from(text), { correlationId: properties.correlationId })
  }
  await channel.consume(queue, async (message) => {
    if (message === null) return
    heard.push(message)
    const answer = await work(message.content.toString(), message)
    if (answer !== undefined) reply(message, answer)
    channel.ack(message)
  })
  return { heard, reply }
}
