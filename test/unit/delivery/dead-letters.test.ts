import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import { memory, memoryBus } from '../../../protocols/memory/index.ts'
import type { Log, Settlement } from '../../../src/adapter/contract.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { DeadLetterOffice } from '../../../src/delivery/dead-letter-office.ts'
import { Dispatcher } from '../../../src/delivery/dispatcher.ts'
import { Receipt } from '../../../src/delivery/receipt.ts'
import { Transit } from '../../../src/delivery/transit.ts'
import { Envelope } from '../../../src/envelope/envelope.ts'
import { PermanentError } from '../../../src/errors.ts'
import { Gateway } from '../../../src/gateway.ts'
import type { Params } from '../../../src/routing/subject.ts'
import { DeadLetterJournal } from '../../../src/store/dead-letter-journal.ts'
import type { DeadLetter } from '../../../src/store/dead-letters.ts'
import { LinkStats, RouteStats } from '../../../src/telemetry/stats.ts'
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

function transitOf(params: Params = {}) {
  const settled = Promise.withResolvers<Settlement>()
  const delivery = { envelope, address: 'a/b', settle: settled.resolve }
  const receipt = new Receipt(delivery, 1, performance.now(), new LinkStats('plant', 'mqtt', 'source'))
  const stats = new RouteStats('hot', [])
  return { transit: new Transit(receipt, params, 1, stats), settled: settled.promise, stats }
}

/** A store that notes its letters, and fails as often as told. */
function memoryStore(failures = 0) {
  const letters: DeadLetter[] = []
  const add = (letter: DeadLetter) => {
    if (failures-- > 0) return Promise.reject(new Error('disk full'))
    letters.push(letter)
    return Promise.resolve()
  }
  return { letters, add, close: async () => {} }
}

test('a message is rejected at its source only after its letter is in the store', async () => {
  const { transit, settled, stats } = transitOf()
  const store = memoryStore()
  const office = new DeadLetterOffice({ route: 'hot', target: undefined, store, log: silent })
  office.take(transit, error, { attempts: 3, target: 'kafka://events/x' })
  expect(stats.inFlight).toBe(1)
  expect(await settled).toBe('reject')
  expect(store.letters).toEqual([
    expect.objectContaining({ reason: 'rejected', attempts: 3, target: 'kafka://events/x', envelope }),
  ])
  expect(stats.deadLettered.get('rejected')).toBe(1)
  expect(stats.inFlight).toBe(0)
})

test('a dead letter target gets the original bytes and the reason as headers', async () => {
  const { transit, settled } = transitOf()
  const sink = new ScriptedSink()
  const dispatcher = new Dispatcher(sink, () => {})
  dispatcher.resume()
  let sent: Envelope | undefined
  const target = {
    dispatcher,
    outbound: (letter: Envelope) => {
      sent = letter
      return { envelope: letter, target: {}, format: undefined }
    },
  }
  new DeadLetterOffice({ route: 'hot', target, store: memoryStore(), log: silent }).take(transit, error, {
    attempts: 2,
    target: 'kafka://events/x',
  })
  expect(await settled).toBe('reject')
  expect(sent?.payload).toBe(envelope.payload)
  expect(sent?.messageId).toBe('m-1')
  expect({ ...sent?.headers }).toMatchObject({
    many: envelope.headers.many,
    'trivium-dlq-reason': 'rejected',
    'trivium-dlq-error': 'MESSAGE_REFUSED: the target said no',
    'trivium-dlq-attempts': '2',
    'trivium-dlq-route': 'hot',
    'trivium-dlq-source': 'mqtt://plant/a/b',
    'trivium-dlq-target': 'kafka://events/x',
  })
})

test('a dead letter target is filled in with what the address of the message captured', async () => {
  const { transit, settled } = transitOf({ site: 'berlin' })
  const sink = new ScriptedSink()
  const dispatcher = new Dispatcher(sink, () => {})
  dispatcher.resume()
  const store = memoryStore()
  let queue: string | undefined
  const target = {
    dispatcher,
    outbound: (letter: Envelope, params: Params) => {
      queue = `dead-${params.site}`
      return { envelope: letter, target: { queue }, format: undefined }
    },
  }
  const office = new DeadLetterOffice({ route: 'hot', target, store, log: silent })
  office.take(transit, error, { attempts: 0, target: undefined })
  expect(await settled).toBe('reject')
  expect(queue).toBe('dead-berlin')
  expect(store.letters).toEqual([])
})

