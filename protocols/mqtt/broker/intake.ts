/** Where messages of devices wait for a source, and leave the broker as deliveries of the gateway. */
import type { Budget } from '../../../src/adapter/budget.ts'
import type { Deliver, KeptEntry, Settlement } from '../../../src/adapter/contract.ts'
import { SourceDelivery } from '../../../src/adapter/source-delivery.ts'
import type { SourcePeer, SourceSession } from '../../../src/adapter/source-session.ts'
import type { Envelope } from '../../../src/envelope/envelope.ts'
import type { Arrival } from './arrival.ts'
import type { PublishPacket } from './driver.ts'
import { FairQueue } from './fair-queue.ts'
import { type Lane, Lanes } from './lane.ts'

/** The running `consume` of a source. */
export interface Consumer {
  readonly budget: Budget
  decode(packet: PublishPacket, arrivedAt: number): Envelope
  /** Told of what `decode` throws. */
  onUndecodable(error: unknown): void
  readonly deliver: Deliver
  readonly session: SourceSession<DeviceMessage>
}

/** A message that takes longer makes its sender wait behind the others. */
const slowMs = 5

/** The messages of one source's topics. Without a consumer they wait, unacknowledged. */
export class Intake {
  readonly #lanes: Lanes
  readonly #waiting: FairQueue
  /** Since the last batch, where there was room. */
  #offered: Arrival[] = []
  #consumer: Consumer | undefined
  /** Aborts when the consumer leaves. */
  #attached = new AbortController()
  /** There will be a batch, or it is being read. */
  #isFeeding = false

  constructor(filters: readonly string[]) {
    this.#lanes = new Lanes(filters)
    this.#waiting = new FairQueue(this.#lanes)
  }

  matches(topic: string): boolean {
    return this.#lanes.of(topic) !== undefined
  }

  /** Its topic matches. */
  offer(arrival: Arrival): void {
    const own = this.#lanes.of(arrival.packet.topic)
    if (own === undefined) return
    const lane = this.#waiting.add(arrival, own)
    if (this.#consumer === undefined || lane.isFull) this.#tellWaiting(arrival)
    else this.#offered.push(arrival)
    if (this.#consumer !== undefined) this.#goOn(lane, this.#consumer)
  }

  /** From now on all goes to `consumer`; a former one gets no more. */
  attach(consumer: Consumer): void {
    this.#attached.abort()
    this.#attached = new AbortController()
    this.#consumer = consumer
    this.#lanes.attach(consumer.budget)
    this.#isFeeding = false
    this.#goOnAll(consumer)
  }

  detach(consumer: Consumer): void {
    if (this.#consumer !== consumer) return
    this.#attached.abort()
    this.#consumer = undefined
  }

  /** Ends the waiting: nothing of it was taken. */
  clear(): void {
    for (const arrival of [...this.#waiting.all()]) this.#release(arrival)
  }

  #goOnAll(consumer: Consumer): void {
    for (const lane of this.#lanes.all()) if (lane.hasWaiting) this.#goOn(lane, consumer)
  }

  #goOn(lane: Lane, consumer: Consumer): void {
    if (lane.isFull) lane.whenRoom(() => this.#feed(consumer), this.#attached.signal)
    else this.#feed(consumer)
  }

  // what all sockets brought in one turn of the event loop becomes one batch
  #feed(consumer: Consumer): void {
    if (this.#isFeeding) return
    this.#isFeeding = true
    setImmediate(() => {
      if (this.#consumer === consumer) consumer.deliver(this.#batch(consumer))
      else this.#tellOffered()
    })
  }

  /** Each message is chosen when it is asked for. Ends behind one that took long: what came meanwhile may go first. */
  *#batch(consumer: Consumer): Generator<DeviceMessage> {
    let sinceMs = performance.now()
    while (this.#consumer === consumer) {
      const next = this.#waiting.shift()
      if (next === undefined) break
      const taken = take(next, consumer)
      if (taken === undefined) continue
      yield taken
      taken.arrival.onTaken()
      const nowMs = performance.now()
      if (nowMs - sinceMs > slowMs) {
        this.#waiting.slowDown(next.arrival.sender, next.lane)
        break
      }
      sinceMs = nowMs
    }
    this.#endBatch(consumer)
  }

  #endBatch(consumer: Consumer): void {
    this.#tellOffered()
    if (this.#consumer !== consumer) return
    this.#isFeeding = false
    this.#goOnAll(consumer)
  }

  #tellOffered(): void {
    const offered = this.#offered
    this.#offered = []
    for (const arrival of offered) if (this.#waiting.has(arrival)) this.#tellWaiting(arrival)
  }

  /** It is not taken at once. */
  #tellWaiting(arrival: Arrival): void {
    arrival.onWaiting(() => this.#waiting.has(arrival) && this.#release(arrival))
  }

  #release(arrival: Arrival): void {
    this.#waiting.delete(arrival)
    arrival.onLeft()
    arrival.onSettled('release')
  }
}

function take({ arrival, lane }: { arrival: Arrival; lane: Lane }, consumer: Consumer): DeviceMessage | undefined {
  arrival.onLeft()
  if (arrival.isAbandoned()) {
    arrival.onSettled('release')
    return undefined
  }
  try {
    const envelope = consumer.decode(arrival.packet, arrival.arrivedAt)
    return consumer.session.take(new DeviceMessage(arrival, envelope, lane.budget))
  } catch (error) {
    consumer.onUndecodable(error)
    arrival.onSettled('release')
    return undefined
  }
}

export class DeviceMessage extends SourceDelivery {
  readonly arrival: Arrival

  constructor(arrival: Arrival, envelope: Envelope, budget: Budget) {
    super(envelope, arrival.packet.topic)
    this.arrival = arrival
    this.budget = budget
  }

  get keep(): KeptEntry | undefined {
    return this.arrival.note
  }

  /** The broker has the packet until it is acknowledged, and then sends it on. */
  waits(): void {
    this.arrival.packet.payload = this.envelope.payload as Buffer
  }
}

const tellDevice = ({ arrival }: DeviceMessage, settlement: Settlement): void => arrival.onSettled(settlement)

/** The peer of a session. A device's connection is not the source's: it may outlive it, and hears what is settled late. */
export const devices: SourcePeer<DeviceMessage> = { settle: tellDevice, settleLate: tellDevice }
