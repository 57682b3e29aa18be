/** Where messages of devices wait for a source, and leave the broker as deliveries of the gateway. */
import type { Budget } from '../../../src/adapter/budget.ts'
import type { Delivery, KeptEntry, Settlement } from '../../../src/adapter/contract.ts'
import type { Envelope } from '../../../src/envelope/envelope.ts'
import type { PublishPacket } from './driver.ts'
import { compileFilter } from './filter.ts'

/** A PUBLISH that at least one source wants. */
export interface Arrival {
  readonly packet: PublishPacket
  /** When it came, in milliseconds since the epoch: its time to live goes on while it waits. */
  readonly arrivedAt: number
  /** To be committed with the message. */
  readonly note?: KeptEntry | undefined
  /** True where its device left before it was taken: it was never acknowledged and will come again. */
  isAbandoned(): boolean
  /** It is not taken at once: its bytes are to be its own. `withdraw` takes it back, unless it was taken meanwhile. */
  onWaiting(withdraw: () => void): void
  /** Called once by each intake that was offered it, when it waits there no longer; then `onTaken`, or `onSettled`. */
  onLeft(): void
  onTaken(): void
  onSettled(settlement: Settlement): void
}

/** The running `consume` of a source. */
export interface Consumer {
  readonly budget: Budget
  decode(packet: PublishPacket, arrivedAt: number): Envelope
  /** Told of what `decode` throws. */
  onUndecodable(error: unknown): void
  deliver(batch: readonly Delivery[]): void
  /** Called when the last message in flight is settled. */
  onIdle(): void
}

/** The messages of one source's topics. Without a consumer they wait, unacknowledged. */
export class Intake {
  readonly #matchers: readonly ((topic: string) => boolean)[]
  /** In order. */
  readonly #waiting = new Set<Arrival>()
  #consumer: Consumer | undefined
  /** Aborts when the consumer leaves. */
  #attached = new AbortController()
  #isScheduled = false
  #isWaitingForRoom = false

  constructor(filters: readonly string[]) {
    this.#matchers = filters.map(compileFilter)
  }

  matches(topic: string): boolean {
    return this.#matchers.some((matches) => matches(topic))
  }

  offer(arrival: Arrival): void {
    this.#waiting.add(arrival)
    if (this.#consumer === undefined || this.#isWaitingForRoom) this.#waits(arrival)
    else this.#schedule()
  }

  #waits(arrival: Arrival): void {
    arrival.onWaiting(() => this.#waiting.has(arrival) && this.#release(arrival))
  }

  #release(arrival: Arrival): void {
    this.#waiting.delete(arrival)
    arrival.onLeft()
    arrival.onSettled('release')
  }

  /** From now on all goes to `consumer`; a former one gets no more. */
  attach(consumer: Consumer): void {
    this.#attached.abort()
    this.#attached = new AbortController()
    this.#consumer = consumer
    this.#isWaitingForRoom = false
    this.#schedule()
  }

  detach(consumer: Consumer): void {
    if (this.#consumer !== consumer) return
    this.#attached.abort()
    this.#consumer = undefined
  }

  /** Ends the waiting: nothing of it was taken. */
  clear(): void {
    for (const arrival of this.#waiting) this.#release(arrival)
  }

  // what all sockets brought in one turn of the event loop becomes one batch
  #schedule(): void {
    if (this.#isScheduled || this.#isWaitingForRoom || this.#consumer === undefined) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#flush()
      for (const arrival of this.#waiting) this.#waits(arrival)
    })
  }

  #flush(): void {
    const consumer = this.#consumer
    if (consumer === undefined || this.#isWaitingForRoom) return
    const batch: Delivery[] = []
    for (const arrival of this.#waiting) {
      if (consumer.budget.isFull) break
      this.#waiting.delete(arrival)
      const delivery = take(arrival, consumer)
      if (delivery !== undefined) batch.push(delivery)
    }
    if (batch.length > 0) consumer.deliver(batch)
    for (const delivery of batch) (delivery as Taken).announce()
    if (this.#waiting.size > 0) this.#waitForRoom(consumer)
  }

  #waitForRoom(consumer: Consumer): void {
    this.#isWaitingForRoom = true
    void consumer.budget.whenRoom(this.#attached.signal).then(() => {
      if (this.#consumer !== consumer) return
      this.#isWaitingForRoom = false
      this.#flush()
    })
  }
}

function take(arrival: Arrival, consumer: Consumer): Taken | undefined {
  arrival.onLeft()
  if (arrival.isAbandoned()) {
    arrival.onSettled('release')
    return undefined
  }
  try {
    const taken = new Taken(arrival, consumer, consumer.decode(arrival.packet, arrival.arrivedAt))
    consumer.budget.take(taken.envelope.sizeBytes)
    return taken
  } catch (error) {
    consumer.onUndecodable(error)
    arrival.onSettled('release')
    return undefined
  }
}

class Taken implements Delivery {
  readonly envelope: Envelope
  readonly #arrival: Arrival
  readonly #consumer: Consumer
  #isSettled = false

  constructor(arrival: Arrival, consumer: Consumer, envelope: Envelope) {
    this.envelope = envelope
    this.#arrival = arrival
    this.#consumer = consumer
  }

  get keep(): KeptEntry | undefined {
    return this.#arrival.note
  }

  get address(): string {
    return this.#arrival.packet.topic
  }

  /** The broker has the packet until it is acknowledged, and then sends it on. */
  waits(): void {
    this.#arrival.packet.payload = this.envelope.payload as Buffer
  }

  announce(): void {
    this.#arrival.onTaken()
  }

  settle(settlement: Settlement): void {
    if (this.#isSettled) return
    this.#isSettled = true
    const { budget } = this.#consumer
    budget.give(this.envelope.sizeBytes)
    this.#arrival.onSettled(settlement)
    if (budget.count === 0) this.#consumer.onIdle()
  }
}
