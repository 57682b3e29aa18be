import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Kept, KeptEntry } from '../../../src/adapter/contract.ts'

/** Kept entries in memory. Like the store's they are on disk at the end of a turn; `crash` loses those that are not. */
export class FakeKept implements Kept {
  #onDisk: Map<string, KeptEntry>
  #pending: (() => void)[] = []
  #flush: Promise<void> | undefined
  #disk = Promise.resolve()
  /** Puts and deletes so far. */
  writes = 0

  constructor(onDisk = new Map<string, KeptEntry>()) {
    this.#onDisk = onDisk
  }

  *all(space: string): Generator<readonly [string, Uint8Array]> {
    for (const entry of [...this.#onDisk.values()]) if (entry.space === space) yield [entry.key, entry.value]
  }

  put(entry: KeptEntry): void {
    this.#change(() =>
      this.#onDisk.set(idOf(entry.space, entry.key), { ...entry, value: Uint8Array.from(entry.value) }),
    )
  }

  delete(space: string, key: string): void {
    this.#change(() => this.#onDisk.delete(idOf(space, key)))
  }

  flushed(): Promise<void> {
    return this.#flush ?? Promise.resolve()
  }

  /** The disk does nothing until the function given is called. */
  stall(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#disk = promise
    return resolve
  }

  /** Entries on disk. */
  get size(): number {
    return this.#onDisk.size
  }

  /** What the next process finds. */
  crash(): FakeKept {
    this.#pending = []
    const onDisk = this.#onDisk
    this.#onDisk = new Map(onDisk)
    return new FakeKept(onDisk)
  }

  async #turnAndDisk(): Promise<void> {
    await nextTurn()
    await this.#disk
  }

  #change(change: () => void): void {
    this.writes += 1
    this.#pending.push(change)
    this.#flush ??= this.#turnAndDisk().then(() => {
      this.#flush = undefined
      for (const pending of this.#pending.splice(0)) pending()
    })
  }
}

function idOf(space: string, key: string): string {
  return `${space}\0${key}`
}
