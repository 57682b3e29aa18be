/** A store on disk with dead letters in it, and messages to fill it with. */

import { Envelope, type EnvelopeFields } from '../../../src/envelope/envelope.ts'
import { RetryableError } from '../../../src/errors.ts'
import type { Store, StoredMessage } from '../../../src/store/contract.ts'
import type { DeadLetter } from '../../../src/store/dead-letters.ts'
import { openStore } from '../../../src/store/store.ts'
import { silentLog } from '../contexts/log.ts'

export function storeAt(directory: string): Store {
  const onFatal = (error: Error) => {
    throw error
  }
  return openStore({ directory, maxBytes: 2 ** 30, log: silentLog, onFatal })
}

export function envelopeOf(fields: Partial<EnvelopeFields> = {}): Envelope {
  const basics = { messageId: 'm-1', timestamp: '2026-11-23T10:00:00Z', source: 'mqtt://devices/in/1' }
  return new Envelope({ ...basics, payload: Buffer.from('{"total":12.50}'), ...fields })
}

/** A letter that failed at the first target of its route. */
export function letterOf(changes: Partial<DeadLetter> = {}): DeadLetter {
  return {
    envelope: envelopeOf(),
    reason: 'max-attempts',
    error: new RetryableError('TARGET_BUSY', 'come again later'),
    attempts: 4,
    route: 'orders',
    target: 'memory://inside/orders',
    bit: 1,
    params: { site: 'berlin' },
    requeues: 0,
    firstAt: Date.now() - 60_000,
    lastAt: Date.now() - 30_000,
    toForward: false,
    ...changes,
  }
}

/** Adds letters; resolves with their ids when they are on disk. */
export async function fill(store: Store, letters: readonly DeadLetter[]): Promise<number[]> {
  const ids: number[] = []
  for (const letter of letters) store.deadLetters.add(letter, (id) => ids.push(id))
  await store.flushed()
  return ids
}

/** What waits for the first target of a route, in its order; what is delayed is not among it. */
export function waitingFor(store: Store, route: number, bit = 1): StoredMessage[] {
  const page = { after: 0, upTo: Number.MAX_SAFE_INTEGER, limit: 100_000, maxBytes: 2 ** 30 }
  return store.outbox.read(route, bit, page) ?? []
}
