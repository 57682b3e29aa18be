/**
 * The inner life of a source, from one `open` to its end; the same for every protocol.
 *
 *   waits at the peer -> in flight -> settled        reading -> (stop) -> draining -> idle
 *                          ^  |                      (end) ends every state
 *        after a pause     '--' released
 *
 * A message is taken from its peer only while the budget has room, and then handed over with all that one read, or one
 * turn of the event loop, has brought. It is settled once. What is released comes again from here or from the peer.
 */
import { Budget } from './budget.ts'
import type { Context, Deliver, Settlement } from './contract.ts'
import type { SourceDelivery } from './source-delivery.ts'
import { Waiting } from './waiting.ts'

/** What a session asks of its protocol. */
export interface SourcePeer<D extends SourceDelivery> {
  /**
   * The next message that waits; undefined: none does. Called only while there is room. A protocol that asks for what it
   * reads has no such thing: it calls `handOver` by itself.
   */
  next?(): D | undefined
  /**
   * Tells the peer what became of a message. Called once for each, in the order of settling, never after the end;
   * `release`: the peer is to give it again.
   */
  settle(delivery: D, settlement: Settlement): void
  /** As `settle`, but after the end: its budget was given back, and the connection it came by is gone. */
  settleLate?(delivery: D, settlement: Settlement): void
  /** There is no room, or the session has stopped: the peer should send no more. May be called again. */
  pause?(): void
  /** There is room again. */
  resume?(): void
  /** Called before a batch is handed over, and where there was no room for any. */
  handingOver?(batch: readonly D[]): void
}

/**
 * The budget of a source, for all its sessions. Each route that reads it bounds what is unsettled: of their limits the smallest
 * holds.
 */
export function sourceBudget({ budget }: Context, limits: SourceLimits): Budget {
  const { maxInFlight, maxBytes = [], parts } = limits
  return new Budget({ maxCount: Math.min(...maxInFlight), maxBytes: Math.min(...maxBytes), parts, parent: budget })
}

interface SourceLimits {
  readonly maxInFlight: readonly number[]
  /** Of none: no limit but the parent's. */
  readonly maxBytes?: readonly number[]
  /** See `Budget`. */
  readonly parts?: number
}

export interface SourceSessionOptions {
  /** Outlives the session: what an earlier one handed over still counts, or each lost connection would add as many again. */
  readonly budget: Budget
  /** Where a batch ends: with what one read of a socket brought, or with what all brought in one turn of the event loop. */
  readonly gather: 'read' | 'turn'
  /** After this long the session hands over again what was released; undefined: its peer does that. */
  readonly redeliverMs?: number | undefined
}

export class SourceSession<D extends SourceDelivery> {
  readonly #peer: SourcePeer<D>
  readonly #budget: Budget
  readonly #soon: (handOver: () => void) => void
  readonly #redeliverMs: number | undefined
  readonly #stopped = Promise.withResolvers<void>()
  /** Aborts when nothing more is handed over. */
  readonly #reading = new AbortController()
  readonly #idle = new Waiting()
  #deliver: Deliver | undefined
  #inFlight = 0
  #isDue = false
  #isPaused = false
  /** Released, and not yet handed over again, in the order of their time; that is of `performance.now()`. */
  #released: { readonly delivery: D; readonly dueMs: number }[] = []
  #timer: NodeJS.Timeout | undefined
  #failure: Error | undefined

  constructor(peer: SourcePeer<D>, { budget, gather, redeliverMs }: SourceSessionOptions) {
    this.#peer = peer
    this.#budget = budget
    this.#soon = gather === 'turn' ? setImmediate : queueMicrotask
    this.#redeliverMs = redeliverMs
  }

  /** Handed over and not settled for good. */
  get inFlight(): number {
    return this.#inFlight
  }

  get isFull(): boolean {
    return this.#budget.isFull
  }

  get isStopped(): boolean {
    return this.#reading.signal.aborted
  }

  /** True while what arrives has to wait, for room or for a successor of this session. */
  get isHolding(): boolean {
    return this.#isPaused || this.isStopped
  }

