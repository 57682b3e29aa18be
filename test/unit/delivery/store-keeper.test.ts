import { afterEach, expect, test } from '@jest/globals'
import type { StoreCustody } from '../../../src/delivery/stored/store-custody.ts'
import { StoreKeeper } from '../../../src/delivery/stored/store-keeper.ts'
import type { Candidate, LongestWaiting, StoredMessage } from '../../../src/store/contract.ts'
import { eventually } from '../../support/poll.ts'
import { append, message, open, silent, temporaryDirectory } from '../store/stores.ts'

const keepers: StoreKeeper[] = []
afterEach(() => {
  for (const keeper of keepers.splice(0)) keeper.stop()
})

/** A full store, and one route whose messages may be set aside. */
function fullStore(maxBytes: number) {
  const store = open(temporaryDirectory(), { maxBytes })
  const orphan = store.outbox.route('gone', ['x'])
  const mine = store.outbox.route('road', ['x'])
  const setAside: number[] = []
  const custody = {
    number: mine.route,
    longestWaiting: (which: LongestWaiting): readonly Candidate[] =>
      store.outbox.waitingLongest(mine.route, 1, { ...which, isSuch: () => true }),
    setAside: ({ id, route, wanted }: StoredMessage) => {
      setAside.push(id)
      store.outbox.finish({ id, route, wanted, bits: 1, ended() {} })
      return true
    },
  } as unknown as StoreCustody
  const deadLetters = { maxBytes: 2 ** 30, maxAgeMs: undefined, onFull: 'wait' } as const
  const settings = { maxBytes, maxAgeMs: undefined, onFull: 'deadLetterOldest', deadLetters } as const
  const keeper = new StoreKeeper({
    ...{ store, settings, names: ['road'], custodies: new Map([[mine.route, custody]]), log: silent },
  })
  keepers.push(keeper)
  keeper.start()
  return { store, orphan, mine, setAside }
}

test('room is made behind any number of messages that belong to nobody any more', async () => {
  const { store, orphan, mine, setAside } = fullStore(1_000_000)
  for (let i = 0; i < 1_500; i += 1) append(store, { route: orphan.route, wanted: 1 })
  await store.flushed()
  let safe = 0
  const add = () =>
    append(store, {
      ...{ route: mine.route, wanted: 1, envelope: message({ payload: Buffer.alloc(300) }) },
      safe() {
        safe += 1
      },
    })
  for (let i = 0; i < 2_000; i += 1) {
    add()
    if (i % 100 === 0) await store.flushed() // what comes in one turn is let in as a whole
  }
  await eventually(() => safe === 2_000, { withinMs: 30_000, what: 'room for all' })
  expect(setAside.length).toBeGreaterThan(100)
  expect(setAside).toEqual(setAside.toSorted((a, b) => a - b))
})
