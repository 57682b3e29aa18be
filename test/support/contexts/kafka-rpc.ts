/** Requests and replies over Kafka as Spring's clients have them, on kafkajs: a replying template, and a listener with `@SendTo`. */
import { randomBytes } from 'node:crypto'
import { type IHeaders, Kafka, type KafkaMessage, logLevel } from 'kafkajs'
import { brokerAddresses } from '../brokers/addresses.ts'
import { unique } from '../names.ts'
import { eventually } from '../poll.ts'

export interface KafkaAnswer {
  readonly text: string
  readonly partition: number
  readonly headers: Readonly<Record<string, string>>
}

interface Asking {
  readonly correlation?: Buffer
  readonly partition?: number
  /** Instead of Spring's reply topic. */
  readonly headers?: IHeaders
}

const client = (brokers: readonly string[]) => new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING })

/** What reads a topic from its beginning, and what sends. */
async function joined(topic: string, brokers: readonly string[], each: (message: KafkaMessage, at: number) => void) {
  const kafka = client(brokers)
  const [producer, consumer] = [kafka.producer(), kafka.consumer({ groupId: unique('group'), maxWaitTimeInMs: 100 })]
  await producer.connect()
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  let isJoined = false
  consumer.on(consumer.events.GROUP_JOIN, () => {
    isJoined = true
  })
  await consumer.run({ eachMessage: async ({ message, partition }) => each(message, partition) })
  await eventually(() => isJoined, { what: `a reader of ${topic}`, withinMs: 60_000 })
  const close = async () => void (await Promise.all([producer.disconnect(), consumer.disconnect()]))
  return { producer, close }
}

export class KafkaAsker {
  readonly #topic: string
  readonly #waiting = new Map<string, (answer: KafkaAnswer) => void>()
  #link: Awaited<ReturnType<typeof joined>> | undefined
  /** Answers to nothing that was asked. */
  readonly strangers: KafkaAnswer[] = []

  private constructor(topic: string) {
    this.#topic = topic
  }

  static async open(topic: string, brokers: readonly string[] = brokerAddresses().kafka): Promise<KafkaAsker> {
    const asker = new KafkaAsker(topic)
    asker.#link = await joined(topic, brokers, (message, partition) => asker.#hear(message, partition))
    return asker
  }

  /** Sixteen bytes are the correlation, as with Spring. */
  async ask(topic: string, text: string, asking: Asking = {}): Promise<KafkaAnswer> {
    const { correlation = randomBytes(16), partition, headers: own } = asking
    const { promise, resolve } = Promise.withResolvers<KafkaAnswer>()
    this.#waiting.set(correlation.toString('hex'), resolve)
    const headers: IHeaders = own ?? { kafka_replyTopic: this.#topic }
    headers.kafka_correlationId = correlation
    if (partition !== undefined) {
      headers.kafka_replyPartition = Buffer.alloc(4)
      headers.kafka_replyPartition.writeInt32BE(partition)
    }
    await this.#link!.producer.send({ topic, messages: [{ value: text, headers }] })
    return await promise
  }

  async close(): Promise<void> {
    await this.#link?.close()
  }

  #hear({ value, headers = {} }: KafkaMessage, partition: number): void {
    const texts = Object.entries(headers).map(([name, each]) => [name, String(each)])
    const answer = { text: String(value), partition, headers: Object.fromEntries(texts) }
    const correlation = Buffer.from((headers.kafka_correlationId ?? '') as Buffer).toString('hex')
    const resolve = this.#waiting.get(correlation)
    this.#waiting.delete(correlation)
    if (resolve === undefined) this.strangers.push(answer)
    else resolve(answer)
  }
}

export interface KafkaReplier {
  readonly heard: KafkaMessage[]
  reply(to: Pick<KafkaMessage, 'headers'>, text: string): Promise<void>
  close(): Promise<void>
}

/** Answers each request with what `work` makes of it, or keeps quiet where that is undefined. */
export async function kafkaReplier(
  topic: string,
  work: (text: string) => string | undefined,
  brokers: readonly string[] = brokerAddresses().kafka,
): Promise<KafkaReplier> {
  const heard: KafkaMessage[] = []
  const { producer, close } = await joined(topic, brokers, (message) => {
    heard.push(message)
    const text = work(String(message.value))
    if (text !== undefined) void reply(message, text)
  })
  /** As `MessagingMessageListenerAdapter` of Spring does it: the correlation, and the partition where one is asked for. */
  async function reply({ headers = {} }: Pick<KafkaMessage, 'headers'>, text: string): Promise<void> {
    const { kafka_replyTopic, kafka_correlationId, kafka_replyPartition } = headers
    const message = { value: text, headers: { kafka_correlationId } as IHeaders }
    const partition = kafka_replyPartition && (kafka_replyPartition as Buffer).readInt32BE()
    const messages = [partition === undefined ? message : { ...message, partition: partition as number }]
    await producer.send({ topic: String(kafka_replyTopic), messages })
  }
  return { heard, reply, close }
}
