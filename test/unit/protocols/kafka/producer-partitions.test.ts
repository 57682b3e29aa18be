import { describe, expect, it } from '@jest/globals'
import type { Cluster } from '../../../../protocols/kafka/client/connection.ts'
import type { WireProtocol } from '../../../../protocols/kafka/client/guard.ts'
import { Producer } from '../../../../protocols/kafka/client/producer.ts'
import type { OutRecord } from '../../../../protocols/kafka/client/record-batch.ts'
import type { ProduceResult } from '../../../../protocols/kafka/client/requests.ts'
import { Reader } from '../../../../protocols/kafka/client/wire.ts'

const codes = { none: 0, tooFew: 19, tooFewAfterwards: 20 } as const
type Answer = keyof typeof codes

interface Arrival {
  readonly partition: number
  readonly id: bigint
  readonly sequence: number
  readonly count: number
}

/** One broker that leads every partition of topic `t`: notes what came, answers each partition by its script, in the end with `none`. */
class FakeCluster {
  readonly arrivals: Arrival[] = []
  readonly scripts = new Map<number, Answer[]>()
  readonly leaderless = new Set<number>()
  /** What the next look-up of the leaders finds out. */
  onRefresh = (): void => {}
  readonly requestTimeoutMs: number
  #lastId = 0

  constructor(requestTimeoutMs = 20_000) {
    this.requestTimeoutMs = requestTimeoutMs
  }

