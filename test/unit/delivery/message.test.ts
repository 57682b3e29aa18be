import { expect, test } from '@jest/globals'
import type { Delivery, KeptEntry, Settlement } from '../../../src/adapter/contract.ts'
import { DeadLetterOffice } from '../../../src/delivery/dead-letters/office.ts'
import { type Ending, Message } from '../../../src/delivery/message.ts'
import { SharedDelivery } from '../../../src/delivery/shared-delivery.ts'
import { SourceCustody } from '../../../src/delivery/source-custody.ts'
import type { DeadLetterStore } from '../../../src/store/contract.ts'
import { LinkStats, RouteStats } from '../../../src/telemetry/stats.ts'
import { message as envelopeOf, silent } from '../store/stores.ts'

const entry: KeptEntry = { space: 'session', key: 'device', value: Buffer.from([1]) }

/** A source that writes down what it is told. */
function sourceOf() {
  const settled: Settlement[] = []
  const delivery: Delivery = { envelope: envelopeOf({}), address: 'a', keep: entry, settle: (how) => settled.push(how) }
  return { delivery, settled, link: new LinkStats('plant', 'mqtt', 'source') }
}

/** A message of that source on a route with so many targets. */
function onItsWay(targets: number) {
  const { delivery, settled, link } = sourceOf()
  const stats = new RouteStats('road', [])
  const store = {} as DeadLetterStore
  const deadLetters = new DeadLetterOffice({ route: 'road', store, forwarder: undefined, log: silent })
  const custody = new SourceCustody({ stats, outlets: [], deadLetters })
  const arrival = { ms: 1_000, at: Date.now(), link }
  const message = new Message(custody, delivery.envelope, { params: {}, arrival, source: delivery })
  stats.inFlight += 1
  message.goesTo(targets)
  return { message, settled, stats, link }
}

const cases: [ends: Ending[], counted: Partial<RouteStats>, settlement: Settlement][] = [
  [['delivered', 'delivered'], { delivered: 1 }, 'accept'],
  [['delivered', 'rejected'], { deadLetteredTotal: 1 }, 'reject'],
  [['rejected', 'delivered'], { deadLetteredTotal: 1 }, 'reject'],
  [['rejected', 'released'], { released: 1 }, 'release'],
  [['released', 'delivered', 'rejected'], { released: 1 }, 'release'],
]

test.each(cases)('a message whose targets end with %j ends once, with the last', (ends, counted, settlement) => {
  const { message, settled, stats, link } = onItsWay(ends.length)
  for (const ending of ends.slice(0, -1)) message.targetEnded(ending, 1_500)
  expect({ settled, inFlight: stats.inFlight }).toEqual({ settled: [], inFlight: 1 })
  message.targetEnded(ends.at(-1)!, 1_500)
  expect(settled).toEqual([settlement])
  const none = { delivered: 0, filtered: 0, duplicates: 0, released: 0, deadLetteredTotal: 0 }
  expect(stats).toMatchObject({ ...none, ...counted, inFlight: 0 })
  expect(link.settled).toBe(1)
})

test('of several reasons the first is the message’s', () => {
  const { message, stats } = onItsWay(2)
  message.targetEnded('expired', 1_500)
  message.targetEnded('rejected', 1_500)
  expect([...stats.deadLettered]).toEqual([['expired', 1]])
})

test('the source of a message in the store is told when the last target has taken it', () => {
  const { message, settled } = onItsWay(2)
  message.taken()
  expect(settled).toEqual([])
  message.taken()
  expect(settled).toEqual(['accept'])
})

test.each<[Settlement[], Settlement]>([
  [['accept', 'reject'], 'accept'],
  [['reject', 'accept'], 'accept'],
  [['reject', 'reject'], 'reject'],
  [['accept', 'release', 'accept'], 'release'],
])('routes that answer %j to one source answer %s', (answers, expected) => {
  const { delivery, settled, link } = sourceOf()
  const shared = new SharedDelivery(delivery, { routes: answers.length, isStoredByAll: true, link })
  for (const answer of answers.slice(0, -1)) shared.settle(answer)
  expect({ settled, counted: link.settled }).toEqual({ settled: [], counted: 0 })
  shared.settle(answers.at(-1)!)
  expect({ settled, counted: link.settled }).toEqual({ settled: [expected], counted: 1 })
})

test('what a source wants kept with a message is kept only where all of its routes keep the message', () => {
  const { delivery, link } = sourceOf()
  const keeps = [true, false].map(
    (isStoredByAll) => new SharedDelivery(delivery, { routes: 2, isStoredByAll, link }).keep,
  )
  expect(keeps).toEqual([entry, undefined])
})
