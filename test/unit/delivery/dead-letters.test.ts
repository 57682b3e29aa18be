import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import { memoryBus } from '../../../protocols/memory/index.ts'
import type { Log, Settlement } from '../../../src/adapter/contract.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { deadLetterEnvelope } from '../../../src/delivery/dead-letters/dead-letter.ts'
import { DeadLetterForwarder, type DeadLetterTarget } from '../../../src/delivery/dead-letters/forwarder.ts'
import { DeadLetterOffice } from '../../../src/delivery/dead-letters/office.ts'
import { Dispatcher } from '../../../src/delivery/dispatcher.ts'
import { Message } from '../../../src/delivery/message.ts'
import { SourceCustody } from '../../../src/delivery/source-custody.ts'
import { Envelope } from '../../../src/envelope/envelope.ts'
import { PermanentError } from '../../../src/errors.ts'
import { Gateway } from '../../../src/gateway.ts'
import type { Params } from '../../../src/routing/subject.ts'
import type { Store, StoredDeadLetter } from '../../../src/store/contract.ts'
import { openStore } from '../../../src/store/store.ts'
import { LinkStats, RouteStats } from '../../../src/telemetry/stats.ts'
import { watchedMemory } from '../../support/contexts/watched-memory.ts'
import { eventually } from '../../support/poll.ts'
import { refused, ScriptedSink } from './scripted.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }
const envelope = new Envelope({
  messageId: 'm-1',
  timestamp: '2026-01-02T03:04:05Z',
  source: 'mqtt://plant/a/b',
  payload: Buffer.from([0, 255, 10]),
  headers: { many: ['a', Buffer.from([1])], big: 2n ** 60n },
})
const error = new PermanentError('MESSAGE_REFUSED', 'the target said no')

/** A message whose source waits for its one target. */
function messageOf(office: DeadLetterOffice, params: Params = {}) {
  const settled = Promise.withResolvers<Settlement>()
  const source = { envelope, address: 'a/b', settle: settled.resolve }
  const link = new LinkStats('plant', 'mqtt', 'source')
  const stats = new RouteStats('hot', [])
  const custody = new SourceCustody({ stats, outlets: [], deadLetters: office })
  const arrival = { ms: performance.now(), at: Date.now(), link }
  const message = new Message(custody, envelope, { params, arrival, source })
  message.goesTo(1)
  stats.inFlight += 1
  return { message, settled: settled.promise, stats }
}

/** A store of this test's own. */
async function inStore(use: (store: Store) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'trivium-letters-'))
  const options = { directory, maxBytes: 1024 ** 3, onFull: 'wait', log: silent } as const
  const store = openStore({ ...options, onFatal: (failure) => expect(failure).toBeUndefined() })
  try {
    await use(store)
  } finally {
    store.close()
    await rm(directory, { recursive: true })
  }
}

function officeOf(store: Store, target?: DeadLetterTarget): DeadLetterOffice {
  const parts = { route: 'hot', store: store.deadLetters, log: silent }
  return new DeadLetterOffice({ ...parts, forwarder: target && new DeadLetterForwarder({ ...parts, target }) })
}

const lettersIn = (store: Store) => store.deadLetters.list({}, { after: 0, limit: 10 })
const nowhere = { attempts: 0, target: undefined, bit: undefined }

test('a message is rejected at its source only after its letter is in the store', () =>
  inStore(async (store) => {
    const office = officeOf(store)
    const { message, settled, stats } = messageOf(office)
    office.take(message, error, { attempts: 3, target: 'kafka://events/x', bit: 1 })
    expect(stats.inFlight).toBe(1)
    expect(await settled).toBe('reject')
    expect(lettersIn(store)).toEqual([
      expect.objectContaining({ reason: 'rejected', attempts: 3, target: 'kafka://events/x', requeues: 0 }),
    ])
    const [letter] = lettersIn(store)
    expect(letter?.envelope.payload).toEqual(Buffer.from([0, 255, 10]))
    expect({ ...letter?.envelope.headers }).toEqual({ ...envelope.headers })
    expect(letter?.error).toEqual({ code: 'MESSAGE_REFUSED', message: 'the target said no' })
    expect(stats.deadLettered.get('rejected')).toBe(1)
    expect(stats.inFlight).toBe(0)
  }))

test('a dead letter target gets the original bytes and the reason as headers, and the store keeps the letter', () =>
  inStore(async (store) => {
    const sent = Promise.withResolvers<Envelope>()
    const target = {
      dispatcher: openDispatcher(new ScriptedSink()),
      outbound: (letter: Envelope) => {
        sent.resolve(letter)
        return { envelope: letter, target: {}, format: undefined }
      },
    }
    const office = officeOf(store, target)
    const { message, settled } = messageOf(office)
    office.take(message, error, { attempts: 2, target: 'kafka://events/x', bit: 1 })
    expect(await settled).toBe('reject')
    const letter = await sent.promise
    expect(letter.payload).toEqual(envelope.payload)
    expect(letter.messageId).toBe('m-1')
    expect({ ...letter.headers }).toMatchObject({
      many: envelope.headers.many,
      'trivium-dlq-reason': 'rejected',
      'trivium-dlq-error': 'MESSAGE_REFUSED: the target said no',
      'trivium-dlq-attempts': '2',
      'trivium-dlq-route': 'hot',
      'trivium-dlq-source': 'mqtt://plant/a/b',
      'trivium-dlq-target': 'kafka://events/x',
    })
    await eventually(() => lettersIn(store)[0]?.forwardedAt !== undefined, { what: 'the letter is dealt with' })
  }))