  topic() {
    return { errorCode: 0, name: 't', isInternal: false, partitions: [{ errorCode: 0, id: 0, leader: 1 }] }
  }
  leaderOf(_topic: string, partition: number): number | undefined {
    return this.leaderless.has(partition) ? undefined : 1
  }
  async refresh(): Promise<void> {
    this.onRefresh()
  }
  async anyBroker() {
    return { initProducerId: async () => ({ producerId: String(++this.#lastId), producerEpoch: 0 }) }
  }
  ask<T>(_broker: unknown, _what: string, request: Promise<T>): Promise<T> {
    return request
  }

  async send(_node: number, { request }: WireProtocol<ProduceResult[]>): Promise<ProduceResult[]> {
    const came = arrivalsIn(new Reader((await request.encode()).buf))
    this.arrivals.push(...came)
    return came.map(({ partition }) => {
      const errorCode = codes[this.scripts.get(partition)?.shift() ?? 'none']
      return { topic: 't', partition, errorCode, recordErrors: [], errorMessage: null }
    })
  }

  of(partition: number): Arrival[] {
    return this.arrivals.filter((arrival) => arrival.partition === partition)
  }
}

function arrivalsIn(reader: Reader): Arrival[] {
  reader.offset += 2 + 2 + 4 // transactional id, acks, timeout
  const topics = reader.array((ofTopic) => {
    ofTopic.string()
    return ofTopic.array((r) => {
      const partition = r.int32()
      const batch = r.bytes(r.int32())
      const id = batch.readBigInt64BE(43)
      return { partition, id, sequence: batch.readInt32BE(53), count: batch.readInt32BE(57) }
    })
  })
  return topics.flat()
}

function producerOn(cluster: FakeCluster): Producer {
  return new Producer(cluster as unknown as Cluster, 'none')
}

function record(partition: number, more: Partial<OutRecord> = {}) {
  return { topic: 't', partition, record: { key: null, value: Buffer.from('x'), headers: [], timestampMs: 0, ...more } }
}

const large = { value: Buffer.alloc(600_000) }
const { signal } = new AbortController()
const unavailable = {
  kind: 'retryable',
  error: { code: 'DESTINATION_UNAVAILABLE', isOutage: false, countsAsAttempt: false },
}
const always = (answer: Answer): Answer[] => new Array(1_000).fill(answer)

describe('producer, of several partitions', () => {
  it('goes on with the others at once, and only then tries again one with too few replicas', async () => {
    const cluster = new FakeCluster()
    cluster.scripts.set(0, ['tooFew', 'tooFew'])
    const batch = [record(0), record(1, large), record(1, large), record(1, large)]
    const outcomes = await producerOn(cluster).send(batch, signal)
    expect(outcomes.map(({ kind }) => kind)).toEqual(new Array(4).fill('delivered'))
    expect(cluster.arrivals.map(({ partition }) => partition)).toEqual([0, 1, 1, 1, 0, 0])
    expect(cluster.of(0)).toEqual(new Array(3).fill({ partition: 0, id: 1n, sequence: 0, count: 1 }))
  })

  it('gives up one with too few replicas after a moment, then at its first refusal, and keeps its sequence', async () => {
    const cluster = new FakeCluster()
    cluster.scripts.set(0, always('tooFew'))
    const producer = producerOn(cluster)
    const begun = performance.now()
    const outcomes = await producer.send([record(0), record(1)], signal)
    expect(performance.now() - begun).toBeLessThan(5_000)
    expect(outcomes).toMatchObject([unavailable, { kind: 'delivered' }])

    const tries = cluster.of(0).length
    expect(tries).toBeGreaterThan(1)
    expect(await producer.send([record(0), record(1)], signal)).toMatchObject([unavailable, { kind: 'delivered' }])
    expect(cluster.of(0)).toHaveLength(tries + 1)

    cluster.scripts.clear()
    expect(await producer.send([record(0), record(0)], signal)).toMatchObject(new Array(2).fill({ kind: 'delivered' }))
    expect(cluster.of(0).at(-1)).toEqual({ partition: 0, id: 1n, sequence: 0, count: 2 })
    expect(cluster.of(1).map(({ sequence }) => sequence)).toEqual([0, 1])
  })

  it('gives up one without a leader, and sends to it again as soon as there is one', async () => {
    const cluster = new FakeCluster()
    cluster.leaderless.add(0)
    const producer = producerOn(cluster)
    expect(await producer.send([record(0), record(1)], signal)).toMatchObject([unavailable, { kind: 'delivered' }])
    cluster.onRefresh = () => cluster.leaderless.clear()
    expect(await producer.send([record(0)], signal)).toEqual([{ kind: 'delivered' }])
  })

  it('sends a batch in doubt again under its number for as long as there is time, then takes a new id', async () => {
    const cluster = new FakeCluster(1_800)
    cluster.scripts.set(0, ['tooFewAfterwards', ...always('tooFew')])
    const producer = producerOn(cluster)
    const begun = performance.now()
    expect(await producer.send([record(0)], signal)).toMatchObject([unavailable])
    expect(performance.now() - begun).toBeGreaterThan(1_700)
    expect(new Set(cluster.arrivals.map(({ id, sequence }) => `${id}/${sequence}`))).toEqual(new Set(['1/0']))
    cluster.scripts.clear()
    expect(await producer.send([record(0)], signal)).toEqual([{ kind: 'delivered' }])
    expect(cluster.arrivals.at(-1)).toMatchObject({ id: 2n, sequence: 0 })
  })

  it.each([
    ['sized', { headers: [7 as unknown as string, null] }],
    ['held', { value: { length: 2 ** 53 } as unknown as Uint8Array }],
    [
      'written',
      {
        value: {
          length: 1,
          get 0() {
            throw new RangeError('broken')
          },
        } as unknown as Uint8Array,
      },
    ],
  ])('rejects alone a record that cannot be %s, and delivers its neighbours in order', async (_what, broken) => {
    const cluster = new FakeCluster()
    const batch = [record(0), record(0), record(0, broken), record(0), record(1)]
    const outcomes = await producerOn(cluster).send(batch, signal)
    expect(outcomes.map(({ kind }) => kind)).toEqual(['delivered', 'delivered', 'rejected', 'delivered', 'delivered'])
    expect(outcomes[2]).toMatchObject({
      error: { code: 'MESSAGE_REFUSED', message: expect.stringContaining('topic t') },
    })
    const counts = cluster.of(0).map(({ sequence, count }) => [sequence, count])
    expect(counts.at(-1)?.[0]).toBe(2)
    expect(counts.reduce((sum, [, count]) => sum + (count ?? 0), 0)).toBe(3)
  })

  it('takes a new id once it knows very many partitions, and forgets their sequences only with it', async () => {
    const cluster = new FakeCluster()
    const producer = producerOn(cluster)
    const many = Array.from({ length: 100_001 }, (_, partition) => record(partition))
    await producer.send(many, signal)
    await producer.send([record(0)], signal)
    expect(cluster.of(0)).toMatchObject([
      { id: 1n, sequence: 0 },
      { id: 2n, sequence: 0 },
    ])
  })
})
