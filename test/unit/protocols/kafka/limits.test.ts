import { afterEach, describe, expect, it, jest } from '@jest/globals'
import { Cluster } from '../../../../protocols/kafka/client/connection.ts'
import { Sticky } from '../../../../protocols/kafka/client/partitioner.ts'
import { kafka } from '../../../../protocols/kafka/index.ts'
import { Envelope } from '../../../../src/envelope/envelope.ts'
import { testContext } from '../../../support/contexts/context.ts'

afterEach(() => {
  jest.restoreAllMocks()
})

describe('kafka partitioner', () => {
  it('forgets whose turn it was once there are very many topics, and begins anew', () => {
    jest.spyOn(Math, 'random').mockReturnValue(0)
    const sticky = new Sticky()
    const choices = () => [sticky.choose('t', [0, 1, 2]), sticky.choose('t', [0, 1, 2])]
    expect(choices()).toEqual([0, 1])
    for (let n = 0; n < 10_000; n++) sticky.choose(`made-${n}`, [0])
    expect(choices()).toEqual([0, 1])
  })
})

describe('kafka sink', () => {
  const timestamp = new Date().toISOString()
  const envelope = new Envelope({ messageId: 'm', timestamp, source: 's', payload: Buffer.from('x') })
  const outbound = (topic: string) => ({ envelope, target: { topic }, format: undefined })
  const { signal } = new AbortController()

  it.each([
    ['does not ask at once again for a topic that is not there', 10_000, false],
    ['forgets which are not there once they are very many', 10_001, true],
  ])('%s', async (_what, count, isAsked) => {
    const broker = { initProducerId: async () => ({ producerId: '1', producerEpoch: 0 }) }
    jest.spyOn(Cluster.prototype, 'open').mockResolvedValue()
    jest.spyOn(Cluster.prototype, 'anyBroker').mockResolvedValue(broker as never)
    const refresh = jest.spyOn(Cluster.prototype, 'refresh').mockResolvedValue({ brokers: [], topics: [] })
    const sink = kafka.sink?.create(kafka.connection.parse({ brokers: ['localhost:1'] }), testContext('events'))
    if (sink === undefined) throw new Error('kafka has a sink')
    await sink.open(signal)
    jest.spyOn(Date, 'now').mockReturnValue(Date.now())
    await sink.send(
      Array.from({ length: count }, (_, n) => outbound(`made-${n}`)),
      signal,
    )
    refresh.mockClear()
    expect(await sink.send([outbound('made-0')], signal)).toMatchObject([{ error: { code: 'NOT_FOUND' } }])
    expect(refresh.mock.calls.length > 0).toBe(isAsked)
    await sink.close()
  })
})
