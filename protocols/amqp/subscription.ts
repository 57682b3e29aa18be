import type { Channel, ConsumeMessage } from 'amqplib'
import { withDeadline } from '../../src/adapter/deadline.ts'
import { callDeadlineMs } from './client/connection.ts'

/** What amqplib's types leave out: who gets the messages of a consumer. */
interface ConsumerTable {
  registerConsumer(tag: string, receive: (message: ConsumeMessage | null) => void): void
}

interface SubscriptionParts {
  readonly channel: Channel
  readonly queue: string
  /** Asked for each consumer. */
  readonly argumentsOf: () => Readonly<Record<string, unknown>>
  /** null: the broker has cancelled the consumer. */
  readonly receive: (message: ConsumeMessage | null) => void
}

/**
 * The consumer of a queue. A prefetch belongs to one consumer for good, so that a change is a new consumer; the one before
 * it leaves when that is there. Thus the queue is in use all the time, and neither `x-expires` nor auto-delete takes it.
 */
export class Subscription {
  readonly #parts: SubscriptionParts
  #tag: string | undefined
  #prefetch = 0
  #begun = 0

  constructor(parts: SubscriptionParts) {
    this.#parts = parts
  }

  get prefetch(): number {
    return this.#prefetch
  }

  /** True for the tag of the consumer of now, false for one of those before it. */
  isCurrent(tag: string): boolean {
    return tag === this.#tag
  }

  async consume(prefetch: number): Promise<void> {
    const former = this.#tag
    this.#prefetch = prefetch
    this.#tag = await this.#begin(prefetch)
    if (former === undefined) return
    await this.#end(former)
    // RabbitMQ serves the next of single active consumers only when something else happens to the queue: yet another one.
    await this.#end(await this.#begin(1))
  }

  async #begin(prefetch: number): Promise<string> {
    const { channel, queue, argumentsOf, receive } = this.#parts
    await this.#call(channel.prefetch(prefetch))
    this.#begun += 1
    const table = channel as Channel & ConsumerTable
    const consumerTag = `trivium-${this.#begun}`
    table.registerConsumer(consumerTag, receive) // RabbitMQ may send from a stream before it says that the consumer is there
    await this.#call(channel.consume(queue, receive, { arguments: argumentsOf(), consumerTag }))
    return consumerTag
  }

  #end(tag: string): Promise<unknown> {
    return this.#call(this.#parts.channel.cancel(tag))
  }

  #call<T>(call: Promise<T>): Promise<T> {
    return withDeadline(call, callDeadlineMs, `consuming ${this.#parts.queue}`)
  }
}
