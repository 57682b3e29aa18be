/** The source of replies on a real broker: what it hears through lost connections, new partitions and a topic made anew. */
import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test } from '@jest/globals'
import { kafka } from '../../protocols/kafka/index.ts'
import {
  connection,
  makeContext,
  makeTopic,
  openSink,
  outbound,
  produce,
  withAdmin,
} from '../support/contexts/kafka.ts'
import { acceptAll, RunningSource } from '../support/contexts/running-source.ts'
import { unique } from '../support/names.ts'
import { createTopics } from '../support/places/topics.ts'

const instance = randomBytes(12).toString('hex')
const running: RunningSource[] = []
afterEach(async () => {
  for (const each of running.splice(0)) await each.kill()
})

const sourceOf = (replyTopic: string) =>
  kafka.replies!.create(connection({ replyTopic }), makeContext(), { gatewayId: 'gw', instance })

/** Opens it, and reads at once. */
async function read(source: ReturnType<typeof sourceOf>, onBatch = acceptAll): Promise<RunningSource> {
  await source.open(AbortSignal.timeout(30_000))
  return reading(source, onBatch)
}

function reading(source: ReturnType<typeof sourceOf>, onBatch = acceptAll): RunningSource {
  const started = new RunningSource(source, onBatch)
  running.push(started)
  return started
}

/** One after the other, to the partition named. */
async function reply(topic: string, texts: readonly string[], { to = instance, partition = 0 } = {}): Promise<void> {
  const sink = await openSink()
  const replies = texts.map((text, n) =>
    outbound({ topic, partition }, { payload: Buffer.from(text), correlationId: `${to}-0-${n}` }),
  )
  await produce(sink, replies)
}

describe('replies', () => {
  test('are heard from the opening on, in every partition, and those to others are passed over', async () => {
    const topic = await makeTopic({ partitions: 2 })
    await reply(topic, ['before'])
    const source = sourceOf(topic)
    await source.open(AbortSignal.timeout(30_000))
    await reply(topic, ['not ours', 'not ours'], { to: '0'.repeat(24) })
    await reply(topic, ['a'])
    await reply(topic, ['no token of anybody'], { to: 'nonsense', partition: 1 })
    const started = reading(source)
    await started.has(2)
    expect(started.texts.toSorted()).toEqual(['a', 'no token of anybody'])
    expect(started.received.map(({ envelope }) => envelope.correlationId).toSorted()).toEqual([
      `${instance}-0-0`,
      'nonsense-0-0',
    ])
    await started.stop()
  })

  test('sent while the connection was lost are heard once, and what was handed over is not again', async () => {
    const topic = await makeTopic({ partitions: 1 })
    const source = sourceOf(topic)
    const first = await read(source, () => {})
    await reply(topic, ['held', 'accepted'])
    await first.has(2)
    first.received[1]!.settle('accept')
    await first.kill()
    await reply(topic, ['meanwhile'])
    const second = await read(source)
    await second.has(1)
    first.received[0]!.settle('accept')
    await reply(topic, ['after'])
    await second.has(2)
    expect(second.texts).toEqual(['meanwhile', 'after'])
    await second.stop()
  })

  test('of a topic that was made anew, and of partitions that came later, are all heard', async () => {
    const topic = await makeTopic({ partitions: 1 })
    const source = sourceOf(topic)
    const first = await read(source)
    await reply(topic, ['1', '2', '3'])
    await first.has(3)
    await withAdmin((admin) => admin.deleteTopics({ topics: [topic] }))
    await expect(first.done).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(source.open(AbortSignal.timeout(30_000))).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await withAdmin((admin) => createTopics(admin, [{ topic, numPartitions: 1 }]))
    await reply(topic, ['anew'])
    const second = await read(source)
    await second.has(1)
    await second.kill()
    await withAdmin((admin) => admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] }))
    await reply(topic, ['in a new one'], { partition: 1 })
    const third = await read(source)
    await third.has(1)
    expect([second.texts, third.texts]).toEqual([['anew'], ['in a new one']])
    await third.stop()
  })

  test('are not waited for in a topic that is not there: the opening says what to do', async () => {
    const source = sourceOf(unique('missing'))
    await expect(source.open(AbortSignal.timeout(30_000))).rejects.toThrow(/does not exist.*create it.*replyTopic/)
  })

  test('that are not settled hold up the end of the reading', async () => {
    const topic = await makeTopic({ partitions: 1 })
    const started = await read(sourceOf(topic), () => {})
    await reply(topic, ['a', 'b'])
    await started.has(2)
    let isDone = false
    const stopping = started.stop().then(() => {
      isDone = true
    })
    started.received[0]!.settle('accept')
    await new Promise(setImmediate)
    expect(isDone).toBe(false)
    started.received[1]!.settle('accept')
    await stopping
  })
})
