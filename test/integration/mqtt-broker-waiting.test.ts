/** What waits for devices that are away: until when, and how much of it for each user. */
import { afterEach, describe, expect, test } from '@jest/globals'
import { connect } from 'mqtt'
import { sessionBounds } from '../../protocols/mqtt/broker/sessions/sessions.ts'
import type { Outbound } from '../../src/adapter/contract.ts'
import { isoText } from '../../src/envelope/time.ts'
import { testContext } from '../support/contexts/context.ts'
import { FakeKept } from '../support/contexts/kept.ts'
import { cleanUp, inbox, message, type Place, place } from '../support/contexts/mqtt-broker.ts'
import { eventually } from '../support/poll.ts'

afterEach(cleanUp)

const signal = new AbortController().signal
const delivered = [{ kind: 'delivered' }]

interface Sent {
  readonly qos?: 0 | 1 | 2
  readonly retain?: boolean
  readonly ttlMs?: number
}

function to(topic: string, payload: string, { qos = 1, retain = false, ttlMs }: Sent = {}) {
  const envelope = message(payload).with({ timestamp: isoText(Date.now()), ttlMs })
  return { envelope, target: { topic, qos, retain }, format: undefined } as Outbound<{
    topic: string
    qos: 0 | 1 | 2
    retain: boolean
  }>
}

async function subscribeAndLeave(at: Place, clientId: string, filter: string, login = {}): Promise<void> {
  const device = await at.device({ clientId, clean: false, ...login })
  await device.subscribeAsync(filter, { qos: 1 })
  await device.endAsync()
}

const passed = (ms: number) => {
  const endsMs = Date.now() + ms
  return eventually(() => Date.now() >= endsMs, { what: 'the time to live' })
}

/** What a device finds when it is back, up to the message `last`. */
async function whatWaits(at: Place, clientId: string, send: () => Promise<unknown>): Promise<string[]> {
  const device = connect(at.url, { clientId, clean: false, protocolVersion: 4, reconnectPeriod: 0 })
  const received = inbox(device) // before the CONNACK: what waits may come with it
  await eventually(() => received.length >= 2, { what: 'what waited' })
  await send()
  await eventually(() => received.some((text) => text.endsWith(' last')), { what: 'the last message' })
  await device.endAsync(true)
  return received
}

test('what waits for a source has its time from its arrival', async () => {
  const at = await place({ maxInFlight: 1 })
  const source = await at.source(['t'], () => undefined)
  const device = await at.device()
  const received = inbox(device)
  await device.subscribeAsync('echo')
  for (const [topic, qos] of [
    ['t', 1],
    ['t', 1],
    ['echo', 0],
  ] as const)
    device.publish(topic, 'x', { qos })
  await eventually(() => received.length === 1 && source.received.length === 1, { what: 'both messages at the broker' })
  const arrivedBy = Date.now()
  await passed(20)
  source.received[0]?.settle('accept')
  await eventually(() => source.received.length === 2, { what: 'the second message' })
  expect(Date.parse(source.received[1]!.envelope.timestamp)).toBeLessThanOrEqual(arrivedBy)
  source.received[1]?.settle('accept')
})

