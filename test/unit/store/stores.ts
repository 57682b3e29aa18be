/** Stores in directories of their own, closed and removed after each test; and what goes into them. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from '@jest/globals'
import { Envelope, type EnvelopeFields } from '../../../src/envelope/envelope.ts'
import type { PermanentError } from '../../../src/errors.ts'
import type { Append, Finish, Store, StoredMessage } from '../../../src/store/contract.ts'
import type { DeadLetterReason } from '../../../src/store/dead-letters.ts'
import { openStore, type StoreOptions } from '../../../src/store/store.ts'

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

export const silent = { debug() {}, info() {}, warn() {}, error() {} }

export function onCleanup(cleanup: () => void): void {
  cleanups.push(cleanup)
}

export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'trivium-store-'))
  onCleanup(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Errors of the disk land in `fatal`. */
export function open(directory: string, options: Partial<StoreOptions> = {}): Store & { fatal: PermanentError[] } {
  const fatal: PermanentError[] = []
  const store = openStore({
    directory,
    maxBytes: 2 ** 30,
    log: silent,
    onFatal: (error) => fatal.push(error),
    ...options,
  })
  onCleanup(() => store.close())
  return Object.assign(store, { fatal })
}

export function message(fields: Partial<EnvelopeFields> = {}): Envelope {
  return new Envelope({
    messageId: 'm',
    timestamp: '2026-11-23T20:00:00Z',
    source: 'test://a',
    payload: Buffer.from('body'),
    ...fields,
  })
}

type Answer = number | 'duplicate' | 'released'

/** What became of it, in `answers`; by default one target of the first route wants it. */
export function append(store: Store, entry: Partial<Append> = {}, answers: Answer[] = []): void {
  store.outbox.append({
    route: 1,
    envelope: message(),
    params: {},
    wanted: 1,
    key: undefined,
    safe: (id) => answers.push(id),
    duplicate: () => answers.push('duplicate'),
    released: () => answers.push('released'),
    ...entry,
  })
}

export async function appended(store: Store, ...entries: Partial<Append>[]): Promise<number[]> {
  const answers: Answer[] = []
  for (const entry of entries) append(store, entry, answers)
  await store.flushed()
  return answers as number[]
}

/** Resolves with the reasons `ended` was called with. */
export async function finished(store: Store, ...entries: (Partial<Finish> & { id: number })[]) {
  const ended: (DeadLetterReason | undefined)[] = []
  for (const entry of entries) {
    store.outbox.finish({
      ...{ route: 1, wanted: 1, bits: 1 },
      ended: (dead) => ended.push(dead),
      ...entry,
    })
  }
  await store.flushed()
  return ended
}

export function readAll(store: Store, { route = 1, bit = 1 } = {}): StoredMessage[] {
  const page = { after: 0, upTo: Number.MAX_SAFE_INTEGER, limit: 10_000, maxBytes: 2 ** 30 }
  return store.outbox.read(route, bit, page)
}

export function idsOf(messages: readonly { readonly envelope: Envelope }[]): string[] {
  return messages.map(({ envelope }) => envelope.messageId)
}
