/** The broker's way to the gateway's store: entries that outlive a restart, and when they are safe. */
import type { Kept } from '../../../../src/adapter/contract.ts'

const safe = Promise.resolve()

/** One broker's access. Without a store it keeps nothing, and all is safe at once. */
export class EntryStore {
  #kept: Kept | undefined
  #changes = 0
  #safeUpTo = 0
  #flush: { readonly upTo: number; readonly done: Promise<void> } | undefined

  constructor(kept: Kept | undefined) {
    this.#kept = kept
  }

  /** True where what is put outlives a restart. */
  get isDurable(): boolean {
    return this.#kept !== undefined
  }

  all(space: string): Iterable<readonly [key: string, value: Uint8Array]> {
    return this.#kept?.all(space) ?? []
  }

  put(space: string, key: string, value: Uint8Array): void {
    if (this.#kept === undefined) return
    this.#kept.put({ space, key, value })
    this.#changes += 1
  }

  delete(space: string, key: string): void {
    if (this.#kept === undefined) return
    this.#kept.delete(space, key)
    this.#changes += 1
  }

  /** True while something put or deleted here is not yet on disk. */
  get isDirty(): boolean {
    return this.#safeUpTo < this.#changes
  }

  /** Resolves when all that was put and deleted here so far is on disk; at once where it is already. */
  flushed(): Promise<void> {
    if (!this.isDirty || this.#kept === undefined) return safe
    const upTo = this.#changes
    if (this.#flush?.upTo === upTo) return this.#flush.done
    const done = this.#kept.flushed().then(() => {
      this.#safeUpTo = Math.max(this.#safeUpTo, upTo)
    })
    this.#flush = { upTo, done }
    return done
  }

  /** Resolves when what others put before, such as an earlier broker of this connection, can be read. */
  async settle(): Promise<void> {
    await this.#kept?.flushed()
  }

  /** Nothing is put or deleted any more: late callbacks of a closed broker change nothing. */
  close(): void {
    this.#kept = undefined
    this.#safeUpTo = this.#changes
  }
}
