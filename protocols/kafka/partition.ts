/** One partition that is ours: what was fetched and not yet handed over, and how far the confirmed prefix reaches. */
import { OrderedPrefix } from '../../src/adapter/ordered.ts'
import { RetryableError } from '../../src/errors.ts'
import type { Position } from './group.ts'
import type { End } from './offsets.ts'
import { committedBatches, decodeBatches, type InRecord, readRecords } from './record-batch.ts'
import type { FetchedPartition } from './requests.ts'

const stallMs = 30_000

export class OwnedPartition {
  readonly topic: string
  readonly partition: number
  /** Where the next fetch begins; -1: where `begin` says, which its leader has to be asked for first. */
  fetchOffset: number
  readonly begin: End
  /** What the group has on record; -1: nothing. */
  committed: number
  /** False once it may belong to another member: what is settled then changes nothing. */
  isOurs = true
  #prefix: OrderedPrefix<number>
  #confirmed: number
  #waiting: Iterator<{ offset: number; record: InRecord }>[] = []
  #next: { offset: number; record: InRecord } | undefined
  #movedAt = Date.now()

  constructor(position: Position, { committed, begin }: { committed: number; begin: End }) {
    this.topic = position.topic
    this.partition = position.partition
    this.fetchOffset = position.offset
    this.#confirmed = position.offset
    this.committed = committed
    this.begin = begin
    this.#prefix = this.#prefixFromHere()
  }

  get hasWaiting(): boolean {
    return this.#next !== undefined
  }

  /** The offset to commit: all before it is confirmed, and nothing after it counts. */
  get committable(): number {
    if (this.#prefix.size > 0) return this.#confirmed
    return this.#next?.offset ?? this.fetchOffset
  }

  /** Takes in what a fetch from `requested` gave, unless it is about another place by now. Throws when nothing moved for 30 s although there is something. */
  async receive(fetched: FetchedPartition, requested: number): Promise<void> {
    const batches = await decodeBatches(fetched.records)
    if (!this.isOurs || this.hasWaiting || this.fetchOffset !== requested) return
    const last = batches.at(-1)
    if (last !== undefined && last.lastOffset >= this.fetchOffset) {
      this.#waiting = committedBatches(batches, fetched.aborted).map((batch) => readRecords(batch, requested))
      this.fetchOffset = last.lastOffset + 1
      this.#pull()
    }
    this.#watch(fetched.lastStableOffset > this.fetchOffset && last === undefined)
  }

  /** Time spent waiting for room is no stall. */
  touch(): void {
    this.#movedAt = Date.now()
  }

  /**
   * Goes on elsewhere, because the log no longer has the position. What the group has on record is void too, even where
   * it is further on; what is in flight is no longer in the log and moves no position any more.
   */
  moveTo(offset: number): void {
    this.fetchOffset = offset
    this.committed = -1
    this.#confirmed = offset
    this.#prefix = this.#prefixFromHere()
    this.#waiting = []
    this.#next = undefined
  }

  /** The next record, and the function that confirms it. */
  shift(): { record: InRecord; confirm: () => void } | undefined {
    const next = this.#next
    if (next === undefined) return undefined
    this.#pull()
    return { record: next.record, confirm: this.#prefix.add(next.offset) }
  }

  /** Makes the next record ready. Where one cannot be read, nothing at or behind it may ever be committed. */
  #pull(): void {
    this.#next = undefined
    try {
      while (this.#waiting[0] !== undefined) {
        const { done, value } = this.#waiting[0].next()
        if (!done) {
          this.#next = value
          return
        }
        this.#waiting.shift()
      }
    } catch (error) {
      this.isOurs = false
      throw error
    }
  }

  #prefixFromHere(): OrderedPrefix<number> {
    const prefix = new OrderedPrefix<number>((offset) => {
      if (prefix === this.#prefix) this.#confirmed = offset + 1
    })
    return prefix
  }

  #watch(isStalled: boolean): void {
    if (!isStalled) this.touch()
    else if (Date.now() - this.#movedAt > stallMs) {
      const where = `${this.topic}/${this.partition} at offset ${this.fetchOffset}`
      throw new RetryableError('PEER_LOST', `nothing arrives from ${where} though there is more`)
    }
  }
}