  /** Hands over until `signal` aborts; resolves when all in flight is settled then, rejects with the error of `end`. */
  async run(deliver: Deliver, signal: AbortSignal): Promise<void> {
    const stop = () => this.stop()
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    this.start(deliver)
    try {
      await this.#stopped.promise
      await this.whenIdle()
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  /** From now on what waits is handed over. */
  start(deliver: Deliver): void {
    this.#deliver = deliver
    this.arrived()
  }

  /** Something waits at the peer, and will be asked for. */
  arrived(): void {
    if (this.#isDue || this.#isPaused || this.#deliver === undefined || this.#peer.next === undefined) return
    this.#isDue = true
    this.#soon(() => {
      this.#isDue = false
      this.#handOverWaiting()
    })
  }

  /**
   * Hands over at once what `next` gives while there is room, `most` at the most, and says how many that were. Where `next`
   * throws nothing is handed over.
   */
  handOver(next: () => D | undefined, most: number = Number.POSITIVE_INFINITY): number {
    const batch: D[] = []
    try {
      while (batch.length < most && !this.#budget.isFull) {
        const delivery = next()
        if (delivery === undefined) break
        batch.push(this.take(delivery))
      }
    } catch (error) {
      for (const delivery of batch) this.#giveBack(delivery)
      throw error
    }
    this.#peer.handingOver?.(batch)
    if (batch.length > 0) this.#deliver?.(batch)
    return batch.length
  }

  /** In flight from now on: for a protocol that chooses the next of a batch as late as it is asked for. */
  take(delivery: D): D {
    delivery.session = this
    delivery.budget ??= this.#budget
    delivery.budget.take(delivery.sizeBytes)
    this.#inFlight += 1
    return delivery
  }

  /** Resolves when there is room, or nothing more will be handed over. */
  whenRoom(signal: AbortSignal = this.#reading.signal): Promise<void> {
    return this.#budget.whenRoom(signal)
  }

  /** Of a delivery: it was settled. */
  settled(delivery: D, settlement: Settlement): void {
    if (settlement === 'release' && this.#redeliverMs !== undefined && !this.isStopped)
      this.#keep(delivery, this.#redeliverMs)
    else this.#finish(delivery, settlement)
  }

  /** Hands over no more, also nothing that was released; what is in flight may still be settled. */
  stop(): void {
    if (this.isStopped) return
    this.#reading.abort()
    clearTimeout(this.#timer)
    for (const { delivery } of this.#released.splice(0)) this.#giveBack(delivery)
    if (this.#failure === undefined) this.#peer.pause?.()
    this.#stopped.resolve()
  }

  /** The connection is gone: what is settled from now on gives its budget back, and settles nothing at the peer. */
  end(error: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.stop()
    this.#idle.wake()
  }

  /** Resolves when nothing is in flight; rejects with the error of `end`. */
  async whenIdle(): Promise<void> {
    await this.#idle.until(() => this.#inFlight === 0 || this.#failure !== undefined)
    if (this.#failure !== undefined) throw this.#failure
  }

  #handOverWaiting(): void {
    if (this.isHolding) return
    const isLeft = this.#handOverWhatFits()
    if (this.#budget.isFull) void this.#holdUntilRoom()
    else if (isLeft) this.arrived()
  }

  /** True where some may have had no room: there may be some by now, as a message may be settled where it is handed over. */
  #handOverWhatFits(): boolean {
    let isLeft = true
    this.handOver(() => {
      const next = this.#peer.next?.()
      isLeft = next !== undefined
      return next
    })
    return isLeft
  }

  async #holdUntilRoom(): Promise<void> {
    this.#isPaused = true
    this.#peer.pause?.()
    let isLeft = false
    while (this.#budget.isFull && !this.isStopped) {
      await this.whenRoom()
      if (!this.isStopped) isLeft = this.#handOverWhatFits()
    }
    this.#isPaused = false
    if (this.isStopped) return
    this.#peer.resume?.()
    if (isLeft) this.arrived()
  }

  /** Nobody holds it. */
  #giveBack(delivery: D): void {
    delivery.session = undefined
    this.#finish(delivery, 'release')
  }

  #finish(delivery: D, settlement: Settlement): void {
    this.#inFlight -= 1
    delivery.budget?.give(delivery.sizeBytes)
    if (this.#failure === undefined) this.#peer.settle(delivery, settlement)
    else this.#peer.settleLate?.(delivery, settlement)
    if (this.#inFlight === 0 && this.#idle.size > 0) this.#idle.wake()
  }

  /** Its budget stays taken: the gateway goes on holding it. */
  #keep(delivery: D, ms: number): void {
    this.#released.push({ delivery, dueMs: performance.now() + ms })
    this.#timer ??= setTimeout(() => this.#handOverAgain(), ms)
  }

  #handOverAgain(): void {
    const nowMs = performance.now() + 1 // a timer may be early by the fraction of a millisecond
    const early = this.#released.findIndex(({ dueMs }) => dueMs > nowMs)
    const due = this.#released.splice(0, early === -1 ? this.#released.length : early)
    const [next] = this.#released
    this.#timer = next && setTimeout(() => this.#handOverAgain(), next.dueMs - nowMs + 1)
    const batch = due.map(({ delivery }) => delivery.again())
    for (const delivery of batch) delivery.session = this
    if (batch.length > 0) this.#deliver?.(batch)
  }
}
