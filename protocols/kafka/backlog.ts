import { messageOf } from '../../src/errors.ts'
import { isFaultOfMachine } from './client/compression.ts'
import { type InBatch, type InRecord, RecordReader, unfold } from './client/record-set.ts'
import { isUnreadable, type Unreadable } from './unreadable.ts'

/** A record, or what cannot be read in place of it. */
export type Item = InRecord | Unreadable

interface Begun {
  readonly batch: InBatch
  readonly records: RecordReader
  nextOffset: number
}

/**
 * What a fetch gave of one partition and was not handed over, in order. A batch is unfolded when its turn comes: all of
 * a response at once may be many times what the budget allows.
 */
export class Backlog {
  static readonly none = new Backlog([], 0)

  /** The one whose turn it is comes first, until it has begun. */
  readonly #batches: InBatch[]
  readonly #fromOffset: number
  #begun: Begun | undefined
  #next: Item | undefined
  #unfolding: Promise<void> | undefined

  constructor(batches: readonly InBatch[], fromOffset: number) {
    this.#batches = [...batches]
    this.#fromOffset = fromOffset
    this.#pull()
  }

  get isReady(): boolean {
    return this.#next !== undefined
  }

  /** Nothing that waits lies before it; undefined: nothing waits. */
  get nextOffset(): number | undefined {
    const [batch] = this.#batches
    if (this.#next !== undefined) return isUnreadable(this.#next) ? this.#next.firstOffset : this.#next.offset
    return batch && this.#startOf(batch)
  }

  shift(): Item | undefined {
    const next = this.#next
    if (next !== undefined) this.#pull()
    return next
  }

  /**
   * Makes ready what is next, once, though the readers of two nodes may ask for it: a partition's leader moves. Throws only
   * where the machine is short of memory.
   */
  async unfold(): Promise<void> {
    const [batch] = this.#batches
    if (this.isReady || batch === undefined) return
    this.#unfolding ??= this.#unfold(batch).finally(() => {
      this.#unfolding = undefined
    })
    await this.#unfolding
  }

  async #unfold(batch: InBatch): Promise<void> {
    try {
      const records = await unfold(batch)
      this.#begin(batch, records)
    } catch (error) {
      if (isFaultOfMachine(error)) throw error
      this.#batches.shift()
      this.#next = { ...this.#restOf(batch, this.#startOf(batch)), reason: messageOf(error) }
      return
    }
    this.#pull()
  }

  #begin(batch: InBatch, records: Buffer): void {
    this.#batches.shift()
    const reader = new RecordReader(batch, this.#fromOffset, records)
    this.#begun = { batch, records: reader, nextOffset: this.#startOf(batch) }
  }

  /** Makes the next ready, unless it has to be unfolded. */
  #pull(): void {
    this.#next = undefined
    while (this.#next === undefined) {
      if (this.#begun !== undefined) this.#next = this.#read(this.#begun)
      else {
        const [batch] = this.#batches
        if (batch === undefined || (batch.fault === undefined && batch.compression !== 0)) return
        if (batch.fault === undefined) this.#begin(batch, batch.records)
        else {
          this.#batches.shift()
          this.#next = { ...this.#restOf(batch, this.#startOf(batch)), reason: batch.fault.reason }
        }
      }
    }
  }

  #read(begun: Begun): Item | undefined {
    try {
      const record = begun.records.next()
      if (record === undefined) this.#begun = undefined
      else begun.nextOffset = record.offset + 1
      return record
    } catch (error) {
      this.#begun = undefined
      return { ...this.#restOf(begun.batch, begun.nextOffset), reason: messageOf(error) }
    }
  }

  #restOf(batch: InBatch, firstOffset: number) {
    return { firstOffset, offset: Math.max(firstOffset, batch.lastOffset), batch }
  }

  #startOf(batch: InBatch): number {
    return Math.max(batch.firstOffset, this.#fromOffset)
  }
}