test('a dead letter target is filled in with what the address of the message captured', () =>
  inStore(async (store) => {
    const queue = Promise.withResolvers<string>()
    const target = {
      dispatcher: openDispatcher(new ScriptedSink()),
      outbound: (letter: Envelope, params: Params) => {
        queue.resolve(`dead-${params.site}`)
        return { envelope: letter, target: {}, format: undefined }
      },
    }
    const office = officeOf(store, target)
    office.take(messageOf(office, { site: 'berlin' }).message, error, nowhere)
    expect(await queue.promise).toBe('dead-berlin')
    await eventually(() => store.deadLetters.count({ toForward: true }) === 0, { what: 'the letter is dealt with' })
  }))

function openDispatcher(sink: ScriptedSink): Dispatcher {
  const dispatcher = new Dispatcher(sink, () => {})
  dispatcher.resume()
  return dispatcher
}

test('the templates of a dead letter target see the captures of the route', async () => {
  const [inlet, outlet, morgue] = ['inlet', 'outlet', 'morgue'].map((name) => memoryBus(`${name}-${randomUUID()}`))
  const dataDir = await mkdtemp(join(tmpdir(), 'trivium-letters-'))
  const yaml = `
gateway: { dataDir: ${dataDir}, admin: false }
connections:
  inlet: { protocol: memory, bus: ${inlet!.name} }
  outlet: { protocol: memory, bus: ${outlet!.name} }
  morgue: { protocol: memory, bus: ${morgue!.name} }
routes:
  - name: hot
    from: { connection: inlet, topic: "sensors/{site}" }
    to: [{ connection: outlet, topic: hot }]
    deadLetter: { connection: morgue, topic: "dead/{params.site}/{headers['trivium-dlq-reason']}" }
`
  const { protocol, settlements } = watchedMemory('hot')
  const { config } = loadConfig(yaml, { file: 'test.yaml', env: {}, protocols: [protocol] })
  const gateway = new Gateway(config!, [protocol], silent)
  const letters = morgue!.subscribe('#')
  gateway.start()
  inlet!.publish('sensors/berlin', { payload: Buffer.from('7') })
  while (settlements.length === 0) await setImmediate()
  await eventually(() => morgue!.size > 0, { what: 'the letter is dealt with' })
  await gateway.stop()
  await rm(dataDir, { recursive: true })
  expect([letters.take()?.topic, letters.take()]).toEqual(['dead/berlin/rejected', undefined])
  expect(settlements).toEqual(['reject'])
})

test('a letter that its target refuses stays in the store, and is not sent again', () =>
  inStore(async (store) => {
    const sink = new ScriptedSink()
    sink.script.set(Buffer.from(envelope.payload!).toString(), [refused])
    const dispatcher = openDispatcher(sink)
    const target = { dispatcher, outbound: (letter: Envelope) => ({ envelope: letter, target: {}, format: undefined }) }
    const office = officeOf(store, target)
    const { message, settled } = messageOf(office)
    office.take(message, error, nowhere)
    expect(await settled).toBe('reject')
    await eventually(() => store.deadLetters.count({ toForward: true }) === 0, { what: 'the letter is dealt with' })
    expect(lettersIn(store)).toEqual([expect.objectContaining({ forwardedAt: undefined })])
  }))

test('letters that the last run did not send to the dead letter target are sent at the start', () =>
  inStore(async (store) => {
    const away = new Dispatcher(new ScriptedSink(), () => {})
    const outbound = (letter: Envelope) => ({ envelope: letter, target: {}, format: undefined })
    const office = officeOf(store, { dispatcher: away, outbound })
    const { message, settled } = messageOf(office)
    office.take(message, error, nowhere)
    expect(await settled).toBe('reject')
    const target = { dispatcher: openDispatcher(new ScriptedSink()), outbound }
    new DeadLetterForwarder({ route: 'hot', target, store: store.deadLetters, log: silent }).wake()
    await eventually(() => lettersIn(store)[0]?.forwardedAt !== undefined, { what: 'the letter is dealt with' })
  }))

test('a letter that failed again has each of its headers once, and grows no further', () => {
  const letter = (of: Envelope): StoredDeadLetter => ({
    ...{ id: 1, route: 'hot', envelope: of, params: {}, reason: 'rejected', error, attempts: 1, requeues: 0 },
    ...{ target: 'plant/a', bit: undefined, firstAt: 0, lastAt: 1, toForward: false, forwardedAt: undefined },
  })
  const once = deadLetterEnvelope(letter(envelope))
  expect(deadLetterEnvelope(letter(once)).headers).toEqual(once.headers)
})
