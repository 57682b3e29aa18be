/** Streams as sources: read from where the route says, and go on where they were. */

import { expect } from '@jest/globals'
import amqplib, { type ConfirmChannel, type ConsumeMessage } from 'amqplib'
import { AmqpConnection } from '../../protocols/amqp/client/connection.ts'
import { reaches } from '../../protocols/amqp/stream-end.ts'
import { Subscription } from '../../protocols/amqp/subscription.ts'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { recorder, settingsOf } from '../support/contexts/amqp.ts'
import { complaints } from '../support/contexts/log.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { arrived, checkNothingLost, type Scope, scenario, texts } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import { amqpPlace, type Place, type Reader } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'

class Stream {
  readonly name = unique('t')
  readonly #channel: ConfirmChannel

  constructor(channel: ConfirmChannel) {
    this.#channel = channel
  }

  static async make(scope: Scope, type = 'stream'): Promise<Stream> {
    const model = await scope.use(amqplib.connect(brokerAddresses().amqp))
    const stream = new Stream(await model.createConfirmChannel())
    await stream.assert(type)
    scope.after(() => stream.remove())
    return stream
  }

  async assert(type = 'stream', more: Record<string, unknown> = {}): Promise<void> {
    await this.#channel.assertQueue(this.name, { durable: true, arguments: { 'x-queue-type': type, ...more } })
  }

  /** Offset of the oldest message it has. */
  async firstOffset(): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>()
    const receive = (message: ConsumeMessage | null) =>
      resolve(Number(message?.properties.headers?.['x-stream-offset']))
    await this.#channel.prefetch(1)
    const { consumerTag } = await this.#channel.consume(this.name, receive, {
      arguments: { 'x-stream-offset': 'first' },
    })
    return promise.finally(() => this.#channel.cancel(consumerTag))
  }

  async remove(): Promise<void> {
    await this.#channel.deleteQueue(this.name)
  }

  /** New messages at its end. */
  async append(count: number): Promise<string[]> {
    const sent = texts(count)
    for (const text of sent) this.#channel.sendToQueue(this.name, Buffer.from(text), { persistent: true })
    await this.#channel.waitForConfirms()
    return sent
  }
}

const yamlOf = (stream: Stream, target: Place, from = '', id = unique('t')) => `
gateway: { id: ${id}, drain: 5s, admin: false }
connections: { source: { protocol: amqp, url: "${brokerAddresses().amqp}" }, target: ${target.connection} }
routes:
  - name: road
    from: { connection: source, queue: ${stream.name}${from} }
    to: [{ connection: target, ${target.to} }]
`

async function bench(scope: Scope): Promise<{ stream: Stream; target: Place; reader: Reader }> {
  const [stream, target] = [await Stream.make(scope), await amqpPlace()]
  return { stream, target, reader: await scope.use(target.reader()) }
}
const textsOf = (reader: Reader) => reader.got.map(({ text }) => text)

scenario(
  'a stream is read from its first message, and over a restart what came meanwhile too, once each',
  async (scope) => {
    const { stream, target, reader } = await bench(scope)
    const yaml = yamlOf(stream, target)
    const before = await stream.append(5)
    const first = await new TestGateway(yaml).ready()
    const during = await stream.append(5)
    await arrived(reader, [...before, ...during])
    await first.pause()
    const meanwhile = await stream.append(5)
    const second = await scope.gateway(yaml, first.dataDir).ready()
    const after = await stream.append(5)
    await arrived(reader, [...meanwhile, ...after])
    expect(textsOf(reader)).toEqual([...before, ...during, ...meanwhile, ...after])
    expect(complaints(second.lines)).toEqual([])
  },
)

scenario('a stream of many messages comes in order, once each, whatever the prefetch grows to', async (scope) => {
  const { stream, target, reader } = await bench(scope)
  const before = await stream.append(3_000)
  await scope.gateway(yamlOf(stream, target, ', prefetch: 100')).ready()
  const after = await stream.append(500)
  await arrived(reader, [...before, ...after])
  expect(textsOf(reader)).toEqual([...before, ...after])
})

scenario('what was not settled at the end is read again after a restart', async (scope) => {
  const nobody = await amqpPlace({ port: 1 })
  const { stream, target, reader } = await bench(scope)
  const [yaml, sent] = [yamlOf(stream, nobody), await stream.append(50)]
  const first = await new TestGateway(yaml.replace('5s', '100ms'))
  await eventually(() => first.link('source', 'source').received === 50, { what: 'all in flight' })
  await first.pause()
  const idOf = (text: string) => /id: (\w+)/.exec(text)![1]
  await scope.gateway(yamlOf(stream, target, '', idOf(yaml)), first.dataDir).ready()
  await arrived(reader, sent)
  checkNothingLost(reader.got, sent)
})

