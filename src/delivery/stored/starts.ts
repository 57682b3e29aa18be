import { RetryableError } from '../../errors.ts'
import { type Outbox, type StoredMessage, sequenceOf } from '../../store/contract.ts'

/**
 * Of one route's messages that a process which died has left: how many starts each has outlived. This start is noted once
 * for a message, by whichever of its targets is first, however often it is read back.
 */
export class Starts {
  readonly #outbox: Outbox
  /** Messages this start is noted for, with the starts before it. */
  readonly #noted = new Map<number, number>()

  constructor(outbox: Outbox) {
    this.#outbox = outbox
  }

  /** True for a message that was here when a process died. */
  isRecovered({ id }: StoredMessage): boolean {
    return sequenceOf(id) <= this.#outbox.recoveredUpTo
  }

  /** Starts before this one that ended while it was on its way. */
  before({ id, starts }: StoredMessage): number {
    return this.#noted.get(id) ?? starts
  }

  /** On disk when it returns; the ids of those it was noted for now. Undefined when the disk is full and nothing is noted. */
  note(messages: readonly StoredMessage[]): readonly number[] | undefined {
    const fresh = messages.filter(({ id }) => !this.#noted.has(id))
    const ids = fresh.map(({ id }) => id)
    try {
      if (fresh[0] !== undefined) this.#outbox.markStart(fresh[0].route, ids)
    } catch (error) {
      if (error instanceof RetryableError) return undefined
      throw error
    }
    for (const { id, starts } of fresh) this.#noted.set(id, starts)
    return ids
  }

  /** Takes the notes back: the process has outlived them. */
  absolve(ids: readonly number[]): void {
    if (ids.length > 0) this.#outbox.absolve(ids)
  }

  /** The store has let go of it. */
  forget(id: number): void {
    if (this.#noted.size > 0) this.#noted.delete(id)
  }
}
