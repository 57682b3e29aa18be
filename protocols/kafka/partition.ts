/** One partition that is ours: what was fetched and not yet handed over, and how far the confirmed prefix reaches. */
import { OrderedPrefix } from '../../src/adapter/ordered.ts'
import { RetryableError } from '../../src/errors.ts'
import { Backlog, type Item } from './backlog.ts'
import type { Position } from './client/group.ts'
import type { End } from './client/offsets.ts'
import { committedBatches, decodeBatches, type InBatch } from './client/record-set.ts'
import type { FetchedPartition } from './client/requests.ts'

const stallMs = 30_000

/** What is to be handed over, and its place in the order of the partition. */
export interface Placed {
  readonly item: Item
  readonly place: number
}

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
  readonly #prefix = new OrderedPrefix<number>((offset) => {
    this.#confirmed = offset + 1
  })
  #confirmed: number
  #backlog = Backlog.none
  /** Where a batch was damaged when it was read last: there once more, it is so at the broker. */
  #damagedAt = -1
  #movedAt = Date.now()

  constructor(position: Position, { committed, begin }: { committed: number; begin: End }) {
    this.topic = position.topic
    this.partition = position.partition
    this.fetchOffset = position.offset
    this.#confirmed = position.offset
    this.committed = committed
    this.begin = begin
  }

  /** Something was fetched and is not handed over; it is ready once it is unfolded. */
  get hasWaiting(): boolean {
    return this.#backlog.nextOffset !== undefined
  }

  get isReady(): boolean {
    return this.#backlog.isReady
  }

  /** The offset to commit: all before it is confirmed, and nothing after it counts. */
  get committable(): number {
    if (this.#prefix.size > 0) return this.#confirmed
    return this.#backlog.nextOffset ?? this.fetchOffset
  }

  /** Takes in what a fetch from `requested` gave, unless it is about another place by now. Throws when nothing moved for 30 s although there is something. */
  receive(fetched: FetchedPartition, requested: number): void {
    if (!this.isOurs || this.hasWaiting || this.fetchOffset !== requested) return
    const batches = this.#withoutDamaged(decodeBatches(fetched.records))
    const last = batches.at(-1)
    // of a damaged batch the end is not known: it is there once more where it goes on
    const end = last?.fault === undefined ? last?.lastOffset : Math.max(last.lastOffset, requested)
    if (end !== undefined && end >= this.fetchOffset) {
      this.#backlog = new Backlog(committedBatches(batches, fetched.aborted), requested)
      this.fetchOffset = end + 1
    }
    this.#watch(fetched.lastStableOffset > this.fetchOffset && last === undefined)
  }

  /** A damaged batch and what is behind it are asked for once more. */
  #withoutDamaged(batches: readonly InBatch[]): readonly InBatch[] {
    const index = batches.findIndex(({ fault, firstOffset }) => fault?.mayPass && firstOffset !== this.#damagedAt)
    if (index === -1) return batches
    this.#damagedAt = batches[index]?.firstOffset ?? -1
    return batches.slice(0, index)
  }

  /** Makes ready what is next. */
  async unfold(): Promise<void> {
    await this.#backlog.unfold()
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
    this.#prefix.drop()
    this.#backlog = Backlog.none
  }

  /** What is next, where it is ready, and its place: nothing behind it is committed until that is confirmed. */
  shift(): Placed | undefined {
    const item = this.#backlog.shift()
    return item && { item, place: this.#prefix.add(item.offset) }
  }

  confirm(place: number): void {
    this.#prefix.finish(place)
  }

  #watch(isStalled: boolean): void {
    if (!isStalled) this.touch()
    else if (Date.now() - this.#movedAt > stallMs) {
      const where = `${this.topic}/${this.partition} at offset ${this.fetchOffset}`
      throw new RetryableError('PEER_LOST', `nothing arrives from ${where} though there is more`)
    }
  }
}