test('the templates of a dead letter target see the captures of the route', async () => {
  const [inlet, outlet, morgue] = ['inlet', 'outlet', 'morgue'].map((name) => memoryBus(`${name}-${randomUUID()}`))
  const yaml = `
gateway: { dataDir: ${tmpdir()}, admin: false }
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
  const { config } = loadConfig(yaml, { file: 'test.yaml', env: {}, protocols: [memory] })
  const gateway = new Gateway(config!, [memory], silent)
  outlet!.refuseNext(1, 'refused')
  gateway.start()
  await inlet!.publish('sensors/berlin', { payload: Buffer.from('7') })
  while (inlet!.settlements.length === 0) await setImmediate()
  await gateway.stop()
  expect(morgue!.published.map(({ topic }) => topic)).toEqual(['dead/berlin/rejected'])
  expect(inlet!.settlements).toMatchObject([{ settlement: 'reject' }])
})

test('a letter that its target refuses is kept on disk', async () => {
  const { transit, settled } = transitOf()
  const sink = new ScriptedSink()
  sink.script.set(Buffer.from(envelope.payload!).toString(), [refused])
  const dispatcher = new Dispatcher(sink, () => {})
  dispatcher.resume()
  const store = memoryStore()
  const target = { dispatcher, outbound: (letter: Envelope) => ({ envelope: letter, target: {}, format: undefined }) }
  new DeadLetterOffice({ route: 'hot', target, store, log: silent }).take(transit, error, {
    attempts: 0,
    target: undefined,
  })
  expect(await settled).toBe('reject')
  expect(store.letters).toHaveLength(1)
})

test('a message whose letter cannot be written goes back to its source when the gateway stops', async () => {
  const { transit, settled } = transitOf()
  const office = new DeadLetterOffice({ route: 'hot', target: undefined, store: memoryStore(1), log: silent })
  office.stop()
  office.take(transit, error, { attempts: 0, target: undefined })
  expect(await settled).toBe('release')
})

test('the journal has a letter on disk before add resolves, with its bytes, in a file of its owner alone', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'trivium-journal-'))
  const journal = new DeadLetterJournal(join(directory, 'data'))
  const letter: DeadLetter = {
    ...{ envelope, reason: 'rejected', error, attempts: 1, route: 'hot', target: undefined, firstAt: 0, lastAt: 1 },
  }
  await Promise.all([journal.add(letter), journal.add(letter)])
  const file = join(directory, 'data', 'dead-letters.ndjson')
  const lines = (await readFile(file, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines).toHaveLength(2)
  expect(Buffer.from(lines[0].message.payload, 'base64')).toEqual(envelope.payload)
  expect(lines[0]).toMatchObject({ reason: 'rejected', route: 'hot', message: { messageId: 'm-1' } })
  expect(lines[0].message.headers).toEqual([
    ['many', ['a', { base64: 'AQ==' }]],
    ['big', String(2n ** 60n)],
  ])
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  await journal.close()
  await rm(directory, { recursive: true })
})

test('a route that was delivered and another that was dead-lettered accept, one that was released gives all back', async () => {
  const settle = async (results: readonly ('delivered' | 'filtered' | 'dead_lettered' | 'released')[]) => {
    const settled = Promise.withResolvers<Settlement>()
    const delivery = { envelope, address: 'a', settle: settled.resolve }
    const receipt = new Receipt(delivery, results.length, 0, new LinkStats('plant', 'mqtt', 'source'))
    for (const result of results) receipt.end(result)
    return settled.promise
  }
  expect(await settle(['delivered', 'dead_lettered'])).toBe('accept')
  expect(await settle(['filtered'])).toBe('accept')
  expect(await settle(['dead_lettered', 'dead_lettered'])).toBe('reject')
  expect(await settle(['delivered', 'released'])).toBe('release')
})