describe('a time to live', () => {
  test.each([
    ['in memory', false],
    ['over a restart', true],
  ])(
    'ends while a command waits for its device: it is never delivered, and counted; %s',
    async (_where, isRestarted) => {
      const kept = new FakeKept()
      const at = await place({}, { ...testContext('devices'), kept })
      const sink = await at.sink()
      await subscribeAndLeave(at, 'away', 'c')
      const batch = [to('c', 'expires', { ttlMs: 300 }), to('c', 'stays', { ttlMs: 60_000 }), to('c', 'for ever')]
      expect((await sink.send(batch, signal)).map(({ kind }) => kind)).toEqual(['delivered', 'delivered', 'delivered'])
      await passed(350)
      const next = isRestarted ? await restarted(at, kept) : { at, sink }
      const received = await whatWaits(next.at, 'away', () => next.sink.send([to('c', 'last')], signal))
      expect(received).toEqual(['c stays', 'c for ever', 'c last'])
      expect(next.at.context.counts.get('mqtt_queued_expired')).toBe(1)
    },
  )

  async function restarted(at: Place, kept: FakeKept) {
    await at.shared.current?.close()
    const next = await place({}, { ...testContext('devices'), kept: kept.crash() })
    return { at: next, sink: await next.sink() }
  }

  test('ends a retained message', async () => {
    const at = await place()
    const sink = await at.sink()
    await sink.send([to('r/a', 'expires', { retain: true, ttlMs: 200 }), to('r/b', 'stays', { retain: true })], signal)
    await passed(250)
    const device = await at.device()
    const received = inbox(device)
    await device.subscribeAsync(['r/+', 'r/a'], { qos: 1 })
    await eventually(() => received.length > 0, { what: 'the retained message' })
    await sink.send([to('r/c', 'last')], signal)
    await eventually(() => received.length > 1, { what: 'the last message' })
    expect(received).toEqual(['r/b stays', 'r/c last'])
    expect(at.context.counts.get('mqtt_retained_expired')).toBe(1)
  })
})

describe('a session without room', () => {
  const count = Math.ceil(sessionBounds.queued.bytesPerSession / 100_000) + 1
  const filling = () => Array.from({ length: count }, () => to('full', 'x'.repeat(100_000)))

  test('a command that no session has room for is not confirmed: it is tried again', async () => {
    const at = await place()
    const sink = await at.sink()
    await subscribeAndLeave(at, 'away', 'full')
    await sink.send(filling(), signal)
    const outcomes = await sink.send([to('full', 'one more')], signal)
    expect(outcomes).toMatchObject([{ kind: 'retryable', error: { code: 'TARGET_BUSY', countsAsAttempt: true } }])
    const device = await at.device()
    const received = inbox(device)
    await device.subscribeAsync('full', { qos: 1 })
    expect(await sink.send([to('full', 'for another')], signal)).toEqual(delivered)
    await eventually(() => received.includes('full for another'), { what: 'the message of the other device' })
  })

  test('what one user lets wait leaves room for the others', async () => {
    const users = ['greedy', 'modest'].map((username) => ({ username, password: 'p' }))
    const at = await place({ users })
    const sink = await at.sink()
    const login = (username: string) => ({ username, password: 'p' })
    const perSession = sessionBounds.queued.bytesPerSession
    const sessions = Math.ceil(sessionBounds.queued.bytes / perSession) + 2
    for (let i = 0; i < sessions; i += 1) await subscribeAndLeave(at, `greedy-${i}`, 'g', login('greedy'))
    await subscribeAndLeave(at, 'modest-1', 'm', login('modest'))
    const large = 'x'.repeat(900_000)
    for (let i = 0; i < 6; i += 1) await sink.send([to('g', large)], signal)
    expect(at.context.counts.get('mqtt_queued_dropped')).toBeGreaterThan(0)
    expect(await sink.send([to('m', 'the command')], signal)).toEqual(delivered)
    const device = connect(at.url, { clientId: 'modest-1', clean: false, protocolVersion: 4, ...login('modest') })
    const received = inbox(device)
    await eventually(() => received.includes('m the command'), { what: 'the command' })
    await device.endAsync(true)
  })

  test('sessions of the user who leaves most behind end first', async () => {
    const users = ['greedy', 'modest'].map((username) => ({ username, password: 'p' }))
    const kept = new FakeKept()
    const at = await place({ users, maxConnections: 5 }, { ...testContext('devices'), kept })
    await at.sink()
    await subscribeAndLeave(at, 'modest-1', 'm', { username: 'modest', password: 'p' })
    for (let i = 0; i < 8; i += 1)
      await subscribeAndLeave(at, `greedy-${i}`, 'g', { username: 'greedy', password: 'p' })
    await eventually(() => [...kept.all('session')].length === 5, { what: 'the end of some sessions' })
    expect([...kept.all('session')].map(([clientId]) => clientId)).toContain('modest-1')
  })
})
