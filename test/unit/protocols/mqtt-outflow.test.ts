import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import mqttPacket, { type IPublishPacket } from 'mqtt-packet'
import type { Link } from '../../../protocols/mqtt/client/connection.ts'
import { Outflow } from '../../../protocols/mqtt/client/outflow.ts'
import type { MqttTarget } from '../../../protocols/mqtt/config.ts'
import type { Outbound, Sink } from '../../../src/adapter/contract.ts'
import { Pace } from '../../../src/adapter/pace.ts'
import { Dispatcher } from '../../../src/delivery/dispatcher.ts'
import { Parcel } from '../../../src/delivery/parcel.ts'
import { Envelope } from '../../../src/envelope/envelope.ts'
import type { RetryableError } from '../../../src/errors.ts'
import { never } from '../../support/contexts/messages.ts'
import { RecordingOwner } from '../delivery/scripted.ts'

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['queueMicrotask', 'nextTick', 'setImmediate'] })
})
afterEach(() => {
  jest.useRealTimers()
})

/** One connection to a broker that takes everything at once and confirms so many a second, in order. */
class SlowBroker {
  readonly taken: string[] = []
  readonly failures: RetryableError[] = []
  readonly pace = new Pace(250)
  readonly outflow = new Outflow(this.pace)
  perSec: number
  #open: number[] = []

  constructor(perSec: number) {
    this.perSec = perSec
    const parser = mqttPacket.parser({ protocolVersion: 4 })
    parser.on('packet', (packet) => this.#take(packet as IPublishPacket))
    const link = {
      version: 4,
      limits: { receiveMaximum: 65_535, maximumPacketSize: 1e6, maximumQos: 2, canRetain: true },
      isWritable: true,
      onDrain: () => {},
      write: (bytes: Uint8Array) => parser.parse(Buffer.from(bytes)),
      fail: (error: RetryableError) => {
        this.failures.push(error)
        this.outflow.stop(error)
      },
    }
    this.outflow.start(link as unknown as Link, 1024)
    this.#confirmNext()
  }

  get sink(): Sink {
    const { pace, outflow } = this
    return {
      keepsOrder: true,
      maxConcurrentSends: 4,
      get maxBatch() {
        return pace.batch
      },
      send: (batch, signal) => outflow.send(batch as readonly Outbound<MqttTarget>[], signal),
      open: async () => {},
      close: async () => {},
      lost: () => new Promise(() => {}),
    }
  }

  #take({ payload, messageId }: IPublishPacket): void {
    this.taken.push(String(payload))
    this.#open.push(messageId ?? 0)
  }

  #confirmNext(): void {
    setTimeout(() => {
      const messageId = this.#open.shift()
      if (messageId !== undefined) this.outflow.take({ cmd: 'puback', messageId })
      this.#confirmNext()
    }, 1000 / this.perSec)
  }
}

const texts = (count: number) => Array.from({ length: count }, (_, i) => `${i}`)

function outbound(text: string): Outbound<MqttTarget> {
  const fields = { messageId: text, timestamp: '2026-02-03T04:05:06Z', source: 's', payload: Buffer.from(text) }
  return { envelope: new Envelope(fields), target: { topic: 't', qos: 1, retain: false }, format: 'raw' }
}

/** What the gateway makes of the sink, and how often it would have opened it anew. */
function dispatched(broker: SlowBroker) {
  const owner = new RecordingOwner()
  const outages: unknown[] = []
  const dispatcher = new Dispatcher(broker.sink, (error) => outages.push(error))
  dispatcher.resume()
  const add = (all: readonly string[]) => {
    for (const text of all) {
      const out = outbound(text)
      dispatcher.add(new Parcel(owner, out, { id: 0, envelope: out.envelope }))
    }
  }
  return { owner, outages, add }
}

describe('a broker that confirms slowly', () => {
  test.each([1.5, 5, 20, 34, 100])(
    '%f messages a second: keeps its connection and gets nothing twice',
    async (perSec) => {
      const broker = new SlowBroker(perSec)
      const { owner, outages, add } = dispatched(broker)
      const all = texts(1_500)
      add(all)
      await jest.advanceTimersByTimeAsync((1_500 / perSec) * 1_000 + 1_000)
      expect([...outages, ...broker.failures]).toEqual([])
      expect(broker.taken).toEqual(all)
      expect(owner.events).toEqual(all.map((text) => `confirmed ${text}`))
    },
  )

  test('a broker that becomes slow has what is under way confirmed, and the rest at its pace', async () => {
    const broker = new SlowBroker(1_000)
    const { owner, outages, add } = dispatched(broker)
    const all = texts(10_000)
    add(all.slice(0, 5_000))
    await jest.advanceTimersByTimeAsync(5_000)
    broker.perSec = 20
    add(all.slice(5_000))
    await jest.advanceTimersByTimeAsync(300_000)
    expect([...outages, ...broker.failures]).toEqual([])
    expect(broker.taken).toEqual(all)
    expect(owner.events).toHaveLength(10_000)
  })

  test('a broker that is quick again is given as much as before', async () => {
    const broker = new SlowBroker(20)
    const { add } = dispatched(broker)
    add(texts(1_000))
    await jest.advanceTimersByTimeAsync(50_000)
    expect(broker.pace.batch).toBeLessThan(60)
    broker.perSec = 1_000
    add(texts(5_000))
    await jest.advanceTimersByTimeAsync(6_000)
    expect(broker.pace.batch).toBe(250)
  })
})

describe('a send whose confirmations do not come', () => {
  test('ends with its connection after 30 s without any', async () => {
    const broker = new SlowBroker(1 / 20)
    const sent = broker.outflow.send(texts(3).map(outbound), never)
    broker.perSec = 1 / 3_600 // after the first
    await jest.advanceTimersByTimeAsync(49_000)
    expect(broker.failures).toEqual([])
    await jest.advanceTimersByTimeAsync(2_000)
    expect(broker.failures).toMatchObject([{ code: 'PEER_TIMEOUT' }])
    expect((await sent).map(({ kind }) => kind)).toEqual(['delivered', 'retryable', 'retryable'])
  })

  test('ends before the 60 s of the gateway, though others are confirmed', async () => {
    const broker = new SlowBroker(1)
    const sent = broker.outflow.send(texts(60).map(outbound), never)
    await jest.advanceTimersByTimeAsync(54_000)
    expect(broker.failures).toEqual([])
    await jest.advanceTimersByTimeAsync(2_000)
    expect(broker.failures).toMatchObject([{ code: 'PEER_TIMEOUT' }])
    const outcomes = await sent
    expect(outcomes.filter(({ kind }) => kind === 'retryable').length).toBeLessThan(10)
    expect(broker.pace.batch).toBeLessThan(11)
  })
})
