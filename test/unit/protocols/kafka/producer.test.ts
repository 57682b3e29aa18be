import { describe, expect, it } from '@jest/globals'
import type { Cluster } from '../../../../protocols/kafka/client/connection.ts'
import type { WireProtocol } from '../../../../protocols/kafka/client/guard.ts'
import { Producer } from '../../../../protocols/kafka/client/producer.ts'
import type { ProduceResult } from '../../../../protocols/kafka/client/requests.ts'
import { RetryableError } from '../../../../src/errors.ts'

const codes = { none: 0, corrupt: 2, notLeader: 6, tooLarge: 10, denied: 29, outOfOrder: 45, unknown: -1 } as const
type Answer = keyof typeof codes | 'lost'

/** One broker with one partition: notes under which id and sequence number each batch came, answers by script. */
class FakeCluster {
  readonly requestTimeoutMs = 20_000
  readonly batches: { id: bigint; sequence: number; count: number }[] = []
  readonly #script: Answer[]
  #lastId = 0

  constructor(...script: Answer[]) {
    this.#script = script
  }

  topic() {
    return { errorCode: 0, name: 't', isInternal: false, partitions: [{ errorCode: 0, id: 0, leader: 1 }] }
  }
  leaderOf(): number {
    return 1
  }
  async refresh(): Promise<void> {}
  async anyBroker() {
    return { initProducerId: async () => ({ producerId: String(++this.#lastId), producerEpoch: 0 }) }
  }
  ask<T>(_broker: unknown, _what: string, request: Promise<T>): Promise<T> {
    return request
  }

  async send(_node: number, { request }: WireProtocol<ProduceResult[]>): Promise<ProduceResult[]> {
    const { buf } = await request.encode()
    const at = buf.length - buf.readInt32BE(batchLengthAt) // one topic `t`, one partition: the batch is at the end
    this.batches.push({
      id: buf.readBigInt64BE(at + 43),
      sequence: buf.readInt32BE(at + 53),
      count: buf.readInt32BE(at + 57),
    })
    const next = this.#script.shift() ?? 'none'
    if (next === 'lost') throw new RetryableError('PEER_LOST', 'gone')
    return [{ topic: 't', partition: 0, errorCode: codes[next], recordErrors: [], errorMessage: null }]
  }
}

/** transactional id 2, acks 2, timeout 4, topics 4, name 2 + 1, partitions 4, partition 4 */
const batchLengthAt = 23

function producerOn(cluster: FakeCluster): Producer {
  return new Producer(cluster as unknown as Cluster, 'none')
}

function record(text: string) {
  const record = { key: null, value: Buffer.from(text), headers: [], timestampMs: 0 }
  return { topic: 't', partition: 0, record }
}

const { signal } = new AbortController()

describe('producer', () => {
  it('sends a batch in doubt again under the same sequence number', async () => {
    const cluster = new FakeCluster('lost', 'notLeader')
    const outcomes = await producerOn(cluster).send([record('a')], signal)
    expect(outcomes).toEqual([{ kind: 'delivered' }])
    expect(cluster.batches).toEqual(new Array(3).fill({ id: 1n, sequence: 0, count: 1 }))
  })

  it.each([['a'], ['a', 'b'], ['a', 'b', 'c', 'd', 'e']])(
    'rejects what no batch can hold, and sends the others (%s)',
    async (...texts) => {
      const cluster = new FakeCluster()
      const bad = record('bad')
      bad.record.timestampMs = Number.NaN // nothing that a record says fails as late as this
      const records = [bad, ...texts.map(record)]
      const outcomes = await producerOn(cluster).send(records, signal)
      expect(outcomes.map(({ kind }) => kind)).toEqual(['rejected', ...texts.map(() => 'delivered')])
    },
  )

  it.each<Answer[]>([['lost', 'denied'], ['notLeader', 'denied'], ['unknown']])(
    'never gives the sequence number of a batch given up in doubt to other records (%s %s)',
    async (...script) => {
      const cluster = new FakeCluster(...script)
      const producer = producerOn(cluster)
      const [outcome] = await producer.send([record('a')], signal)
      expect(outcome?.kind).toBe('retryable')
      await producer.send([record('b')], signal)
      expect(cluster.batches[0]).toMatchObject({ id: 1n, sequence: 0 })
      expect(cluster.batches.at(-1)).toMatchObject({ id: 2n })
    },
  )

  it('keeps its id when a batch was refused for certain', async () => {
    const cluster = new FakeCluster('denied')
    const producer = producerOn(cluster)
    await producer.send([record('a')], signal)
    await producer.send([record('b')], signal)
    expect(cluster.batches.at(-1)).toMatchObject({ id: 1n, sequence: 0 })
  })

  it('takes a new id before it divides a batch in doubt', async () => {
    const cluster = new FakeCluster('lost', 'tooLarge', 'tooLarge')
    const outcomes = await producerOn(cluster).send([record('a'), record('b')], signal)
    expect(outcomes).toEqual([{ kind: 'delivered' }, { kind: 'delivered' }])
    expect(cluster.batches.map(({ id, count }) => [id, count])).toEqual([
      [1n, 2],
      [1n, 2],
      [2n, 2],
      [2n, 1],
      [2n, 1],
    ])
  })

  it('makes its batches again under a new id when the broker has lost track of the sequence', async () => {
    const cluster = new FakeCluster('outOfOrder')
    expect(await producerOn(cluster).send([record('a')], signal)).toEqual([{ kind: 'delivered' }])
    expect(cluster.batches.map(({ id }) => id)).toEqual([1n, 2n])
  })
})