scenario(
  'what came since the first start and was not settled is read again, though startFrom is next',
  async (scope) => {
    const nobody = await amqpPlace({ port: 1 })
    const { stream, target, reader } = await bench(scope)
    const [id, from] = [unique('t'), ', startFrom: next']
    await stream.append(5)
    const first = new TestGateway(yamlOf(stream, nobody, from, id).replace('5s', '100ms'))
    const isReading = () => first.lines.some(({ message }) => message.includes('connected as source'))
    await eventually(isReading, { what: 'a reading' })
    const sent = await stream.append(20)
    await eventually(() => first.link('source', 'source').received === 20, { what: 'all in flight' })
    await first.pause()
    await scope.gateway(yamlOf(stream, target, from, id), first.dataDir).ready()
    await arrived(reader, sent)
    expect(textsOf(reader)).toEqual(sent)
  },
)

scenario('a consumer may take the place of another while messages come', async (scope) => {
  const stream = await Stream.make(scope)
  const model = await scope.use(amqplib.connect(brokerAddresses().amqp))
  const errors: unknown[] = []
  model.on('error', (error) => errors.push(error))
  const channel = await model.createChannel()
  const subscription = new Subscription({
    channel,
    queue: stream.name,
    argumentsOf: () => ({ 'x-stream-offset': 'next' }),
    receive: (message) => void (message !== null && channel.ack(message)),
  })
  let isOver = false
  const publish = async () => {
    while (!isOver) await stream.append(5)
  }
  const publishing = publish()
  for (let i = 0; i < 60 && errors.length === 0; i += 1) await subscription.consume(100).catch(() => {})
  isOver = true
  await publishing
  expect(errors).toEqual([])
})

const starts: readonly (readonly [string, from: string, skipped: number])[] = [
  ['an offset', ', startFrom: 3', 3],
  ['a time', ', startFrom: "2020-01-01T00:00:00Z"', 0],
  ['first', ', startFrom: first', 0],
  ['next', ', startFrom: next', 5],
]
for (const [title, from, skipped] of starts) {
  scenario(`startFrom may be ${title}`, async (scope) => {
    const { stream, target, reader } = await bench(scope)
    const before = await stream.append(5)
    await scope.gateway(yamlOf(stream, target, from)).ready()
    const wanted = [...before.slice(skipped), ...(await stream.append(5))]
    await arrived(reader, wanted)
    expect(textsOf(reader)).toEqual(wanted)
  })
}

scenario(
  'a stream that was made anew under the same name is read from its first message, and that is said',
  async (scope) => {
    const { stream, target, reader } = await bench(scope)
    const yaml = yamlOf(stream, target)
    const old = await stream.append(20)
    const first = await new TestGateway(yaml).ready()
    await arrived(reader, old)
    await first.pause()
    await stream.remove()
    await stream.assert()
    const anew = await stream.append(5)
    const second = scope.gateway(yaml, first.dataDir)
    await arrived(reader, anew)
    expect(complaints(second.lines).map(({ message }) => message)).toEqual([
      expect.stringMatching(/stream \S+ ends before offset 20, .* made anew/),
    ])
  },
)

scenario('the end of a stream is known, though retention has taken its beginning', async (scope) => {
  const stream = await Stream.make(scope)
  await stream.remove()
  await stream.assert('stream', { 'x-max-length-bytes': 20_000, 'x-stream-max-segment-size-bytes': 5_000 })
  let count = 0
  const cut = async () => {
    count += (await stream.append(200)).length
    return (await stream.firstOffset()) > count / 2
  }
  await eventually(cut, { what: 'retention' })
  const connection = await AmqpConnection.open(settingsOf(), recorder(), 'source', new AbortController().signal)
  scope.after(() => connection.close())
  expect(await reaches(connection, stream.name, count - 1)).toBe(true)
  expect(await reaches(connection, stream.name, 2 * count)).toBe(false) // a segment takes an offset of its own
  await stream.remove()
  await stream.assert()
  expect(await reaches(connection, stream.name, 0)).toBe(false)
})

scenario('startFrom with a queue that is no stream is told, with what to do', async (scope) => {
  const [queue, target] = [await Stream.make(scope, 'classic'), await amqpPlace()]
  const gateway = scope.gateway(yamlOf(queue, target, ', startFrom: first'))
  await eventually(() => gateway.link('source', 'source').error !== undefined, { what: 'a refusal' })
  expect(gateway.link('source', 'source').error).toMatch(/it is no stream, and startFrom is for streams/)
  expect(gateway.lines.filter(({ message }) => message.includes('connected as source'))).toEqual([])
})

scenario('a stream that is missing is made where declared', async (scope) => {
  const { target, reader, stream } = await bench(scope)
  await stream.remove()
  await scope.gateway(yamlOf(stream, target, ', declare: { type: stream }')).ready()
  await stream.assert() // the same type and arguments, or this is refused
  await arrived(reader, await stream.append(3))
})
