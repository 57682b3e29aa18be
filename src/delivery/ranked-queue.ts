import { Queue } from '../adapter/queue.ts'
import type { Parcel } from './parcel.ts'

/** Parcels that may leave: the highest rank first, within a rank in the order they came. */
export class RankedQueue {
  /** What has no rank, nearly always all there is. */
  readonly #plain = new Queue<Parcel>()
  /** By rank above 0, highest first. */
  #ranked: { readonly rank: number; readonly queue: Queue<Parcel> }[] = []

  get size(): number {
    let size = this.#plain.size
    for (const { queue } of this.#ranked) size += queue.size
    return size
  }

  push(parcel: Parcel): void {
    if (parcel.rank === 0) this.#plain.push(parcel)
    else this.#queueOf(parcel.rank).push(parcel)
  }

  shift(): Parcel | undefined {
    for (const { queue } of this.#ranked) {
      const parcel = queue.shift()
      if (parcel !== undefined) return parcel
    }
    return this.#plain.shift()
  }

  /** All that waits; the queue is empty afterwards. */
  takeAll(): Parcel[] {
    return [...this.#ranked.flatMap(({ queue }) => queue.takeAll()), ...this.#plain.takeAll()]
  }

  #queueOf(rank: number): Queue<Parcel> {
    const known = this.#ranked.find((one) => one.rank === rank)
    if (known !== undefined) return known.queue
    const added = { rank, queue: new Queue<Parcel>() }
    this.#ranked = [...this.#ranked, added].sort((a, b) => b.rank - a.rank)
    return added.queue
  }
}
